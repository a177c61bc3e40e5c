"""What the Docker host makes of an Engine that fails: it says so, claims nothing, and touches nothing of others."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.hosts.base import (
    HostBusy,
    HostError,
    HostMisconfigured,
    HostUnavailable,
    LaunchFailed,
    Observed,
    ServerMissing,
)
from jobs.hosts.docker.host import DockerHost
from tests.doubles.docker import Container, DockerDouble
from tests.jobs.hosts.docker.conftest import NAME, SPEC, wait_for
from tests.jobs.hosts.docker.faults import HANG_SECONDS
from tests.jobs.hosts.waiting import eventually

CHANGES = {"start", "stop", "kill", "update", "remove", "rename", "unpause", "archive_put", "volume_remove"}


def hang(engine: DockerDouble) -> None:
    engine.hang_seconds = dict.fromkeys(("list", "inspect"), HANG_SECONDS)


def broken(engine: DockerDouble) -> None:
    engine.fails = dict.fromkeys(("list", "inspect"), (500, "server error"))


def refuse(engine: DockerDouble) -> None:
    engine.close()


def cut(engine: DockerDouble) -> None:
    engine.cut = {"list", "inspect"}


def lack(engine: DockerDouble) -> None:
    engine.rewrite_list = lambda rows: [{"Id": row["Id"]} for row in rows]
    engine.named(NAME).config["HostConfig"].pop("RestartPolicy")


def other(engine: DockerDouble) -> None:
    engine.rewrite_list = lambda rows: {"containers": rows}
    engine.fails["inspect"] = (200, "<html>a proxy's page</html>")


UNKNOWN = [
    (hang, "did not answer in time"),
    (broken, "answered 500: server error"),
    (refuse, "no connection to the Engine, or it broke off"),
    (cut, "no connection to the Engine, or it broke off"),
    (lack, "not whole"),
    (other, "is none|not whole"),
]


@pytest.mark.parametrize(("begin", "told"), UNKNOWN, ids=[begin.__name__ for begin, _ in UNKNOWN])
def test_an_engine_that_cannot_be_asked_is_unknown_and_not_empty(
    engine: DockerDouble, host: DockerHost, begin: Callable[[DockerDouble], None], told: str
) -> None:
    if begin is hang:
        wait_for(host, 0.2)
    begin(engine)
    began = time.monotonic()
    for ask in (host.observe_all, lambda: host.observe(SPEC), lambda: host.stop(SPEC, 0)):
        with pytest.raises(HostUnavailable, match=told):
            ask()
    assert time.monotonic() - began < HANG_SECONDS / 2
    engine.hang_seconds.clear()


@pytest.mark.parametrize("verb", ["archive_stat", "archive_get", "archive_put", "logs", "create", "start", "stop"])
def test_no_answer_is_waited_for_without_a_bound(engine: DockerDouble, host: DockerHost, verb: str) -> None:
    host.start(SPEC)
    host.write_file(SPEC, "world", "x")
    ask: dict[str, Callable[[], object]] = {
        "archive_stat": lambda: host.read_file(SPEC, "world"),
        "archive_get": lambda: host.create_backup(SPEC, "b-1"),
        "archive_put": lambda: host.write_file(SPEC, "new", "x"),
        "logs": lambda: host.read_console(SPEC, None),
        "create": lambda: host.create(replace(SPEC, server_id="other")),
        "start": lambda: host.start(SPEC),
        "stop": lambda: host.stop(SPEC, 0),
    }
    if verb == "start":
        host.stop(SPEC, 0)
    engine.hang_seconds = {verb: HANG_SECONDS}
    wait_for(host, 0.15)
    began = time.monotonic()
    with pytest.raises(HostUnavailable, match="did not answer in time"):
        ask[verb]()
    assert time.monotonic() - began < HANG_SECONDS / 2
    engine.hang_seconds.clear()


STATES: list[tuple[str, Observed]] = [
    ("created", "stopped"),
    ("exited", "stopped"),
    ("running", "running"),
    ("paused", "running"),
    ("restarting", "running"),
    ("removing", "unknown"),
    ("dead", "unknown"),
    ("a state of tomorrow", "unknown"),
]


@pytest.mark.parametrize(("state", "observed"), STATES)
def test_only_what_has_ended_counts_as_stopped(
    engine: DockerDouble, host: DockerHost, state: str, observed: Observed
) -> None:
    engine.named(NAME).state = state
    assert host.observe(SPEC).observed == observed
    assert host.observe_all()[SPEC.server_id].observed == observed


def test_a_look_at_all_is_one_list_and_reads_restart_policies_in_turn(engine: DockerDouble, host: DockerHost) -> None:
    config = engine.named(NAME).config
    for number in range(69):
        labels = config["Labels"] | {"forbear.server": f"s{number}"}
        mine = {**config, "Labels": labels, "HostConfig": {"RestartPolicy": {"Name": "always"}}}
        engine.containers[f"c{number}"] = Container(f"c{number}", f"forbear-s{number}", mine)
    engine.calls.clear()
    assert sum(each.autostart is None for each in host.observe_all().values()) >= 6
    assert len(engine.asked("list")) == 1
    assert len(engine.asked("inspect")) <= 64
    eventually(lambda: [each.autostart for each in host.observe_all().values()].count(True) == 69)


@pytest.mark.parametrize(
    ("policy", "autostart"),
    [("no", False), ("", False), ("always", True), ("unless-stopped", True), ("on-failure", True)],
)
def test_every_policy_by_which_an_engine_starts_containers_is_autostart(
    engine: DockerDouble, host: DockerHost, policy: str, autostart: bool
) -> None:
    engine.named(NAME).config["HostConfig"]["RestartPolicy"] = {"Name": policy}
    assert host.observe(SPEC).autostart is autostart
    assert host.observe_all()[SPEC.server_id].autostart is autostart
    host.set_autostart(SPEC, on=False)
    assert host.observe_all()[SPEC.server_id].autostart is False


@pytest.mark.parametrize("seconds", [0, 0.2, 7])
def test_the_time_to_stop_is_passed_on(engine: DockerDouble, running: DockerHost, seconds: float) -> None:
    assert running.stop(SPEC, seconds).observed == "stopped"
    assert engine.asked("stop") == [{"t": str(math.ceil(seconds))}]
    assert running.stop(SPEC, seconds).observed == "stopped"
    assert len(engine.asked("stop")) == 1


def test_what_goes_on_after_a_stop_is_ended_by_force_and_what_goes_on_after_that_is_said_to_run(
    engine: DockerDouble, running: DockerHost
) -> None:
    engine.deaf = True
    assert running.stop(SPEC, 0).observed == "stopped"
    running.start(SPEC)
    engine.immortal = True
    assert running.stop(SPEC, 0).observed == "running"
    assert running.kill(SPEC).observed == "running"


@pytest.mark.parametrize("state", ["paused", "restarting"])
def test_what_is_frozen_or_starts_over_is_stopped_too(engine: DockerDouble, running: DockerHost, state: str) -> None:
    engine.named(NAME).state = state
    assert running.stop(SPEC, 0).observed == "stopped"


def test_a_stop_that_is_refused_is_no_stop(engine: DockerDouble, running: DockerHost) -> None:
    engine.fails["stop"] = (500, "tried to kill container, but did not receive an exit event")
    with pytest.raises(HostUnavailable, match="did not receive an exit event"):
        running.stop(SPEC, 0)
    assert running.observe(SPEC).observed == "running"


def test_a_restart_policy_that_is_not_kept_is_told(engine: DockerDouble, running: DockerHost) -> None:
    engine.forgetful = True
    with pytest.raises(HostUnavailable, match="did not keep it"):
        running.set_autostart(SPEC, on=False)


def test_a_removal_in_progress_is_waited_for(engine: DockerDouble, running: DockerHost) -> None:
    engine.fails["update"] = (409, "removal of container is already in progress")
    with pytest.raises(HostBusy):
        running.set_autostart(SPEC, on=False)


def test_a_start_that_fails_says_why_to_operators(engine: DockerDouble, host: DockerHost) -> None:
    engine.fails["start"] = (500, "driver failed: port is already allocated")
    with pytest.raises(LaunchFailed) as failed:
        host.start(SPEC)
    assert "port is already allocated" in failed.value.detail
    assert "port" not in str(failed.value)


def test_somebody_elses_container_or_volume_under_our_name_is_never_touched(
    engine: DockerDouble, running: DockerHost
) -> None:
    engine.named(NAME).config["Labels"] = {"forbear.server": SPEC.server_id, "forbear.namespace": "staging"}
    engine.calls.clear()
    commands: list[Callable[[], object]] = [
        lambda: running.observe(SPEC),
        lambda: running.create(SPEC),
        lambda: running.start(SPEC),
        lambda: running.stop(SPEC, 0),
        lambda: running.kill(SPEC),
        lambda: running.set_autostart(SPEC, on=False),
        lambda: running.destroy(SPEC),
        lambda: running.write_file(SPEC, "x", "x"),
        lambda: running.create_backup(SPEC, "b-1"),
        lambda: running.send(SPEC, "list"),
    ]
    for command in commands:
        with pytest.raises(HostMisconfigured, match="not ours"):
            command()
    assert running.observe_all() == {}
    assert {verb for verb, _, _ in engine.calls} & CHANGES == set()
    engine.volumes["forbear-other"] = {"com.example": "theirs"}
    with pytest.raises(HostMisconfigured, match="a volume `forbear-other` stands there that is not ours"):
        running.create(replace(SPEC, server_id="other"))


def test_a_container_made_from_a_copy_of_ours_is_not_ours(engine: DockerDouble, host: DockerHost) -> None:
    ours = engine.named(NAME)
    engine.containers["copy"] = Container("copy", "somebodys-debugging", {**ours.config, "HostConfig": {}}, "running")
    assert host.observe_all()[SPEC.server_id].observed == "stopped"
    host.destroy(SPEC)
    assert "copy" in engine.containers


def test_making_a_server_from_several_sides_makes_one(engine: DockerDouble, empty_host: DockerHost) -> None:
    with ThreadPoolExecutor(4) as pool:
        seen = list(pool.map(lambda _: empty_host.create(SPEC).observed, range(4)))
    assert seen == ["stopped"] * 4
    assert [each.name for each in engine.containers.values()] == [NAME]
    assert list(engine.volumes) == [NAME]


def test_what_a_container_is_made_of_is_what_the_options_say(engine: DockerDouble, host: DockerHost) -> None:
    config = engine.named(NAME).config
    assert {"EULA=true", "PORT=25565", "SERVER_NAME=Ada's world"} <= set(config["Env"])
    own = config["HostConfig"]
    assert own["PortBindings"] == {"25565/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]}
    assert (own["Memory"], own["NanoCpus"]) == (512 * 1024 * 1024, 2_000_000_000)
    assert own["RestartPolicy"] == {"Name": "no"}


def test_an_image_is_fetched_when_it_is_not_there(engine: DockerDouble, empty_host: DockerHost) -> None:
    engine.images.clear()
    with pytest.raises(HostUnavailable, match="manifest for game:1 not found"):
        empty_host.create(SPEC)
    engine.fetchable.add("game:1")
    assert empty_host.create(SPEC).observed == "stopped"


def test_a_kind_without_an_image_is_a_matter_of_set_up(empty_host: DockerHost) -> None:
    with pytest.raises(HostMisconfigured, match="nothing of servers of kind `dev`"):
        empty_host.create(replace(SPEC, kind="dev"))


def test_a_container_that_is_gone_is_missing(engine: DockerDouble, running: DockerHost) -> None:
    engine.containers.clear()
    assert running.observe(SPEC).observed == running.stop(SPEC, 0).observed == "missing"
    for command in (lambda: running.start(SPEC), lambda: running.set_autostart(SPEC, on=False)):
        with pytest.raises(ServerMissing):
            command()


def test_an_engine_that_comes_back_is_asked_again(engine: DockerDouble, host: DockerHost) -> None:
    engine.close()
    with pytest.raises(HostError):
        host.observe_all()
    engine.listen()
    assert host.observe_all()[SPEC.server_id].observed == "stopped"
