"""What is remembered of repairs: events for changes, none while nothing changes, and the end of what was asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from engine.load import bundle, load_texts
from jobs.controller import Controller
from storage import clock, operations, policies, repairs
from storage.intents_ask import ask_server
from storage.operations import Operation
from storage.repairs import Event
from storage.settings import SHIPPED_POLICY
from tests.jobs.floor import Floor
from tests.jobs.orders import at, ordered


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def crash(floor: Floor, server: UUID) -> None:
    floor.host.running[str(server)] = False


def told(floor: Floor) -> list[tuple[str, str]]:
    """Return line and outcome of every event, oldest first."""
    with floor.begin() as conn:
        return [(each.event.repair, each.event.outcome) for each in reversed(repairs.listed(conn))]


def deploy(floor: Floor, **overrides: str) -> None:
    """Put the shipped policy in force with levels set as they would be where it is deployed."""
    texts = bundle(SHIPPED_POLICY)
    with floor.begin() as conn:
        policies.deploy(conn, load_texts(texts, overrides), texts, overrides, "test")


def test_a_repair_is_told_when_it_is_asked_for_and_when_it_is_done(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    crash(floor, server)
    floor.run(controller)
    assert told(floor) == [("start_stopped", "asked"), ("start_stopped", "done")]
    with floor.begin() as conn:
        done, asked = repairs.listed(conn, server_id=server)
    assert done.event.reason == "observed running"
    assert asked.event.intent == "start_server"
    assert done.event.intent_id == asked.event.intent_id is not None
    assert "desired running, observed stopped" in asked.event.reason


def test_nothing_is_repaired_in_maintenance_but_what_is_suspended_is_shut_down(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    suspended = floor.machine(account := floor.known_account("Bea", "bea@example.com"))
    floor.suspend_now(account)
    with floor.begin() as conn:
        now = clock.now(conn)
        window = f"maintenance: [{{from: {now:%Y-%m-%dT%H:%M}Z, until: {now + timedelta(hours=1):%Y-%m-%dT%H:%M}Z}}]"
        texts = bundle(SHIPPED_POLICY)
        texts["maintenance.yaml"] = texts["maintenance.yaml"].replace("maintenance: []", window)
        policies.deploy(conn, load_texts(texts), texts, {}, "test")
    crash(floor, server)
    floor.host.running[str(suspended)] = True
    for _ in range(5):
        floor.run(controller)
    assert not floor.host.running[str(server)]
    assert not floor.host.running[str(suspended)]
    assert ("start_stopped", "resting") in told(floor)
    assert "asked" not in {outcome for repair, outcome in told(floor) if repair == "start_stopped"}
    floor.advance(2)
    for _ in range(5):
        floor.run(controller)
    assert floor.host.running[str(server)]
    assert not floor.host.running[str(suspended)]


def test_nothing_is_added_while_nothing_changes(floor: Floor, controller: Controller, server: UUID) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_2="dry_run")
    floor.rows("UPDATE servers SET desired = 'stopped' RETURNING 1")
    for _ in range(12):
        floor.tick(controller)
    assert told(floor) == [("stop_unwanted", "dry_run")]
    assert floor.host.made("stop") == []
    floor.host.running[str(server)] = False
    for _ in range(3):
        floor.tick(controller)
    assert told(floor) == [("stop_unwanted", "dry_run"), ("stop_unwanted", "over")]


@pytest.mark.parametrize(("mode", "stops"), [("off", 0), ("dry_run", 0), ("live", 1)])
def test_a_level_decides_whether_it_is_done(
    floor: Floor, controller: Controller, server: UUID, mode: str, stops: int
) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_2=mode)
    floor.rows("UPDATE servers SET desired = 'stopped' RETURNING 1")
    floor.run(controller)
    assert len(floor.host.made("stop")) == stops
    outcomes = {"off": [], "dry_run": ["dry_run"], "live": ["asked", "done"]}
    assert [outcome for _, outcome in told(floor)] == outcomes[mode]


def test_a_dry_run_keeps_no_live_line_below_from_acting(floor: Floor, controller: Controller, server: UUID) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_2="dry_run")
    crash(floor, server)
    floor.rows("UPDATE servers SET lifecycle = 'failed', lifecycle_since = now() - interval '1 hour' RETURNING 1")
    floor.run(controller)
    assert set(told(floor)) >= {("restart_failed", "dry_run"), ("start_stopped", "done")}
    assert floor.host.made("start") == [str(server)]


def test_a_server_that_never_came_to_be_is_made_again_once_level_3_is_live(
    floor: Floor, controller: Controller
) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_3="live")
    server = floor.server(floor.known_account(), lifecycle="failed", observed="stopped")
    floor.rows("UPDATE servers SET lifecycle_since = now() - interval '7 hours' RETURNING 1")
    floor.run(controller)
    assert floor.host.made("create") == [str(server)]
    assert floor.seat(server).observed == "running"
    assert told(floor) == [("make_again", "asked"), ("make_again", "done")]


def lost_order(floor: Floor) -> tuple[UUID, Operation]:
    """Return an order whose worker was lost, and that has failed since, seven hours ago."""
    server, operation = ordered(floor, floor.known_account())
    floor.rows("UPDATE intents SET status = 'failed' WHERE server_id = :id RETURNING 1", id=server)
    with floor.begin() as conn:
        operations.fail(conn, operation.id, error="sorry", reason="its worker died", phase="create")
    late = "lifecycle = 'failed', observed = 'stopped', lifecycle_since = now() - interval '7 hours'"
    floor.rows(f"UPDATE servers SET {late} WHERE id = :id RETURNING 1", id=server)
    return server, operation


def test_an_order_that_is_made_again_shows_its_phases_and_ends_as_any(floor: Floor, controller: Controller) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_3="live")
    server, operation = lost_order(floor)
    floor.host.before["create"] = lambda: phases.append(at(floor, operation)[:2])
    phases: list[tuple[str, str | None]] = []
    floor.run(controller)
    assert phases == [("in_progress", "create")]
    assert at(floor, operation) == ("succeeded", "ready", None)
    assert floor.host.made("create") == [str(server)]
    actions = [row["action"] for row in floor.audit_of(floor.seat(server).account_id)]
    assert "resume_operation" in actions


def test_an_order_that_was_cleaned_up_or_goes_on_is_not_made_again(floor: Floor, controller: Controller) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_3="live")
    server, operation = lost_order(floor)
    floor.rows("UPDATE operations SET phase = 'cleaned_up' RETURNING 1")
    floor.run(controller)
    assert floor.host.made("create") == []
    assert at(floor, operation)[:2] == ("failed", "cleaned_up")
    assert ("make_again", "failed") in told(floor)
    assert floor.seat(server).lifecycle == "failed"


def test_a_start_that_billing_forbids_by_then_is_skipped_and_the_audit_says_so(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    crash(floor, server)
    for _ in range(3):
        floor.tick(controller)
    account = floor.seat(server).account_id
    queued = floor.intents_of(account)[-1]
    assert (queued["intent"], queued["status"]) == ("start_server", "open")
    floor.suspend_now(account)
    assert floor.apply(queued["id"]) == "left alone"
    floor.tick(controller)
    assert [outcome for line, outcome in told(floor) if line == "start_stopped"] == ["asked", "skipped"]
    (entry,) = [row for row in floor.audit_of(account) if row["action"] == "start_server" and row["to"] == "dropped"]
    assert entry["because"] == "no longer wanted: servers are suspended_shutdown by billing"
    assert floor.host.made("start") == []


def test_what_the_brake_holds_is_told_once(floor: Floor, controller: Controller) -> None:
    servers = [floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(5)]
    for server in servers:
        crash(floor, server)
    for _ in range(8):
        floor.tick(controller)
    assert [outcome for _, outcome in told(floor)].count("braked") == 2
    assert floor.alerts().count("repair_brake_tripped") == 1


def test_a_repair_that_does_not_last_is_paused_and_told_once(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    for _ in range(9):
        crash(floor, server)
        floor.tick(controller)
        floor.carry_out()
    assert told(floor)[:3] == [("start_stopped", "asked"), ("start_stopped", "done"), ("start_stopped", "paused")]
    assert len(told(floor)) == 3


def test_old_events_and_too_many_are_removed(
    floor: Floor, controller: Controller, server: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = floor.now()
    old = Event(server, "start_stopped", None, None, "over", "", now - repairs.KEPT - timedelta(seconds=1))
    kept = replace(old, at=now - repairs.KEPT + timedelta(minutes=1))
    with floor.begin() as conn:
        repairs.tell(conn, [old, kept, kept, kept])
        assert repairs.prune(conn, now) == 1
        assert len(repairs.listed(conn)) == 3
        monkeypatch.setattr(repairs, "MOST_KEPT", 2)
        assert repairs.prune(conn, now) == 1
        assert repairs.prune(conn, now) == 0
        newest, *_ = repairs.listed(conn)
    assert newest.event.at == kept.at


def test_the_controller_prunes(floor: Floor, controller: Controller, server: UUID) -> None:
    old = Event(server, "start_stopped", None, None, "over", "", floor.now() - 2 * repairs.KEPT)
    with floor.begin() as conn:
        repairs.tell(conn, [old])
    floor.tick(controller)
    assert told(floor) == []


def test_events_are_found_by_server_and_outcome(floor: Floor) -> None:
    first, second = (floor.machine(floor.known_account(email=f"{n}@example.com")) for n in range(2))
    more: dict[str, Any] = {"repair": "x", "intent": None, "level": 2, "reason": "", "at": floor.now()}
    with floor.begin() as conn:
        repairs.tell(conn, [Event(first, outcome="dry_run", **more), Event(second, outcome="over", **more)])
        assert [each.event.server_id for each in repairs.listed(conn, outcomes=["over"])] == [second]
        assert [each.event.outcome for each in repairs.listed(conn, server_id=first)] == ["dry_run"]
        assert len(repairs.listed(conn, limit=1)) == 1


@pytest.mark.parametrize(("mode", "outcomes"), [("dry_run", ["dry_run"]), ("live", ["asked", "done"])])
def test_a_lock_whose_worker_is_lost_is_cleared_when_its_level_is_live(
    floor: Floor, controller: Controller, server: UUID, mode: str, outcomes: list[str]
) -> None:
    deploy(floor, BILLING_REPAIR_LEVEL_1=mode)
    with floor.begin() as conn:
        ask_server(conn, floor.policy, server, "create_backup", actor="Ada", args={})
    tried = "UPDATE intents SET tries = 1, started_at = now() - make_interval(mins => :ago), not_before = :later "
    given = {"later": floor.now() + timedelta(days=1)}
    floor.rows(tried + "RETURNING 1", ago=89, **given)
    for _ in range(4):
        floor.tick(controller)
    assert told(floor) == []
    floor.rows(tried + "RETURNING 1", ago=91, **given)
    floor.run(controller)
    assert [outcome for line, outcome in told(floor) if line == "stale_lock"] == outcomes
    (backup,) = floor.intents_of(floor.seat(server).account_id, "create_backup")
    assert backup["status"] == ("open" if mode == "dry_run" else "dropped")
