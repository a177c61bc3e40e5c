"""Taking servers away: what a failed order left, and nothing that ever ran."""

from __future__ import annotations

from uuid import UUID

import pytest

from jobs.controller import Controller
from storage import operations, operations_settle
from storage.errors import OperationRefused, ServersStopped
from storage.operations import Operation
from tests.jobs.actions.test_provision import ordered
from tests.jobs.floor import Floor


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
