"""Locks that lost their worker: cleared on the lifecycle's own timer, and never under a worker that lives."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from jobs.controller import Controller
from storage import backups, operations
from storage.intents_ask import ask_server
from storage.operations import Operation
from tests.jobs.floor import Floor
from tests.jobs.orders import ordered


def begin(floor: Floor, server: UUID, intent: str, claimed_by: int) -> None:
    """Let a worker have claimed an intent, and have put the server at its safe point."""
    begun = (
        "UPDATE intents SET status = 'started', tries = 1, claimed_by = :by, "
        "claimed_until = clock_timestamp() + interval '1 hour' WHERE server_id = :id AND intent = :intent"
    )
    with floor.begin() as conn:
        conn.execute(text(begun), {"by": claimed_by, "id": server, "intent": intent})


def stand(floor: Floor, server: UUID, lifecycle: str, since: str) -> None:
    """Put the server into a state that it entered just now."""
    floor.rows(
        "UPDATE servers SET lifecycle = :at, stamps = jsonb_build_object(CAST(:since AS text), CAST(:now AS text)), "
        "due_at = CAST(:now AS timestamptz) + interval '1 hour' WHERE id = :id RETURNING 1",
        at=lifecycle, since=since, now=floor.now().isoformat(), id=server,
    )  # fmt: skip


def backup(floor: Floor, server: UUID) -> UUID:
    with floor.begin() as conn:
        made = backups.create(conn, server)
        ask_server(conn, floor.policy, server, "create_backup", actor="Ada", args={"backup_id": str(made.id)})
    stand(floor, server, "backing_up", "backing_up_since")
    return made.id


def read(floor: Floor, operation: Operation) -> Operation:
    with floor.begin() as conn:
        return operations.get(conn, operation.id)


def test_a_backup_that_lost_its_worker_is_ended_when_its_time_is_over(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    made = backup(floor, server)
    begin(floor, server, "create_backup", claimed_by=999_999)
    floor.advance(0.9)
    floor.tick(controller)
    assert floor.seat(server).lifecycle == "backing_up"
    floor.rows("UPDATE intents SET status = 'started' WHERE intent = 'create_backup' RETURNING 1")
    floor.advance(0.2)
    floor.tick(controller)
    assert floor.seat(server).lifecycle in {"failed", "running"}
    assert floor.apply_named(account, "clear_stale_operation_lock") == "done"
    with floor.begin() as conn:
        assert [(each.id, each.state) for each in backups.of_server(conn, server)] == [(made, "failed")]
    assert ("create_backup", "dropped") in floor.statuses(account)
    assert "intent_failed" in floor.alerts()
    dropped = [row for row in floor.audit_of(account) if row["action"] == "create_backup" and row["to"] == "dropped"]
    assert [row["because"] for row in dropped] == ["its worker was lost, and its time was over"]


def test_a_worker_that_lives_is_waited_for(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    made = backup(floor, server)
    begin(floor, server, "create_backup", claimed_by=floor.context.presence.process_id)
    floor.advance(1.1)
    floor.tick(controller)
    assert floor.apply_named(account, "clear_stale_operation_lock") == "open"
    with floor.begin() as conn:
        assert [(each.id, each.state) for each in backups.of_server(conn, server)] == [(made, "queued")]
    assert ("create_backup", "started") in floor.statuses(account)


def test_an_order_that_lost_its_worker_ends_and_can_be_resumed(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.rows(
        "UPDATE operations SET state = 'in_progress', phase = 'create' WHERE id = :id RETURNING 1", id=operation.id
    )
    floor.rows("UPDATE intents SET tries = 1 WHERE server_id = :id RETURNING 1", id=server)
    stand(floor, server, "provisioning", "provisioning_since")
    floor.rows("UPDATE servers SET due_at = now() RETURNING 1")
    floor.advance(1.1)
    floor.tick(controller)
    floor.apply_named(account, "clear_stale_operation_lock")
    found = read(floor, operation)
    assert (found.state, found.phase, found.left_behind) == ("failed", "create", "unknown")
    assert (floor.seat(server).lifecycle, floor.seat(server).desired) == ("failed", "stopped")
    assert floor.host.made("create") == []


def test_what_was_never_begun_holds_nothing_and_waits_for_its_turn(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    backup(floor, server)
    floor.advance(1.1)
    floor.tick(controller)
    assert floor.apply_named(account, "clear_stale_operation_lock") == "done"
    assert ("create_backup", "open") in floor.statuses(account)
