"""Backups: whole or failed, restored over a safety copy, and followed to their end whatever becomes of them."""

from __future__ import annotations

import hashlib
from uuid import UUID, uuid4

import pytest

from engine.snapshot import Command
from jobs.actions.backups import SAFETY_COPIES_KEPT
from jobs.controller import Controller
from storage import backups, operations
from tests.jobs.floor import Floor
from tests.jobs.orders import order


@pytest.fixture
def server(floor: Floor) -> UUID:
    return floor.machine(floor.known_account())


def made(floor: Floor, server: UUID) -> UUID:
    """Return a backup that is being made."""
    backup = uuid4()
    order(floor, server, "create_backup", backup_id=str(backup))
    return backup


def state(floor: Floor, operation: operations.Operation) -> tuple[str, str | None]:
    with floor.begin() as conn:
        now = operations.get(conn, operation.id)
    return now.state, now.error


def rows(floor: Floor, server: UUID) -> list[backups.Backup]:
    with floor.begin() as conn:
        return backups.of_server(conn, server)


def test_a_backup_is_made_whole_while_the_server_runs(floor: Floor, controller: Controller, server: UUID) -> None:
    backup = uuid4()
    operation = order(floor, server, "create_backup", backup_id=str(backup))
    seen: list[str] = []
    floor.host.before["create_backup"] = lambda: seen.append(floor.seat(server).lifecycle)
    floor.run(controller)
    (row,) = rows(floor, server)
    assert (row.id, row.state, row.sha256) == (backup, "complete", hashlib.sha256(b"world").hexdigest())
    assert state(floor, operation) == ("succeeded", None)
    assert seen == ["backing_up"]
    assert floor.seat(server).lifecycle == "running"


def test_a_restore_stops_keeps_a_safety_copy_and_runs_again(floor: Floor, controller: Controller, server: UUID) -> None:
    backup = made(floor, server)
    floor.run(controller)
    floor.host.files[str(server)] = b"later"
    operation = order(floor, server, "restore_backup", backup_id=str(backup))
    floor.run(controller)
    assert floor.host.files[str(server)] == b"world"
    safety = next(each for each in rows(floor, server) if each.safety)
    assert floor.host.backups[str(server)][str(safety.id)] == b"later"
    assert state(floor, operation) == ("succeeded", None)
    assert floor.host.running[str(server)] is True, "it is wanted running, so it runs again"


def test_a_restore_that_is_done_again_keeps_what_was_there_first(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    backup = made(floor, server)
    floor.run(controller)
    floor.host.files[str(server)] = b"later"
    order(floor, server, "restore_backup", backup_id=str(backup))
    account = floor.seat(server).account_id
    claim = floor.claim(UUID(str(floor.intents_of(account, "restore_backup")[0]["id"])), worker=999_999)
    assert claim is not None
    from jobs.apply import carry_out

    carry_out(floor.context, claim)  # and the worker dies
    floor.run(controller)
    assert floor.host.files[str(server)] == b"world"
    assert [floor.host.backups[str(server)][str(each.id)] for each in rows(floor, server) if each.safety] == [b"later"]


def test_a_damaged_backup_restores_nothing_and_wakes_somebody(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    operation = order(floor, server, "restore_backup", backup_id=str(uuid4()))
    floor.run(controller)
    assert floor.host.files[str(server)] == b"world"
    assert state(floor, operation)[0] == "failed"
    assert "backup_failed" in floor.alerts()
    assert floor.policy.alerts["backup_failed"] == "alerts-critical"


def test_a_backup_asked_for_before_the_block_ends_without_being_made(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    account = floor.seat(server).account_id
    backup = uuid4()
    operation = order(floor, server, "create_backup", backup_id=str(backup))
    with floor.begin() as conn:
        from sqlalchemy import text

        conn.execute(text("UPDATE intents SET not_before = clock_timestamp() + interval '200 hours'"))
    floor.suspend_now(account)
    floor.advance(200)
    floor.run(controller)
    assert floor.host.made("create_backup") == []
    assert state(floor, operation)[0] == "failed"
    assert [each.state for each in rows(floor, server)] == ["failed"]


def test_a_host_that_stays_away_ends_it_and_wakes_somebody(floor: Floor, controller: Controller, server: UUID) -> None:
    operation = order(floor, server, "create_backup", backup_id=str(uuid4()))

    def gone() -> None:
        from jobs.hosts.base import HostFull

        raise HostFull("double")

    floor.host.before["create_backup"] = gone
    floor.run(controller)
    assert state(floor, operation)[0] == "failed"
    assert [each.state for each in rows(floor, server)] == ["failed"]
    assert "backup_failed" in floor.alerts()
    assert floor.seat(server).lifecycle == "running"


def test_suspension_waits_until_a_backup_that_is_being_made_is_whole(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    account = floor.seat(server).account_id
    floor.owe(account)
    floor.run(controller)
    floor.advance(73)
    floor.run(controller)
    floor.rows("UPDATE servers SET lifecycle = 'backing_up' RETURNING 1")
    floor.advance(49)
    floor.sweep(force=True)
    assert floor.row(account)["billing_status"] == "final_warning"
    assert floor.host.running[str(server)] is True


def test_deleting_and_pruning_leave_the_newest_and_the_safety_copies(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    three: list[UUID] = []
    for _ in range(3):
        three.append(made(floor, server))
        floor.run(controller)
        floor.advance(0.01)
    first, second, third = three
    order(floor, server, "delete_backup", backup_id=str(second))
    floor.run(controller)
    order(floor, server, "restore_backup", backup_id=str(first))
    floor.run(controller)
    order(floor, server, "prune_backups", keep=1)
    floor.run(controller)
    left = rows(floor, server)
    assert [each.id for each in left if not each.safety] == [third]
    assert len([each for each in left if each.safety]) == 1
    assert len(floor.host.backups[str(server)]) == 2


def test_the_newest_safety_copies_stay_and_the_one_that_was_restored(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    first = made(floor, server)
    floor.run(controller)
    contents: list[bytes] = []
    for number in range(SAFETY_COPIES_KEPT + 1):
        contents.append(b"lost %d" % number)
        restored(floor, controller, server, first, contents[-1])
    assert safety_copies(floor, server) == contents[1:], "the oldest is gone, of the list and of the host"
    oldest = min((each for each in rows(floor, server) if each.safety), key=lambda each: each.created_at)
    restored(floor, controller, server, oldest.id, b"again")
    assert safety_copies(floor, server) == [*contents[1:], b"again"], "one more: it was just restored"
    assert any(each.id == first for each in rows(floor, server)), "the customer's own backups are never among them"


def test_where_backups_are_blocked_a_restore_takes_no_safety_copy_away(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    first = made(floor, server)
    floor.run(controller)
    for number in range(SAFETY_COPIES_KEPT):
        restored(floor, controller, server, first, b"lost %d" % number)
    floor.rows('UPDATE accounts SET states = states || \'{"abuse": "stopped"}\' RETURNING 1')
    restored(floor, controller, server, first, b"the admin's", actor="admin:Ada")
    assert len(safety_copies(floor, server)) == SAFETY_COPIES_KEPT + 1


def restored(
    floor: Floor, controller: Controller, server: UUID, backup: UUID, lost: bytes, *, actor: str = "Ada"
) -> None:
    """Restore a backup over what is lost by that."""
    floor.host.files[str(server)] = lost
    order(floor, server, "restore_backup", actor=actor, backup_id=str(backup))
    floor.run(controller)
    floor.advance(0.01)


def safety_copies(floor: Floor, server: UUID) -> list[bytes]:
    """Return what the safety copies hold, oldest first, after checking that list and host agree."""
    listed = sorted((each for each in rows(floor, server) if each.safety), key=lambda each: each.created_at)
    own = {str(each.id) for each in rows(floor, server)}
    assert set(floor.host.backups[str(server)]) == own
    return [floor.host.backups[str(server)][str(each.id)] for each in listed]


def test_a_server_that_is_nowhere_cannot_be_backed_up_and_is_said_so(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    floor.rows("UPDATE servers SET lifecycle = 'deleting' RETURNING 1")
    operation = order(floor, server, "create_backup", backup_id=str(uuid4()))
    floor.run(controller)
    assert state(floor, operation)[0] == "failed"


def test_a_restore_that_could_not_stop_the_server_leaves_no_suspended_one_running(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    account = floor.seat(server).account_id
    backup = made(floor, server)
    floor.run(controller)
    operation = order(floor, server, "restore_backup", backup_id=str(backup))
    floor.host.offline = True
    floor.carry_out()
    assert (floor.seat(server).lifecycle, floor.host.running[str(server)]) == ("restoring", True)
    for event in ("abuse_reported", "abuse_confirmed"):
        floor.record(account, command=Command(event, "admin", "ada"))
    floor.host.offline = False
    floor.advance(1 / 60)
    floor.run(controller)
    assert floor.host.running[str(server)] is False
    assert state(floor, operation)[0] == "failed"


def test_a_backup_that_failed_before_the_block_holds_the_server_no_longer(
    floor: Floor, controller: Controller, server: UUID
) -> None:
    account = floor.seat(server).account_id
    backup = made(floor, server)
    floor.host.offline = True
    floor.carry_out()
    assert floor.seat(server).lifecycle == "backing_up"
    floor.record(account, command=Command("abuse_reported", "admin", "ada"))
    floor.host.offline = False
    floor.advance(1 / 60)
    floor.run(controller)
    assert [(each.id, each.state) for each in rows(floor, server)] == [(backup, "failed")]
    assert floor.seat(server).lifecycle == "running"


@pytest.mark.parametrize(("first", "second"), [("restore_backup", "reinstall_server")])
def test_a_restore_leaves_the_safe_point_to_a_reinstall_that_goes_on(
    floor: Floor, server: UUID, first: str, second: str
) -> None:
    order(floor, server, second)
    claim = floor.claim(UUID(str(floor.intents_of(floor.seat(server).account_id, second)[0]["id"])))
    assert claim is not None
    floor.rows("UPDATE servers SET lifecycle = 'restoring' RETURNING 1")
    order(floor, server, first, backup_id=str(uuid4()))  # which is nowhere, so that this fails
    floor.carry_out()
    assert floor.seat(server).lifecycle == "restoring"
