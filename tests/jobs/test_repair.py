"""Desired against observed: what should run is started again, what billing stopped never, and unknown is left alone."""

from __future__ import annotations

from uuid import UUID

import pytest

from jobs.controller import Controller
from storage.invoicing import metering
from tests.jobs.floor import Floor
from tests.jobs.orders import order


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def crash(floor: Floor, server: UUID) -> None:
    floor.host.running[str(server)] = False


def test_a_stopped_server_that_should_run_is_started_again(floor: Floor, controller: Controller, server: UUID) -> None:
    floor.tick(controller)
    crash(floor, server)
    floor.run(controller)
    assert floor.host.running[str(server)] is True
    assert floor.seat(server).lifecycle == "running"
    assert floor.host.made("start") == [str(server)]


def test_it_is_seen_three_times_before_anything_is_done(floor: Floor, controller: Controller, server: UUID) -> None:
    crash(floor, server)
    reports = [floor.tick(controller) for _ in range(3)]
    assert [report.repairs for report in reports] == [0, 0, 1]
    assert [report.pending for report in reports] == [1, 1, 0]


def test_a_server_that_comes_back_by_itself_is_not_repaired(floor: Floor, controller: Controller, server: UUID) -> None:
    crash(floor, server)
    floor.tick(controller)
    floor.host.running[str(server)] = True
    floor.tick(controller)
    crash(floor, server)
    assert [floor.tick(controller).repairs for _ in range(2)] == [0, 0]


def test_a_suspended_server_is_never_started(floor: Floor, controller: Controller, server: UUID) -> None:
    account = floor.seat(server).account_id
    floor.suspend(account, controller)
    floor.rows("UPDATE servers SET desired = 'running' RETURNING 1")
    for _ in range(10):
        floor.tick(controller)
        floor.carry_out()
    assert floor.host.made("start") == []
    assert floor.host.running[str(server)] is False


def test_a_suspended_server_found_running_is_shut_down_within_a_tick(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    account = floor.seat(server).account_id
    floor.suspend(account, controller)
    floor.advance(1)
    floor.run(controller)
    floor.host.running[str(server)] = True  # a host's reboot, a restart policy, a hand
    floor.host.autostart[str(server)] = True
    assert floor.tick(controller).repairs == 1
    floor.carry_out()
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    assert "suspended_running" in floor.alerts()
    assert floor.row(account)["billing_status"] == "suspended"


def test_autostart_that_somebody_turned_on_is_turned_off(floor: Floor, controller: Controller, server: UUID) -> None:
    floor.suspend(floor.seat(server).account_id, controller)
    floor.host.autostart[str(server)] = True
    floor.run(controller)
    assert floor.host.autostart[str(server)] is False


def test_nothing_is_done_about_what_is_unknown(floor: Floor, controller: Controller, server: UUID) -> None:
    floor.tick(controller)
    floor.host.offline = True
    for _ in range(5):
        report = floor.tick(controller)
        assert (report.repairs, report.pending) == (0, 0)
    seat = floor.seat(server)
    assert (seat.observed, seat.lifecycle) == ("unknown", "running")
    floor.advance(0.3)
    floor.tick(controller)
    assert floor.alerts().count("host_unknown") == 1
    floor.tick(controller)
    assert floor.alerts().count("host_unknown") == 1


def test_a_host_that_lists_nothing_has_lost_its_servers_not_stopped_them(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    floor.tick(controller)
    floor.host.hidden.add(str(server))
    for _ in range(5):
        floor.tick(controller)
    assert floor.seat(server).observed == "unknown"
    assert floor.host.made("start") == []


def test_who_is_told_of_a_lost_tenant_reads_that_it_is_billed_on_and_what_ends_that(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    with floor.begin() as conn:
        metering.created(conn, server, source="observed")
    floor.tick(controller)
    floor.host.hidden.add(str(server))
    floor.tick(controller)
    floor.advance(0.3)
    floor.tick(controller)
    words = floor.scalar("SELECT text FROM alerts WHERE kind = 'host_unknown'")
    assert "is billed on until somebody deletes it" in words
    assert f"`POST /api/admin/tenants/{server}/delete`" in words
    ended = "SELECT count(*) FROM tenant_billing_lifecycle WHERE server_id = :id AND event = 'deleted'"
    assert floor.scalar(ended, id=server) == 0
    order(floor, server, "delete_server")
    floor.run(controller)
    assert (floor.seat(server).lifecycle, floor.scalar(ended, id=server)) == ("deleted", 1)


def test_a_server_that_crashes_again_and_again_is_left_alone_for_longer(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    for _ in range(8):  # a moment: the test's clock goes on with the real one, and the first pause is 10 seconds
        crash(floor, server)
        floor.tick(controller)
        floor.carry_out()
    assert len(floor.host.made("start")) == 1
    floor.advance(0.01)
    for _ in range(6):
        crash(floor, server)
        floor.tick(controller)
        floor.carry_out()
    assert len(floor.host.made("start")) == 2


def test_many_repairs_at_once_trip_the_brake(floor: Floor, controller: Controller) -> None:
    servers = [floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(8)]
    floor.tick(controller)
    for server in servers:
        crash(floor, server)
    for _ in range(6):
        floor.tick(controller)
        floor.carry_out()
    assert len(floor.host.made("start")) == 3
    assert sum(floor.host.running.values()) == 3


def test_safe_points_are_left_alone(floor: Floor, controller: Controller, server: UUID) -> None:
    floor.rows("UPDATE servers SET lifecycle = 'backing_up' RETURNING 1")
    crash(floor, server)
    for _ in range(5):
        assert floor.tick(controller).repairs == 0


def test_a_machine_that_comes_up_with_us_brings_back_what_should_run_and_nothing_else(
    database_url: str, redis_url: str, floor: Floor
) -> None:
    from dataclasses import replace

    wanted = [floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(6)]
    unwanted = floor.machine(floor.known_account(email="x@example.com"), runs=False)
    for server in wanted:
        crash(floor, server)
    controller = floor.controller(settings=replace(floor.settings, up_pid=1))
    floor.run(controller)
    assert sorted(floor.host.made("start")) == sorted(map(str, wanted))
    assert floor.host.running[str(unwanted)] is False
