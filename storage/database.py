"""Connections to PostgreSQL: one pool a process, and transactions that are tried again when others were in the way."""

from __future__ import annotations

import random
import select
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
import sqlalchemy
from psycopg import errors
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import ConnectionPoolEntry

from storage.errors import Busy
from storage.settings import Settings

T = TypeVar("T")

# A waiter gives up before whoever waits for it does. A client that freezes in the middle of a transaction must not keep
# its row locks for ever. A statement that runs for minutes is a mistake.
SESSION = {
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "15s",  # a frozen process holds its locks no longer than this
    "statement_timeout": "120s",
    "timezone": "UTC",
}
TRIES = 5
TURNS = 7_203_118  # advisory locks of this class are turns
PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


class Database:
    """The pool of connections. Opens nothing until it is used."""

    def __init__(self, settings: Settings, *, pool_size: int = 5) -> None:
        self.engine: Engine = engine_of(settings.database_url, pool_size=pool_size)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open one transaction: committed at the end of the block, rolled back when it raises."""
        with self.engine.begin() as conn:
            yield conn

    def transact(self, what: str, work: Callable[[Connection], T], *, tries: int = TRIES) -> T:
        """Run `work` in a transaction, from the start again when a lock, a deadlock or a conflict stopped it.

        what: names the work in the error, such as "account `…`". Raises Busy when every try failed.
        """
        for number in range(1, tries + 1):
            try:
                with self.engine.begin() as conn:
                    return work(conn)
            except (DBAPIError, psycopg.Error) as error:
                if not is_passing(error):
                    raise
                if number == tries:
                    raise Busy(what, tries) from error
                time.sleep(random.uniform(0, 0.02 * 2**number))  # noqa: S311 - spreads those that collided
        raise AssertionError("unreachable: the last try returns or raises")

    def connect(self) -> psycopg.Connection[Any]:
        """Open a session outside the pool, in autocommit: for LISTEN, and for locks that last as long as it does."""
        return psycopg.connect(plain_url(self.engine.url), autocommit=True, **_connect_args())

    @contextmanager
    def in_turn(self, what: str) -> Iterator[None]:
        """Let one at a time through by this name, in all processes: for work outside, of which the order counts.

        No transaction is open meanwhile. Raises a passing error for whoever has waited too long.
        """
        with self.connect() as session:  # which ends with the block, and the lock with it
            session.execute("SELECT pg_advisory_lock(%s::integer, hashtext(%s))", [TURNS, what])
            yield

    def close(self) -> None:
        """Close the pool's connections."""
        self.engine.dispose()


def engine_of(url: str, *, pool_size: int = 5) -> Engine:
    """Make an engine on a `postgresql://` address; opens nothing."""
    address = sqlalchemy.make_url(url)
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    engine = sqlalchemy.create_engine(
        address,
        pool_size=pool_size,
        max_overflow=pool_size * 3,
        pool_timeout=10,
        connect_args=_connect_args(),
    )
    event.listen(engine, "checkout", _answers)
    return engine


def _answers(session: psycopg.Connection[Any], entry: ConnectionPoolEntry, _proxy: object) -> None:
    """Let a server that was restarted cost one look at each session of the pool, not one failed request.

    Nothing comes unasked over an idle session, unless it ends. Only one with something to read is asked: a question
    before every transaction (`pool_pre_ping`) costs as much as many a transaction does.
    """
    if not entry.info.get("used"):
        entry.info["used"] = True  # forgotten together with the session
        return
    try:
        waiting = select.poll()
        waiting.register(session.fileno(), select.POLLIN)
        if waiting.poll(0):
            session.execute("SELECT")
            session.rollback()
    except psycopg.Error as error:
        raise InvalidatePoolError from error


def plain_url(url: sqlalchemy.URL) -> str:
    """Return the address as libpq reads it."""
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def raw(conn: Connection) -> psycopg.Connection[Any]:
    """Return the psycopg connection below, in the same transaction: for COPY, arrays and many rows."""
    below = conn.connection.driver_connection
    assert isinstance(below, psycopg.Connection)
    return below


def is_passing(error: BaseException) -> bool:
    """Tell whether trying again may succeed: a lock timeout, a deadlock, a serialization failure."""
    return isinstance(getattr(error, "orig", error), PASSING)


def is_lost(error: BaseException) -> bool:
    """Tell whether the database itself is away: nothing was decided, and everything waits until it is back."""
    cause = getattr(error, "orig", error)
    return isinstance(cause, psycopg.OperationalError) and not isinstance(cause, PASSING)


def _connect_args() -> dict[str, Any]:
    options = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    return {"connect_timeout": 10, "options": options, "application_name": "forbear"}
