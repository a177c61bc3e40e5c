"""A suspension carried out by the real worker and controller, on one faulty cluster for each row of the fault table.

The servers are one account's, so that one climb suspends them all: no brake and no notice stands between the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from jobs.hosts.base import Observation, ServerSpec
from jobs.hosts.kubernetes import KubernetesHost
from storage.embedded import Redis
from storage.intents import TRIES_UNTIL_TOLD
from tests.databases import Databases
from tests.doubles.kubernetes import Found, KubernetesDouble
from tests.doubles.kubernetes_http import TOKEN
from tests.jobs.floor import Floor
from tests.jobs.hosts.kubernetes.conftest import HASTY, options_for
from tests.jobs.hosts.kubernetes.faults import ROWS, Row


class HastyHost(KubernetesHost):
    """Gives a server less time than enforcement does: that patience ends is all that is to be seen here."""

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        return super().stop(spec, min(timeout_seconds, 0.4))


@dataclass
class Case:
    """One row, and what came of it."""

    row: Row
    cluster: KubernetesDouble
    resource: Found
    server: UUID
    in_the_fault: tuple[bool, str, str] = (True, "", "")
    """Whether it ran in truth, as what it was observed, and the status of the intent to shut it down."""
    alerts: list[str] = field(default_factory=list)
    """What was told meanwhile of this server."""
    after: tuple[bool, str, str] = (True, "", "")
    """The same once the fault was over."""
    by_hand: tuple[bool, str] = (True, "")
    """The same, some ticks after somebody had resumed it by hand."""

    @property
    def name(self) -> str:
        return f"s-{self.server}"


@pytest.fixture(scope="module")
def cases(
    databases: Databases, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Case]]:
    """Suspend under every fault, look, let the faults end, and look again."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("KUBERNETES_TOKEN", TOKEN)
        clusters = {row.name: KubernetesDouble() for row in ROWS}
        for cluster in clusters.values():
            cluster.serve()
            stack.callback(cluster.close)
        hosts = {
            name: HastyHost(name, options_for(cluster, timeouts=HASTY if "hangs" in name else None))
            for name, cluster in clusters.items()
        }
        url = stack.enter_context(databases.lend())
        floor = Floor(url, redis_server.url, tmp_path_factory.mktemp("suspension"), hosts=hosts)
        stack.callback(floor.close)
        yield play(floor, clusters)


def play(floor: Floor, clusters: dict[str, KubernetesDouble]) -> dict[str, Case]:
    """Let it all happen."""
    account = floor.known_account()
    cases = []
    for row in ROWS:
        server = floor.server(account, host=row.name)
        found = clusters[row.name].add(f"s-{server}", {"forbear/server": str(server)})
        cases.append(Case(row, clusters[row.name], found, server))
    floor.suspend_now(account)
    for case in cases:
        case.row.begin(case.cluster, case.name)
    for _ in range(TRIES_UNTIL_TOLD):
        floor.carry_out()
        floor.advance(1)
    controller = floor.controller()
    floor.tick(controller)
    for case in cases:
        case.in_the_fault = look(floor, case)
        find = "SELECT a.kind FROM alerts a JOIN intents i ON a.key = 'trying:' || i.id WHERE i.server_id = :id"
        case.alerts = [row["kind"] for row in floor.rows(find, id=case.server)]
        mend(case)
    floor.run(controller)
    for case in cases:
        case.after = look(floor, case)
        case.cluster.edit(case.name, {"suspend": False})
    floor.advance(0.2)
    floor.run(controller)
    for case in cases:
        case.by_hand = case.cluster.runs[case.name], floor.seat(case.server).observed
    return {case.row.name: case for case in cases}


def look(floor: Floor, case: Case) -> tuple[bool, str, str]:
    """See a server in truth, as it was observed, and as enforcement tells it."""
    find = (
        "SELECT status FROM intents WHERE server_id = :id AND intent = 'shutdown_suspended_server' ORDER BY created_at"
    )
    status = floor.rows(find, id=case.server)[0]["status"]
    return case.cluster.runs.get(case.name, False), floor.seat(case.server).observed, status


def mend(case: Case) -> None:
    """Let the fault end, also where it was somebody's doing."""
    with case.cluster.lock:
        there = case.cluster.resources.get(case.name)
        if there is None or there["metadata"]["uid"] != case.resource["metadata"]["uid"]:
            there = case.resource  # it was another's in the meantime
        metadata = {key: value for key, value in there["metadata"].items() if key != "deletionTimestamp"}
        metadata |= {"labels": {"forbear/server": str(case.server)}, "finalizers": []}
        case.cluster.resources = {case.name: {**there, "metadata": metadata}}
    case.cluster.heal()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_suspended_server_is_seen_stopped_or_an_alert_stands_and_nothing_claims_it(
    cases: dict[str, Case], row: Row
) -> None:
    case = cases[row.name]
    runs, observed, intent = case.in_the_fault
    assert not runs or observed != "stopped"
    if observed == "stopped" or intent == "done":
        assert (runs, intent) == (False, "done")
    else:
        assert intent == "open"
        assert case.alerts == ["enforcement_failed"]
    assert case.after == (False, "stopped", "done")
    assert case.by_hand == (False, "stopped")
