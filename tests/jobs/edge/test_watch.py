"""Looking at the edge: one call a driver, unknown is not missing, and nothing about what billing has stopped."""

from __future__ import annotations

import threading
from dataclasses import replace
from uuid import UUID

import pytest

from engine.load import bundle, load_texts
from jobs.controller import Controller
from jobs.edge import publish, withdraw
from jobs.edge.base import Edge, EdgeUnavailable
from jobs.edge.watch import EdgeWatch
from jobs.observe import fleet
from storage import clock, policies
from storage import edge as rows
from storage.errors import FenceLost
from storage.leases import Fence
from storage.settings import SHIPPED_POLICY
from tests.doubles.edge import DriverDouble
from tests.jobs.floor import Floor
from tests.storage.deployment import eventually


@pytest.fixture
def leader(edged: Floor) -> Controller:
    made = edged.controller()
    edged.tick(made)
    return made


@pytest.fixture
def server(edged: Floor) -> UUID:
    server = edged.machine(edged.known_account())
    publish(edged.context, edged.seat(server))
    return server


def look(leader: Controller) -> int:
    assert leader.fence is not None
    return leader.steps.edge_watch.look(leader.fence, wait_seconds=30)


def state(floor: Floor, server: UUID) -> tuple[str | None, int]:
    with floor.begin() as conn:
        row = rows.get(conn, server)
    assert row is not None
    return row.state, row.looks


def events(floor: Floor, server: UUID) -> list[tuple[str, str]]:
    found = floor.rows("SELECT repair, outcome FROM repair_events WHERE server_id = :id ORDER BY id", id=server)
    return [(row["repair"], row["outcome"]) for row in found]


def test_what_is_published_is_present(edged: Floor, leader: Controller, server: UUID) -> None:
    assert look(leader) == 1
    assert state(edged, server) == ("present", 1)
    assert look(leader) == 1
    assert look(leader) == 0, "what stays as it is, is not written again"


@pytest.mark.parametrize(
    ("lost", "expected"),
    [(("names",), "dns_missing"), (("proxy",), "proxy_missing"), (("names", "proxy"), "missing")],
)
def test_each_half_is_missed_by_itself(
    edged: Floor, leader: Controller, server: UUID, lost: tuple[str, ...], expected: str
) -> None:
    for driver in (edged.context.edge.dns, edged.context.edge.proxy):
        assert isinstance(driver, DriverDouble)
        if driver.name in lost:
            driver.entries.clear()
    look(leader)
    assert state(edged, server)[0] == expected


def test_an_entry_that_leads_elsewhere_is_missed(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    names.entries = {key: replace(entry, address="203.0.113.1") for key, entry in names.entries.items()}
    look(leader)
    assert state(edged, server)[0] == "dns_missing"


def test_a_driver_that_cannot_be_asked_makes_it_unknown_not_missing(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    names.trouble = EdgeUnavailable("names", "it is away")
    look(leader)
    assert state(edged, server)[0] == "unknown"


def test_a_driver_that_hangs_keeps_no_tick_waiting_and_is_asked_once(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    released = threading.Event()
    names.before = lambda: released.wait(20)
    names.calls.clear()
    watch = EdgeWatch(edged.context)
    assert leader.fence is not None
    assert watch.look(leader.fence) == 0
    eventually(lambda: names.calls == [("observe_all", "-")], "its thread has come to ask")
    for _ in range(3):
        watch.look(leader.fence, wait_seconds=0.05, patience_seconds=0.0)
    assert state(edged, server)[0] == "unknown"
    assert names.calls == [("observe_all", "-")]
    released.set()
    fence = leader.fence
    eventually(lambda: watch.look(fence, wait_seconds=1) >= 0 and state(edged, server)[0] == "present", "it answers")
    watch.close()


def test_one_call_a_driver_for_all_servers(edged: Floor, leader: Controller, names: DriverDouble) -> None:
    account = edged.known_account()
    for _ in range(5):
        publish(edged.context, edged.seat(edged.machine(account)))
    names.calls.clear()
    look(leader)
    assert names.calls == [("observe_all", "-")]


def test_nobody_looks_again_before_it_is_time(edged: Floor, names: DriverDouble) -> None:
    edged.context = replace(edged.context, edge=replace(edged.context.edge, look_every_seconds=3600.0))
    leader = edged.controller()
    edged.tick(leader)
    look(leader)
    names.calls.clear()
    for _ in range(3):
        edged.tick(leader)
    assert names.calls == []


def test_a_suspended_server_is_left_out_and_nothing_of_it_is_republished_or_removed(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble, proxy: DriverDouble
) -> None:
    look(leader)
    edged.suspend(edged.seat(server).account_id, leader)
    before = state(edged, server)
    entries = dict(proxy.entries)
    names.entries.clear()
    calls = [call for call in names.calls if call[0] != "observe_all"]
    for _ in range(8):
        look(leader)
        edged.tick(leader)
        edged.carry_out()
    assert state(edged, server) == before
    assert [call for call in names.calls if call[0] != "observe_all"] == calls
    assert proxy.entries == entries, "billing takes nothing back"
    assert [event for event in events(edged, server) if "edge" in event[0] or "dns" in event[0]] == []


def test_nothing_is_known_of_the_edge_of_a_server_that_billing_stops(edged: Floor, server: UUID) -> None:
    edged.rows("UPDATE edges SET state = 'missing', looks = 5 RETURNING 1")
    for billing_state, known in (("allowed", "missing"), ("suspended_shutdown", None), ("retained", None)):
        edged.rows("UPDATE accounts SET server_billing_state = :state RETURNING 1", state=billing_state)
        with edged.begin() as conn:
            assert [seat.seen(clock.now(conn)).edge for seat in fleet(conn)] == [known]


def test_a_missing_edge_is_told_as_shipped_and_republished_when_live(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    names.entries.clear()
    for _ in range(6):
        look(leader)
        edged.tick(leader)
        edged.carry_out()
    assert events(edged, server) == [("publish_dns", "dry_run")]
    assert names.entries == {}
    overrides = {"BILLING_REPAIR_LEVEL_1": "live"}
    with edged.begin() as conn:
        live = load_texts(bundle(SHIPPED_POLICY), overrides)
        policies.deploy(conn, live, bundle(SHIPPED_POLICY), overrides, "test")
    for _ in range(6):
        look(leader)
        edged.tick(leader)
        edged.carry_out()
    assert list(names.entries) == [str(server)]
    assert state(edged, server)[0] == "present"


def test_what_one_look_misses_alone_is_no_cause_for_anything(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    look(leader)
    kept = dict(names.entries)
    names.entries.clear()
    look(leader)
    assert state(edged, server) == ("dns_missing", 1)
    with edged.begin() as conn:
        assert [seat.edge for seat in fleet(conn)] == [None]
    look(leader)
    with edged.begin() as conn:
        assert [seat.edge for seat in fleet(conn)] == ["dns_missing"]
    names.entries.update(kept)
    look(leader)
    with edged.begin() as conn:
        assert [seat.edge for seat in fleet(conn)] == ["present"]


def test_somebody_elses_name_is_told_and_not_overwritten(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    with edged.begin() as conn:
        row = rows.get(conn, server)
    assert row is not None
    names.taken.add(row.label)
    names.calls.clear()
    for _ in range(6):
        look(leader)
        edged.tick(leader)
    assert state(edged, server)[0] == "taken"
    edged.advance(1)
    edged.tick(leader)
    assert edged.alerts().count("repair_failed") == 1
    assert [verb for verb, _ in names.calls if verb != "observe_all"] == []


def test_a_server_from_before_there_were_edges_gets_a_label_and_is_missed(edged: Floor, leader: Controller) -> None:
    server = edged.machine(edged.known_account())
    look(leader)
    assert state(edged, server)[0] == "missing"


def test_a_deleted_servers_edge_is_not_looked_after(edged: Floor, leader: Controller, server: UUID) -> None:
    withdraw(edged.context, edged.seat(server))
    look(leader)
    assert state(edged, server) == (None, 0)


def test_a_controller_that_has_lost_its_lease_writes_nothing(edged: Floor, leader: Controller, server: UUID) -> None:
    with pytest.raises(FenceLost):
        leader.steps.edge_watch.look(Fence("controller", 0), wait_seconds=5)
    assert state(edged, server) == (None, 0)


def test_without_an_edge_what_was_seen_is_forgotten(edged: Floor, leader: Controller, server: UUID) -> None:
    look(leader)
    edged.context = replace(edged.context, edge=Edge())
    watch = EdgeWatch(edged.context)
    assert leader.fence is not None
    watch.look(leader.fence)
    assert state(edged, server) == (None, 0)


def test_a_server_is_led_to_on_the_port_that_its_host_tells(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble, proxy: DriverDouble
) -> None:
    account = edged.seat(server).account_id
    edged.host.ports[str(server)] = 32_768
    edged.tick(leader)
    look(leader)
    look(leader)
    assert edged.statuses(account) == [("edge_republish", "open")]
    edged.carry_out()
    assert [entry.port for driver in (names, proxy) for entry in driver.entries.values()] == [32_768] * 2
    look(leader)
    assert state(edged, server)[0] == "present"
    edged.host.running[str(server)] = False
    edged.tick(leader)
    look(leader)
    assert state(edged, server)[0] == "present", "a server that is down keeps its port"
    assert edged.statuses(account) == [("edge_republish", "done")]


def test_a_new_port_of_a_suspended_server_is_not_told(
    edged: Floor, leader: Controller, server: UUID, names: DriverDouble
) -> None:
    edged.suspend_now(edged.seat(server).account_id)
    edged.host.ports[str(server)] = 32_768
    edged.tick(leader)
    look(leader)
    assert edged.seat(server).published_port == 32_768
    assert [entry.port for entry in names.entries.values()] == [25_565]
    assert "edge_republish" not in {name for name, _ in edged.statuses(edged.seat(server).account_id)}
