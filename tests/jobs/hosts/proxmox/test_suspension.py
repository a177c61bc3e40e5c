"""A suspension carried out by the real worker and controller, on one faulty cluster for each row of the fault table.

The servers are one account's, so that one climb suspends them all: no brake and no notice stands between the rows. They
are virtual machines; what the host itself makes of each fault is asked of containers (`test_faults`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from jobs.hosts.base import Observation, ServerSpec
from jobs.hosts.proxmox import ProxmoxHost
from storage.embedded import Redis
from storage.intents import TRIES_UNTIL_TOLD
from tests.databases import Databases
from tests.doubles.proxmox import Guest, ProxmoxDouble
from tests.doubles.proxmox_http import SECRET
from tests.jobs.floor import Floor
from tests.jobs.hosts.proxmox.conftest import HASTY, PATIENT, options_for
from tests.jobs.hosts.proxmox.faults import ROWS, Row


class HastyHost(ProxmoxHost):
    """Gives a server less time than enforcement does: that patience ends is all that is to be seen here."""

    def stop(self, spec: ServerSpec, timeout_seconds: float) -> Observation:
        return super().stop(spec, min(timeout_seconds, 0.2))


@dataclass
class Case:
    """One row, and what came of it."""

    row: Row
    cluster: ProxmoxDouble
    guest: Guest
    server: UUID
    in_the_fault: tuple[str, str, str] = ("", "", "")
    """How the guest was in truth, as what the server was observed, and the status of the intent to shut it down."""
    comes_back: bool = False
    """Whether its node would start it at the next boot, all the same."""
    alerts: list[str] = field(default_factory=list)
    """What was told meanwhile of this server."""
    after: tuple[str, str, str] = ("", "", "")
    """The same once the fault was over."""
    at_reboot: str = ""
    """How the guest was after its node went down and came up, and high availability did what it was told."""
    by_hand: tuple[str, str] = ("", "")
    """How the guest was, and was observed, some ticks after somebody had started it by hand."""


@pytest.fixture(scope="module")
def cases(
    databases: Databases, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Case]]:
    """Suspend under every fault, look, let the faults end, and look again."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PVE_SECRET", SECRET)
        clusters = {row.name: ProxmoxDouble() for row in ROWS}
        for cluster in clusters.values():
            cluster.serve()
            stack.callback(cluster.close)
        hosts = {
            name: HastyHost(name, options_for(cluster, timeouts=HASTY if "hangs" in name else PATIENT))
            for name, cluster in clusters.items()
        }
        url = stack.enter_context(databases.lend())
        floor = Floor(url, redis_server.url, tmp_path_factory.mktemp("suspension"), hosts=hosts)
        stack.callback(floor.close)
        yield play(floor, clusters)


def play(floor: Floor, clusters: dict[str, ProxmoxDouble]) -> dict[str, Case]:
    """Let it all happen."""
    account = floor.known_account()
    cases = []
    for row in ROWS:
        server = floor.server(account, host=row.name)
        config = {"name": f"forbear-{server}", "tags": f"forbear.1200.{server}", "onboot": "1"}
        guest = clusters[row.name].add(1200, type="qemu", config=config, status="running")
        cases.append(Case(row, clusters[row.name], guest, server))
    floor.suspend_now(account)
    floor.advance(1)  # whoever is busy still is busy for long
    for case in cases:
        case.row.begin(case.cluster, case.guest)
    for _ in range(TRIES_UNTIL_TOLD):
        floor.carry_out()
        floor.advance(1)
    controller = floor.controller()
    floor.tick(controller)
    for case in cases:
        case.in_the_fault = look(floor, case)
        case.comes_back = case.guest.config["onboot"] != "0"
        find = "SELECT a.kind FROM alerts a JOIN intents i ON a.key = 'trying:' || i.id WHERE i.server_id = :id"
        case.alerts = [row["kind"] for row in floor.rows(find, id=case.server)]
        mend(case)
    floor.run(controller)
    for case in cases:
        case.after = look(floor, case)
        for node in case.cluster.nodes:
            case.cluster.reboot(node)
        case.cluster.manage()
        case.at_reboot = case.guest.status
        case.guest.status = "running"
    floor.advance(0.2)
    floor.run(controller)
    for case in cases:
        case.by_hand = case.guest.status, floor.seat(case.server).observed
    return {case.row.name: case for case in cases}


def look(floor: Floor, case: Case) -> tuple[str, str, str]:
    """See a server in truth, as it was observed, and as enforcement tells it."""
    find = (
        "SELECT status FROM intents WHERE server_id = :id AND intent = 'shutdown_suspended_server' ORDER BY created_at"
    )
    return case.guest.status, floor.seat(case.server).observed, floor.rows(find, id=case.server)[0]["status"]


def mend(case: Case) -> None:
    """Let the fault end, also where it was somebody's doing."""
    case.cluster.heal()
    case.cluster.guests = {1200: case.guest}
    case.guest.config.pop("lock", None)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_suspended_server_is_seen_stopped_or_an_alert_stands_and_nothing_claims_it(
    cases: dict[str, Case], row: Row
) -> None:
    case = cases[row.name]
    truth, observed, intent = case.in_the_fault
    assert truth == "stopped" or observed != "stopped"
    if truth == "stopped" and not case.comes_back:
        assert intent == "done"  # also where the first tries could not see that what they asked for was done
    else:
        assert intent == "open"
        assert case.alerts == ["enforcement_failed"]
    assert case.after == ("stopped", "stopped", "done")
    assert case.guest.config["onboot"] == "0"
    assert case.guest.ha in {None, "stopped"}
    assert case.at_reboot == "stopped"
    assert case.by_hand == ("stopped", "stopped")
