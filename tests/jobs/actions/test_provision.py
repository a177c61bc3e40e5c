"""Making servers: one, whole, in phases, and nothing started that billing stopped meanwhile."""

from __future__ import annotations

from uuid import UUID, uuid4

from jobs.controller import Controller
from storage import operations, servers
from tests.jobs.floor import Floor


def ordered(floor: Floor, account: UUID) -> tuple[UUID, operations.Operation]:
    """Order a server as the API does."""
    with floor.begin() as conn:
        operation, _ = operations.create(
            conn,
            customer_id=floor.row(account)["customer_id"],
            account_id=account,
            idempotency_key=str(uuid4()),
            request_hash=b"",
            kind="create_server",
        )
        args = {"operation_id": str(operation.id)}
        server, _ = servers.create(conn, floor.policy, account, name="new", kind="game", actor="Ada", args=args)
        operations.progress(conn, operation.id, "queued", server_id=server)
    return server, operation


def at(floor: Floor, operation: operations.Operation) -> tuple[str, str | None, str | None]:
    with floor.begin() as conn:
        now = operations.get(conn, operation.id)
    return now.state, now.phase, now.error


def test_a_server_is_made_and_runs(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    phases: list[str | None] = []
    floor.host.before["create"] = lambda: phases.append(at(floor, operation)[1])
    floor.host.before["start"] = lambda: phases.append(at(floor, operation)[1])
    floor.run(controller)
    seat = floor.seat(server)
    assert (seat.lifecycle, seat.observed, seat.autostart) == ("running", "running", True)
    assert at(floor, operation) == ("succeeded", "ready", None)
    assert phases[:2] == ["create", "start"]
    assert floor.host.made("create") == [str(server)]


def test_suspended_in_the_middle_it_is_made_and_stands(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.host.before["create"] = lambda: floor.rows(
        "UPDATE accounts SET server_billing_state = 'suspended_shutdown', states = states || "
        """'{"abuse": "stopped"}' WHERE id = :id RETURNING 1""",
        id=account,
    )
    floor.carry_out()
    assert floor.host.made("start") == []
    assert at(floor, operation)[0] == "succeeded"
    assert floor.seat(server).observed == "stopped"


def test_suspended_while_it_starts_it_is_stopped_again(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, _ = ordered(floor, account)

    def meanwhile() -> None:
        floor.host.before.pop("start")
        floor.rows("UPDATE servers SET desired = 'stopped' RETURNING 1")

    floor.host.before["start"] = meanwhile
    floor.run(controller)
    assert floor.host.running[str(server)] is False
    assert floor.host.autostart[str(server)] is False
    assert floor.seat(server).lifecycle == "stopped"


def test_what_cannot_be_launched_fails_and_says_so(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.host.broken.add(str(server))
    for _ in range(9):
        floor.run(controller)
        floor.advance(0.15)
    state, _, error = at(floor, operation)
    assert state == "failed"
    assert error is not None
    assert "intent_failed" in floor.alerts()
    assert floor.seat(server).lifecycle == "failed"


def test_an_order_that_is_no_longer_possible_ends(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server, operation = ordered(floor, account)
    floor.suspend_now(account)
    floor.run(controller)
    assert floor.host.made("create") == []
    assert at(floor, operation)[0] == "failed"
    assert floor.seat(server).lifecycle == "failed"
