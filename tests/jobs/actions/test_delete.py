"""Taking servers away: what a failed order left, and nothing that ever ran."""

from __future__ import annotations

from uuid import UUID

import pytest

from engine.snapshot import Command
from jobs.controller import Controller
from jobs.hosts.base import HostUnavailable
from storage import backups, operations, operations_settle, servers
from storage.errors import DeletionBegun, OperationRefused, ServersStopped
from storage.operations import Operation
from tests.jobs.floor import Floor
from tests.jobs.orders import order, ordered


def failed(floor: Floor, account: UUID) -> tuple[UUID, Operation]:
    """Order a server whose start fails."""
    server, operation = ordered(floor, account)
    floor.host.broken.add(str(server))
    floor.carry_out()
    return server, read(floor, operation)


def read(floor: Floor, operation: Operation) -> Operation:
    with floor.begin() as conn:
        return operations.get(conn, operation.id)


def clean_up(floor: Floor, operation: Operation) -> int:
    """Ask for it as an admin; return how much was asked for."""
    with floor.begin() as conn:
        _, asked = operations_settle.clean_up(conn, floor.policy, operation.id, actor="admin", reason="by phone")
    return len(asked)


def resume(floor: Floor, operation: Operation) -> int:
    with floor.begin() as conn:
        _, asked = operations_settle.resume(conn, floor.policy, operation.id, actor="admin", reason="mended")
    return len(asked)


def test_a_failed_order_is_resumed_once_and_makes_no_second_server(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = failed(floor, account)
    floor.host.broken.clear()
    assert [resume(floor, operation), resume(floor, operation)] == [1, 0]
    floor.run(controller)
    assert read(floor, operation).state == "succeeded"
    assert floor.host.made("create") == [str(server)]
    assert floor.seat(server).lifecycle == "running"
    told = [(row["action"], row["actor"], row["because"]) for row in floor.audit_of(account)]
    assert ("resume_operation", "admin", "mended") in told
    with pytest.raises(OperationRefused, match="it is ready"):
        resume(floor, operation)


def test_a_resumed_order_that_fails_again_has_failed_again(floor: Floor, controller: Controller) -> None:
    _, operation = failed(floor, floor.known_account())
    resume(floor, operation)
    floor.run(controller)
    assert (read(floor, operation).state, read(floor, operation).phase) == ("failed", "start")


def test_what_a_failed_order_left_is_taken_away_once(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = failed(floor, account)
    assert [clean_up(floor, operation), clean_up(floor, operation)] == [1, 0]
    floor.run(controller)
    assert floor.host.made("destroy") == [str(server)]
    assert floor.seat(server).lifecycle == "deleted"
    found = read(floor, operation)
    assert (found.state, found.phase, found.left_behind) == ("failed", "cleaned_up", "nothing")
    assert clean_up(floor, operation) == 0
    with pytest.raises(OperationRefused, match="it was cleaned up"):
        resume(floor, operation)


def test_a_server_that_ran_for_a_moment_is_never_cleaned_up(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = failed(floor, account)
    floor.host.running[str(server)] = True
    floor.run(controller)
    floor.host.running[str(server)] = False
    floor.run(controller)
    with pytest.raises(OperationRefused, match="has run"):
        clean_up(floor, operation)
    assert floor.host.made("destroy") == []


def test_a_server_that_is_seen_running_right_before_is_not_destroyed(floor: Floor, controller: Controller) -> None:
    server, operation = failed(floor, floor.known_account())
    clean_up(floor, operation)
    floor.host.running[str(server)] = True
    assert floor.apply_named(operation.account_id, "clean_up_server") == "failed"
    assert floor.host.made("destroy") == []


def test_billing_denies_the_resumption_of_an_order_and_not_its_clean_up(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = failed(floor, account)
    floor.suspend_now(account)
    with pytest.raises(ServersStopped):
        resume(floor, operation)
    assert clean_up(floor, operation) == 1
    floor.run(controller)
    assert floor.seat(server).lifecycle == "deleted"


def test_an_order_that_is_under_way_or_done_is_not_cleaned_up(floor: Floor, controller: Controller) -> None:
    _, operation = ordered(floor, floor.known_account())
    with pytest.raises(OperationRefused, match="it is queued"):
        clean_up(floor, operation)
    floor.run(controller)
    with pytest.raises(OperationRefused, match="it is ready"):
        clean_up(floor, operation)
    assert floor.host.made("destroy") == []


# ---- by its owner ----------------------------------------------------------------------------------------------------


def unreachable() -> None:
    raise HostUnavailable("double", "the connection was cut")


def test_a_server_that_its_owner_wants_gone_is_stopped_and_gone_and_its_backups_stay(
    floor: Floor, controller: Controller
) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    floor.host.create_backup(floor.host_spec(server), "kept")
    operation = order(floor, server, "delete_server")
    floor.run(controller)
    assert [verb for verb, about in floor.host.calls if about == str(server) and verb in {"stop", "destroy"}] == [
        "stop",
        "destroy",
    ]
    assert floor.seat(server).lifecycle == "deleted"
    assert (read(floor, operation).state, read(floor, operation).phase) == ("succeeded", "gone")
    assert list(floor.host.backups[str(server)]) == ["kept"]
    with floor.begin() as conn:
        assert servers.of_account(conn, account) == []


def test_a_wish_that_is_withdrawn_in_time_takes_nothing_away(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    operation = order(floor, server, "delete_server")
    with floor.begin() as conn:
        assert servers.withdraw_deletion(conn, floor.policy, server, actor="Ada").to == "stopped"
    floor.run(controller)
    assert floor.host.made("destroy") == []
    assert read(floor, operation).state == "failed"
    assert "intent_failed" not in floor.alerts()


def test_a_wish_cannot_be_withdrawn_once_something_was_taken_away(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    operation = order(floor, server, "delete_server")
    withdrawn: list[bool] = []

    def meanwhile() -> None:
        with floor.begin() as conn, pytest.raises(DeletionBegun):
            servers.withdraw_deletion(conn, floor.policy, server, actor="Ada")
        withdrawn.append(False)
        unreachable()

    floor.host.before["destroy"] = meanwhile
    floor.carry_out()
    assert (read(floor, operation).state, read(floor, operation).phase) == ("in_progress", "destroy")
    with floor.begin() as conn, pytest.raises(DeletionBegun):
        servers.withdraw_deletion(conn, floor.policy, server, actor="Ada")
    floor.host.before.pop("destroy")
    floor.advance(1)
    floor.run(controller)
    assert withdrawn == [False]
    assert floor.seat(server).lifecycle == "deleted"


def test_a_suspension_before_anything_was_taken_away_keeps_the_server(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    operation = order(floor, server, "delete_server")
    floor.suspend_now(account)
    floor.run(controller)
    assert floor.host.made("destroy") == []
    assert floor.seat(server).lifecycle == "stopped"
    assert read(floor, operation).state == "failed"


def test_a_deletion_that_is_given_up_halfway_is_resumed_by_a_person(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    operation = order(floor, server, "delete_server")
    floor.host.before["destroy"] = unreachable
    for _ in range(9):
        floor.run(controller)
        floor.advance(1)
    assert (read(floor, operation).state, read(floor, operation).phase) == ("failed", "destroy")
    assert floor.seat(server).lifecycle == "deleting", "no half of a server is given back"
    floor.host.before.pop("destroy")
    assert resume(floor, operation) == 1
    floor.run(controller)
    assert (floor.seat(server).lifecycle, read(floor, operation).state) == ("deleted", "succeeded")


def test_a_suspension_after_something_was_taken_away_leaves_the_rest_to_a_person(
    floor: Floor, controller: Controller
) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    operation = order(floor, server, "delete_server")
    floor.host.before["destroy"] = unreachable
    floor.carry_out()
    assert read(floor, operation).phase == "destroy"
    floor.host.before.pop("destroy")
    asked = len(floor.host.made("destroy"))
    floor.suspend_now(account)
    floor.run(controller)
    assert len(floor.host.made("destroy")) == asked, "nothing is destroyed while billing stops the account"
    found = read(floor, operation)
    assert (found.state, found.phase) == ("failed", "destroy")
    assert "had begun" in str(found.error)
    assert floor.seat(server).lifecycle == "deleting", "no half of a server is given back"
    (words,) = [row["text"] for row in floor.rows("SELECT text FROM alerts WHERE key LIKE 'begun:%'")]
    assert "resume its operation once that is lifted" in words
    with pytest.raises(ServersStopped):
        resume(floor, operation)
    floor.pay(account)
    floor.run(controller)
    assert len(floor.host.made("destroy")) == asked, "a payment does not go on with it either"
    assert resume(floor, operation) == 1
    floor.run(controller)
    assert (floor.seat(server).lifecycle, read(floor, operation).state) == ("deleted", "succeeded")


def test_a_reinstall_keeps_what_was_there_before_it_takes_it_away(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    kept: list[list[bytes]] = []
    floor.host.before["destroy"] = lambda: kept.append(list(floor.host.backups[str(server)].values()))
    operation = order(floor, server, "reinstall_server")
    floor.carry_out()
    assert kept == [[b"world"]]
    assert (read(floor, operation).state, floor.seat(server).lifecycle) == ("succeeded", "stopped")
    with floor.begin() as conn:
        assert [(each.state, each.safety) for each in backups.of_server(conn, server)] == [("complete", True)]
    floor.run(controller)
    for _ in range(4):
        floor.run(controller)
    assert floor.host.running[str(server)], "it is wanted to run, and repairs see to that"


def test_a_reinstall_without_a_backup_takes_nothing_away(floor: Floor, controller: Controller) -> None:
    server = floor.machine(floor.known_account())
    operation = order(floor, server, "reinstall_server")
    floor.host.before["create_backup"] = unreachable
    for _ in range(9):
        floor.carry_out()
        floor.advance(1)
    assert floor.host.made("destroy") == []
    assert read(floor, operation).state == "failed"
    assert "backup_failed" in floor.alerts()


def test_a_reinstall_takes_nothing_away_of_a_server_that_its_host_does_not_show(
    floor: Floor, controller: Controller
) -> None:
    server = floor.machine(floor.known_account())
    floor.rows("UPDATE servers SET ran_at = clock_timestamp() RETURNING 1")
    operation = order(floor, server, "reinstall_server")
    floor.host.hidden.add(str(server))
    for _ in range(9):
        floor.carry_out()
        floor.advance(1)
    assert floor.host.made("destroy") == []
    assert read(floor, operation).state == "failed"
    assert "backup_failed" in floor.alerts()


def test_a_reinstall_makes_a_server_that_never_came_to_be(floor: Floor) -> None:
    server = floor.machine(floor.known_account(), runs=False)
    operation = order(floor, server, "reinstall_server")
    del floor.host.running[str(server)]
    floor.carry_out()
    assert (read(floor, operation).state, floor.seat(server).lifecycle) == ("succeeded", "stopped")
    assert floor.host.made("destroy") == []


def test_a_reinstall_that_has_begun_ends_whatever_is_stopped_meanwhile(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    operation = order(floor, server, "reinstall_server")
    floor.host.before["create"] = unreachable
    floor.carry_out()
    assert read(floor, operation).phase == "reinstalling"
    for event in ("abuse_reported", "abuse_confirmed"):
        floor.record(account, command=Command(event, "admin", "ada"))
    floor.host.before.pop("create")
    floor.advance(1 / 60)
    floor.run(controller)
    assert (read(floor, operation).state, floor.seat(server).lifecycle) == ("succeeded", "stopped")
    assert floor.host.running == {str(server): False}, "no half of a server is left, and none runs"


def test_a_reinstall_that_has_not_begun_when_it_is_stopped_is_not_done(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    operation = order(floor, server, "reinstall_server")
    floor.host.before["create_backup"] = unreachable
    floor.carry_out()
    assert floor.seat(server).lifecycle == "restoring"
    for event in ("abuse_reported", "abuse_confirmed"):
        floor.record(account, command=Command(event, "admin", "ada"))
    floor.host.before.pop("create_backup")
    floor.advance(1 / 60)
    floor.run(controller)
    assert read(floor, operation).state == "failed"
    assert floor.host.made("destroy") == []
    assert floor.seat(server).lifecycle in {"failed", "stopped"}, "its safe point is over"
