"""Starting and stopping: what was asked for last counts, and what billing stops stays down whatever the race."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from jobs.controller import Controller
from storage import servers
from storage.intents_ask import ask_server
from tests.jobs.floor import Floor


def asked(floor: Floor, server: UUID, what: str) -> None:
    """Ask as the server's owner."""
    request = {"start": servers.request_start, "stop": servers.request_stop, "restart": servers.request_restart}[what]
    with floor.begin() as conn:
        request(conn, floor.policy, server, actor="Ada")


def test_start_and_stop_are_carried_out_and_seen(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account, runs=False)
    asked(floor, server, "start")
    floor.run(controller)
    seat = floor.seat(server)
    assert (seat.desired, seat.observed, seat.lifecycle, seat.autostart) == ("running", "running", "running", True)
    asked(floor, server, "stop")
    floor.run(controller)
    seat = floor.seat(server)
    assert (seat.desired, seat.observed, seat.lifecycle, seat.autostart) == ("stopped", "stopped", "stopped", False)


def test_restart_stops_and_starts_once(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    asked(floor, server, "restart")
    floor.run(controller)
    assert [verb for verb, _ in floor.host.calls if verb in {"start", "stop"}] == ["stop", "start"]
    assert floor.seat(server).lifecycle == "running"


def test_stop_asked_after_start_wins(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account(), runs=False)
    asked(floor, server, "start")
    asked(floor, server, "stop")
    floor.run(controller)
    assert floor.host.running[str(server)] is False
    assert floor.seat(server).desired == "stopped"


def test_start_asked_after_stop_wins(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    asked(floor, server, "stop")
    with floor.begin() as conn:
        conn.execute(text("UPDATE servers SET desired = 'running' WHERE id = :id"), {"id": server})
    floor.carry_out()
    assert floor.host.running[str(server)] is True


def test_start_that_loses_the_race_with_a_suspension_is_undone_at_once(floor: Floor) -> None:
    account = floor.known_account()
    server = floor.machine(account, runs=False)
    asked(floor, server, "start")
    floor.host.before["start"] = lambda: floor.suspend_now(account)
    assert floor.apply_named(account, "start_server") == "done"
    assert "start" in [verb for verb, _ in floor.host.calls]
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False


def test_start_queued_before_a_suspension_is_dropped(floor: Floor) -> None:
    account = floor.known_account()
    server = floor.machine(account, runs=False)
    asked(floor, server, "start")
    floor.suspend_now(account)
    floor.apply_named(account, "start_server")
    assert ("start_server", "dropped") in floor.statuses(account)
    assert floor.host.made("start") == []


def test_stop_that_hangs_is_forced_in_its_time(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    floor.host.stubborn.add(str(server))
    asked(floor, server, "stop")
    floor.carry_out()
    assert floor.seat(server).lifecycle == "stopping"
    floor.advance(0.05)
    floor.run(controller)
    assert floor.host.made("kill") == [str(server)]
    assert floor.seat(server).lifecycle == "stopped"


def test_server_that_cannot_be_launched_fails_in_its_time_and_a_person_is_told(
    floor: Floor, controller: Controller
) -> None:
    server = floor.machine(floor.known_account(), runs=False)
    floor.host.broken.add(str(server))
    asked(floor, server, "start")
    floor.run(controller)
    floor.advance(0.2)
    floor.run(controller)
    assert floor.seat(server).lifecycle == "failed"
    for _ in range(12):
        floor.advance(2)
        floor.run(controller)
    assert "intent_failed" in floor.alerts()


def test_a_repair_that_was_asked_for_before_a_suspension_is_skipped_after_it_and_the_audit_says_why(
    floor: Floor, controller: Controller
) -> None:
    account = floor.known_account()
    server = floor.machine(account, runs=False)
    with floor.begin() as conn:
        ask_server(conn, floor.policy, server, "start_server", actor="controller", machine="repair", because="drift")
    floor.suspend_now(account)
    floor.apply_named(account, "start_server")
    assert ("start_server", "dropped") in floor.statuses(account)
    assert floor.host.made("start") == []
    (row,) = [row for row in floor.audit_of(account) if row["action"] == "start_server" and row["to"] == "dropped"]
    assert row["because"] == "no longer wanted: servers are suspended_shutdown by billing"
