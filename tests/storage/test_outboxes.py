"""The small tables beside the ledger: alerts, wake-ups, operations, backups, processes."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection

from storage import alerts, backups, operations, processes, wakeups
from storage.errors import KeyReused, UnknownBackup, UnknownOperation
from tests.storage.deployment import Deployment, eventually, together

# ---- alerts ----------------------------------------------------------------------------------------------------------


def test_alert_with_a_key_is_told_once(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        assert alerts.raise_alert(conn, "webhook_failed", "one", key="k")
        assert not alerts.raise_alert(conn, "webhook_failed", "two", key="k")
        assert alerts.raise_alert(conn, "webhook_failed", "three")
        assert [alert.text for alert in alerts.unsent(conn, 10)] == ["one", "three"]


def test_alert_that_was_told_is_not_sent_again(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        alerts.raise_alert(conn, "a", "first")
        alerts.raise_alert(conn, "b", "second")
        first, second = alerts.unsent(conn, 10)
        alerts.settle(conn, first.id, "sent")
        alerts.postpone(conn, second.id, 60, "too many at once")
        assert alerts.unsent(conn, 10) == []
        alerts.postpone(conn, second.id, -1, "again now")
        (again,) = alerts.unsent(conn, 10)
        assert (again.id, again.tries) == (second.id, 2)
        assert [alert.text for alert in alerts.latest(conn)] == ["second", "first"]


def test_two_senders_never_share_an_alert(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        for number in range(6):
            alerts.raise_alert(conn, "a", str(number))
    with deployment.begin() as one, deployment.begin() as other:
        first, second = alerts.unsent(one, 3), alerts.unsent(other, 10)
    assert {alert.text for alert in first} | {alert.text for alert in second} == set("012345")
    assert len(first) + len(second) == 6


# ---- wake-ups --------------------------------------------------------------------------------------------------------


def test_every_request_is_answered_by_the_look_that_began_after_it(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        first = wakeups.request(conn, "controller")
    with deployment.begin() as conn:
        seen = wakeups.read(conn, "controller").requested
        second = wakeups.request(conn, "controller")
        wakeups.report(conn, "controller", seen, {"decided": 3})
        now = wakeups.read(conn, "controller")
    assert (first, second) == (1, 2)
    assert (now.requested, now.done, now.report) == (2, 1, {"decided": 3})
    with deployment.begin() as conn:
        wakeups.report(conn, "controller", 0, {})
        assert wakeups.read(conn, "controller").done == 1
        assert wakeups.read(conn, "nobody") == wakeups.Wakeup(0, 0, {})


def test_listeners_are_woken_when_the_request_commits(deployment: Deployment) -> None:
    with deployment.session() as session:
        session.execute("LISTEN controller")
        with deployment.begin() as conn:
            wakeups.request(conn, "controller", {"force": True})
        (notification,) = session.notifies(timeout=20, stop_after=1)
    assert notification.payload == '{"force": true}'


def test_requests_at_once_have_numbers_of_their_own(deployment: Deployment) -> None:
    def request(_: int) -> int:
        with deployment.begin() as conn:
            return wakeups.request(conn, "controller")

    assert sorted(together(12, request)) == list(range(1, 13))


# ---- operations ------------------------------------------------------------------------------------------------------


def operate(
    conn: Connection, account: UUID, customer: UUID, key: str, body: bytes
) -> tuple[operations.Operation, bool]:
    """Ask for an operation."""
    return operations.create(
        conn,
        customer_id=customer,
        account_id=account,
        idempotency_key=key,
        request_hash=body,
        kind="create",
        args={"a": 1},
    )


def test_same_key_is_the_same_operation(deployment: Deployment) -> None:
    customer = deployment.customer()
    account = deployment.account(customer_id=customer)
    other = deployment.customer()
    with deployment.begin() as conn:
        made, new = operate(conn, account, customer, "k", b"1")
        assert new
        assert operate(conn, account, customer, "k", b"1") == (made, False)
        assert operate(conn, account, other, "k", b"2")[1]
        with pytest.raises(KeyReused):
            operate(conn, account, customer, "k", b"2")


def test_fifty_requests_with_one_key_are_one_operation(deployment: Deployment) -> None:
    customer = deployment.customer()
    account = deployment.account(customer_id=customer)

    def ask(_: int) -> bool:
        with deployment.begin() as conn:
            return operate(conn, account, customer, "k", b"1")[1]

    assert sum(together(50, ask)) == 1


def test_operation_that_ended_stays_as_it_ended(deployment: Deployment) -> None:
    customer = deployment.customer()
    account = deployment.account(customer_id=customer)
    server = deployment.server(account)
    with deployment.begin() as conn:
        made, _ = operate(conn, account, customer, "k", b"1")
        operations.progress(conn, made.id, "in_progress", phase="create", server_id=server)
        assert [each.phase for each in operations.unfinished(conn)] == ["create"]
        operations.progress(conn, made.id, "succeeded")
        operations.progress(conn, made.id, "failed", error="too late")
        ended = operations.get(conn, made.id)
        assert (ended.state, ended.phase, ended.server_id, ended.error) == ("succeeded", "create", server, None)
        assert operations.unfinished(conn) == []
        with pytest.raises(UnknownOperation):
            operations.get(conn, uuid4())


# ---- backups ---------------------------------------------------------------------------------------------------------


def test_backup_is_listed_until_it_is_deleted_and_only_for_its_server(deployment: Deployment) -> None:
    account = deployment.account()
    server, other = deployment.server(account), deployment.server(account)
    with deployment.begin() as conn:
        made = backups.create(conn, server)
        assert backups.create(conn, server, backup_id=made.id).id == made.id
        backups.complete(conn, made.id, size_bytes=12, sha256="ab")
        safety = backups.create(conn, server, safety=True, state="in_progress")
        assert {each.id for each in backups.of_server(conn, server)} == {made.id, safety.id}
        assert backups.of_server(conn, other) == []
        assert backups.get(conn, server, made.id).size_bytes == 12
        with pytest.raises(UnknownBackup):
            backups.get(conn, other, made.id)
        backups.set_state(conn, made.id, "deleted")
        with pytest.raises(UnknownBackup):
            backups.get(conn, server, made.id)


# ---- processes -------------------------------------------------------------------------------------------------------


def test_process_lives_as_long_as_its_session(deployment: Deployment) -> None:
    with deployment.session() as session:
        first = processes.register(session, "worker", 10, "0.1.0", "abc")
        second = processes.register(session, "controller", 11, "0.1.0")
        with deployment.begin() as conn:
            processes.seen(conn, first, "def")
            told = {each.id: (each.role, each.policy_digest, each.alive) for each in processes.listed(conn)}
        assert told == {first: ("worker", "def", True), second: ("controller", None, True)}
        processes.leave(session, second)
        with deployment.begin() as conn:
            assert [each.id for each in processes.listed(conn)] == [first]

    def is_dead() -> bool:
        with deployment.begin() as conn:
            return not processes.listed(conn)[0].alive

    eventually(is_dead, "the session has ended")
