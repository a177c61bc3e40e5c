"""Suspension on a Docker host whose Engine fails in each of the ways in which Engines do, through real workers.

Whatever happens: the server is down and was seen to be down, or an alert stands and nothing claims that it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import pytest

from jobs.actions.targets import spec_of
from jobs.controller import Controller
from jobs.hosts.base import Observation, ServerSpec
from jobs.hosts.docker.host import DockerHost
from storage import clock, intents
from storage.embedded import Redis
from tests.databases import Databases
from tests.doubles.docker import LIVING, Container, DockerDouble
from tests.jobs.floor import Floor
from tests.jobs.hosts.docker.conftest import host_of, wait_for
from tests.jobs.hosts.docker.faults import ROWS, Row

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
def stage(engine: DockerDouble, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Stage]:
    host = host_of(engine, tmp_path / "kept apart")
    floor = Floor(database_url, redis_url, tmp_path / "data", hosts={"local": host})
    yield Stage(floor, engine, host)
    floor.close()


def refused(stage: Stage) -> None:
    stage.engine.close()


class HastyHost(DockerHost):
    """Gives a server less time than enforcement does: that patience ends is all that is to be seen here."""

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        return super().stop(spec, 0)


@dataclass
class Case:
    """One row of the fault table, and what came of it."""

    row: Row
    engine: DockerDouble
    container: Container
    server: UUID
    labels: dict[str, str]
    in_the_fault: tuple[bool, str, str, str] = (True, "", "", "")
    """Whether it ran in truth, its restart policy, as what it was observed, and the status of its shutdown."""
    alerts: list[str] = field(default_factory=list)
    """What was told meanwhile of this server."""
    after: tuple[bool, str, str, str] = (True, "", "", "")
    """The same once the fault was over, the Engine had restarted, and somebody had started it by hand."""


@pytest.fixture(scope="module")
def cases(
    databases: Databases, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Case]]:
    """Suspend under every fault, look, let the faults end, and look again. One account: one climb suspends them all."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("engines")
        engines: dict[str, DockerDouble] = {}
        hosts: dict[str, DockerHost] = {}
        for number, row in enumerate(ROWS):
            (root := folder / f"volumes-{number}").mkdir()
            engines[row.name] = stack.enter_context(DockerDouble(root))
            hosts[row.name] = host_of(engines[row.name], folder / f"kept-{number}", kind=HastyHost)
        url = stack.enter_context(databases.lend())
        floor = Floor(url, redis_server.url, tmp_path_factory.mktemp("suspension"), hosts=hosts)
        stack.callback(floor.close)
        yield play(floor, engines, hosts)


def play(floor: Floor, engines: dict[str, DockerDouble], hosts: dict[str, DockerHost]) -> dict[str, Case]:
    """Let it all happen."""
    account = floor.known_account()
    cases = []
    for row in ROWS:
        server = floor.server(account, host=row.name, lifecycle="running", observed="running", desired="running")
        spec, host, engine = spec_of(floor.seat(server)), hosts[row.name], engines[row.name]
        host.create(spec)
        engine.run(container := engine.named(f"forbear-{server}"))
        container.config["HostConfig"]["RestartPolicy"] = {"Name": "unless-stopped"}
        cases.append(Case(row, engine, container, server, container.labels))
    floor.suspend_now(account)
    floor.advance(1)  # whoever is busy still is busy for long
    for case in cases:
        case.row.begin(case.engine, case.container)
        if "hangs" in case.row.name:
            wait_for(hosts[case.row.name], 0.15)
    for _ in range(intents.TRIES_UNTIL_TOLD):
        floor.carry_out()
        floor.advance(1)
    controller = floor.controller()
    floor.tick(controller)
    for case in cases:
        case.in_the_fault = look(floor, case)
        find = "SELECT a.kind FROM alerts a JOIN intents i ON a.key = 'trying:' || i.id WHERE i.server_id = :id"
        case.alerts = [row["kind"] for row in floor.rows(find, id=case.server)]
        mend(case)
        wait_for(hosts[case.row.name])
    floor.run(controller)
    for case in cases:
        case.engine.restart_daemon()
        case.engine.run(case.container)
    floor.advance(0.2)
    floor.run(controller)
    for case in cases:
        case.after = look(floor, case)
    return {case.row.name: case for case in cases}


def look(floor: Floor, case: Case) -> tuple[bool, str, str, str]:
    """See a server in truth, as it was observed, and as enforcement tells it."""
    find = (
        "SELECT status FROM intents WHERE server_id = :id AND intent = 'shutdown_suspended_server' ORDER BY created_at"
    )
    status = floor.rows(find, id=case.server)[0]["status"]
    return case.container.state in LIVING, case.container.restart, floor.seat(case.server).observed, status


def mend(case: Case) -> None:
    """Let the fault end, also where it was somebody's doing."""
    engine, container = case.engine, case.container
    for faults in (engine.hang_seconds, engine.fails, engine.cut, engine.hidden):
        faults.clear()
    engine.deaf = engine.immortal = engine.forgetful = False
    engine.rewrite_list = lambda rows: rows
    container.name, container.config["Labels"] = f"forbear-{case.server}", case.labels
    container.config["HostConfig"].setdefault("RestartPolicy", {"Name": "unless-stopped"})
    if container.state not in (*LIVING, "exited"):
        container.state = "running"
    if case.row.name == "it refuses connections":
        engine.listen()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_server_is_seen_to_be_down_or_an_alert_stands_and_nothing_claims_it(
    cases: dict[str, Case], row: Row
) -> None:
    case = cases[row.name]
    runs, restart, observed, intent = case.in_the_fault
    assert not runs or observed != "stopped"
    if row.ends == "down":
        assert (runs, restart, intent) == (False, "no", "done")
    else:
        assert intent == "open"
        assert case.alerts == ["enforcement_failed"]
    assert case.after == (False, "no", "stopped", "done")


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
