"""Connections: what passes is tried again, boundedly; what does not is raised at once; sessions bound themselves."""

from __future__ import annotations

import threading
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from storage.database import Database, is_lost, is_passing
from storage.errors import Busy
from storage.settings import Settings
from tests.storage.deployment import Deployment


def test_deadlock_is_tried_again_and_both_succeed(deployment: Deployment) -> None:
    first, second = deployment.account(), deployment.account()
    met = threading.Barrier(2)
    tries: list[str] = []

    def swap(name: str, order: tuple[object, object]) -> None:
        def work(conn: Connection) -> None:
            tries.append(name)
            for account_id in order:
                conn.execute(text("UPDATE accounts SET plan = :name WHERE id = :id"), {"name": name, "id": account_id})
                if len(tries) <= 2 and account_id == order[0]:
                    met.wait(10)

        deployment.database.transact("two accounts", work)

    threads = [
        threading.Thread(target=swap, args=("one", (first, second))),
        threading.Thread(target=swap, args=("two", (second, first))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(tries) == 3
    assert deployment.row(first)["plan"] == deployment.row(second)["plan"]


def test_lock_that_stays_taken_ends_in_words(deployment: Deployment) -> None:
    account = deployment.account()
    tries: list[int] = []

    def work(conn: Connection) -> None:
        tries.append(1)
        conn.execute(text("SET LOCAL lock_timeout = '10ms'"))
        conn.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR UPDATE"), {"id": account})

    with deployment.begin() as conn:
        conn.execute(text("SELECT 1 FROM accounts WHERE id = :id FOR UPDATE"), {"id": account})
        with pytest.raises(Busy, match=r"account X stayed locked by other work through 3 tries; nothing was written"):
            deployment.database.transact("account X", work, tries=3)
    assert len(tries) == 3


def test_mistake_is_not_tried_again(deployment: Deployment) -> None:
    tries: list[int] = []

    def work(conn: Connection) -> None:
        tries.append(1)
        conn.execute(text("SELECT nonsense"))

    with pytest.raises(ProgrammingError):
        deployment.database.transact("nonsense", work)
    assert len(tries) == 1


def test_sessions_bound_themselves(deployment: Deployment) -> None:
    with deployment.session() as session:
        for name, value in (
            ("lock_timeout", "10s"),
            ("idle_in_transaction_session_timeout", "15s"),
            ("timezone", "UTC"),
        ):
            assert session.execute("SELECT current_setting(%s, true)", [name]).fetchone() == (value,)


def test_sessions_that_the_server_has_ended_cost_no_transaction(deployment: Deployment) -> None:
    with deployment.begin() as one, deployment.begin() as other:
        before = {conn.execute(text("SELECT pg_backend_pid()")).scalar_one() for conn in (one, other)}
    with deployment.session() as session:
        session.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s::int[]) pid", [list(before)])
    with deployment.begin() as one, deployment.begin() as other:
        after = {conn.execute(text("SELECT pg_backend_pid()")).scalar_one() for conn in (one, other)}
    assert not before & after


def test_session_that_is_told_something_unasked_is_kept(deployment: Deployment) -> None:
    database = Database(deployment.settings, pool_size=1)
    with database.begin() as conn:
        conn.execute(text("LISTEN news"))
        before = conn.execute(text("SELECT pg_backend_pid()")).scalar_one()
    with deployment.session() as session:
        session.execute("NOTIFY news")
    with database.begin() as conn:
        assert conn.execute(text("SELECT pg_backend_pid()")).scalar_one() == before
    database.close()


def test_database_that_is_away_is_told_from_one_that_is_busy() -> None:
    database = Database(Settings(database_url=f"postgresql://nobody@127.0.0.1:1/{uuid4().hex}"))
    with pytest.raises(OperationalError) as caught, database.begin():
        pass
    assert is_lost(caught.value)
    assert not is_passing(caught.value)
    assert is_passing(psycopg.errors.DeadlockDetected())
    assert not is_lost(psycopg.errors.LockNotAvailable())
    assert sqlalchemy.make_url(database.engine.url).drivername == "postgresql+psycopg"
