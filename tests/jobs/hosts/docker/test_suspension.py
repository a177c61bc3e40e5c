"""Suspension on a Docker host whose Engine fails in each of the ways in which Engines do, through real workers.

Whatever happens: the server is down and was seen to be down, or an alert stands and nothing claims that it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jobs.actions.targets import spec_of
from jobs.controller import Controller
from jobs.hosts.docker.host import DockerHost
from storage import clock, intents
from tests.doubles.docker import LIVING, Container, DockerDouble
from tests.jobs.floor import Floor
from tests.jobs.hosts.docker.conftest import host_of

ALERTS = {"enforcement_failed", "suspended_running", "host_unknown"}


class Stage:
    """One account with one server on a Docker host, about to be suspended."""

    def __init__(self, floor: Floor, engine: DockerDouble, host: DockerHost) -> None:
        self.floor = floor
        self.engine = engine
        self.host = host
        self.account = floor.known_account()
        self.server = floor.server(self.account, lifecycle="running", observed="running", desired="running")
        self.spec = spec_of(floor.seat(self.server))
        host.create(self.spec)
        host.start(self.spec)
        host.set_autostart(self.spec, on=True)
        self.controller: Controller = floor.controller()

    @property
    def container(self) -> Container:
        """The server's container, as the Engine has it."""
        return self.engine.named(f"forbear-{self.server}")

    @property
    def runs(self) -> bool:
        """Whether anything of the server really runs."""
        return self.container.state in LIVING

    @property
    def claimed(self) -> bool:
        """Whether anything says that the server is down."""
        seat = self.floor.seat(self.server)
        letters = [letter for letter in self.floor.letters() if "Stopped: s\n" in letter]
        return seat.observed == "stopped" or seat.lifecycle == "stopped" or bool(letters)

    def alerts(self) -> set[str]:
        """Return the alerts that people have about enforcement and hosts."""
        return set(self.floor.alerts()) & ALERTS

    @property
    def is_done(self) -> bool:
        """Whether the shutdown counts as done."""
        return ("shutdown_suspended_server", "done") in self.floor.statuses(self.account)

    @property
    def is_down(self) -> bool:
        """Whether nothing of the server runs, and somebody has looked."""
        return self.is_done and not self.runs and self.container.restart == "no"

    def settle(self) -> None:
        """Work and let time pass until the server is down, or people have been told."""
        for _ in range(5):
            self.round()
            if self.is_down or self.alerts():
                return
            self.floor.advance(0.7)

    def round(self) -> None:
        """Let the controller look once, let workers do what is runnable, and look whether anything claims too much."""
        self.controller.turn()
        with self.floor.begin() as conn:
            waiting = intents.runnable(conn, clock.now(conn), 50)
        for outbox in waiting:
            self.floor.apply(outbox.intent_id)
        assert not (self.claimed and self.runs), "something says that it is down, and it runs"


@pytest.fixture
def stage(
    engine: DockerDouble, database_url: str, redis_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Stage]:
    patience = 0.15 if "hangs" in request.node.name else 5.0  # little only where it is sure to be waited out
    host = host_of(engine, tmp_path / "kept apart", timeout_seconds=patience)
    floor = Floor(database_url, redis_url, tmp_path / "data", hosts={"local": host})
    yield Stage(floor, engine, host)
    engine.hang_seconds.clear()
    floor.close()


def hang(stage: Stage) -> None:
    stage.engine.hang_seconds = dict.fromkeys(("list", "inspect", "update", "stop"), 5.0)


def broken(stage: Stage) -> None:
    stage.engine.fails = dict.fromkeys(("list", "inspect", "update", "stop"), (500, "server error"))


def being_removed(stage: Stage) -> None:
    stage.container.state = "removing"


def conflict(stage: Stage) -> None:
    stage.engine.fails["update"] = (409, "removal of container is already in progress")


def deaf(stage: Stage) -> None:
    stage.engine.deaf = True


def immortal(stage: Stage) -> None:
    stage.engine.deaf = stage.engine.immortal = True


def forgetful(stage: Stage) -> None:
    stage.engine.forgetful = True


def refused(stage: Stage) -> None:
    stage.engine.close()


def list_is_empty(stage: Stage) -> None:
    stage.engine.hidden = {stage.container.name}


FAULTS: dict[str, tuple[Callable[[Stage], None], str]] = {
    "it hangs": (hang, "alert"),
    "it answers 500": (broken, "alert"),
    "it is removing the container": (being_removed, "alert"),
    "it answers 409, removal in progress": (conflict, "alert"),
    "it takes the stop, and the server goes on": (deaf, "down"),
    "it takes the kill too, and the server goes on": (immortal, "alert"),
    "it takes the restart policy and keeps the old one": (forgetful, "alert"),
    "it refuses connections": (refused, "alert"),
    "its list is empty": (list_is_empty, "down"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_server_is_seen_to_be_down_or_an_alert_stands_and_nothing_claims_it(stage: Stage, fault: str) -> None:
    stage.floor.suspend_now(stage.account)
    begin, outcome = FAULTS[fault]
    begin(stage)
    stage.settle()
    assert stage.floor.row(stage.account)["billing_status"] == "suspended"
    if outcome == "down":
        assert stage.is_down
    else:
        assert not stage.is_done
        assert stage.alerts()


def test_what_an_engine_brings_up_again_is_ended_again_within_a_tick(stage: Stage) -> None:
    stage.floor.suspend_now(stage.account)
    stage.settle()
    assert stage.is_down
    stage.engine.restart_daemon()
    assert not stage.runs, "its restart policy is off"
    stage.floor.advance(1)
    stage.container.config["HostConfig"]["RestartPolicy"] = {"Name": "always"}  # somebody's hand
    stage.engine.restart_daemon()
    assert stage.container.state == "running"
    stage.round()
    assert stage.is_down
    assert stage.container.restart == "no"
    assert "suspended_running" in stage.alerts()


def test_somebody_elses_container_under_our_name_is_never_touched(stage: Stage) -> None:
    stage.floor.suspend_now(stage.account)
    theirs = stage.container
    theirs.config["Labels"] = {"com.example": "theirs"}
    stage.settle()
    assert stage.runs
    assert not stage.is_done
    assert stage.alerts()
    touched = [verb for verb, target, _ in stage.engine.calls if target == theirs.id]
    assert set(touched) <= {"start", "update", "inspect"}, touched
    assert theirs.restart == "unless-stopped"


def test_once_an_engine_is_well_again_the_server_is_seen_to_be_down(stage: Stage) -> None:
    stage.floor.suspend_now(stage.account)
    refused(stage)
    stage.settle()
    assert not stage.is_done
    stage.engine.listen()
    for _ in range(4):
        stage.floor.advance(1)
        stage.round()
    assert stage.is_down
    assert stage.floor.seat(stage.server).observed == "stopped"
