"""Leases: who leads, and a token that grows with each holder, so that a leader who woke up too late writes nothing.

They live by real time: moving the test clock takes nobody's lease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Connection, text

from storage.database import raw
from storage.errors import FenceLost

# KEY SHARE: until the writer commits nobody can take the lease over (that needs the whole row), while its holder may
# renew it. Who wants it meanwhile does not wait but tries again later.
FENCE = "SELECT token FROM leases WHERE name = %s AND token = %s AND expires_at > clock_timestamp() FOR KEY SHARE"


@dataclass(frozen=True, slots=True)
class Fence:
    """What a write made under a lease is checked against."""

    name: str
    token: int


def acquire(conn: Connection, name: str, holder: str, ttl_seconds: float) -> Fence | None:
    """Take the lease if it is free or expired, or renew one's own; None while somebody else has it.

    The token grows whenever it is taken anew, also by a holder who let it expire.
    """
    conn.execute(text("INSERT INTO leases (name) VALUES (:name) ON CONFLICT (name) DO NOTHING"), {"name": name})
    given = {"name": name, "holder": holder, "ttl": ttl_seconds}
    own = text(
        "UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => :ttl) "
        "WHERE name = :name AND holder = :holder AND expires_at > clock_timestamp() RETURNING token"
    )
    take = text(
        """
        UPDATE leases l SET holder = :holder, token = l.token + 1,
               expires_at = clock_timestamp() + make_interval(secs => :ttl)
        FROM (SELECT name FROM leases WHERE name = :name
              AND (holder IS NULL OR expires_at <= clock_timestamp()) FOR UPDATE SKIP LOCKED) free
        WHERE l.name = free.name RETURNING l.token
        """
    )
    for statement in (own, take):
        token = conn.execute(statement, given).scalar_one_or_none()
        if token is not None:
            return Fence(name, token)
    return None


def renew(conn: Connection, fence: Fence, ttl_seconds: float) -> bool:
    """Lengthen a lease that is still held under this token; tell whether it is."""
    more = text(
        "UPDATE leases SET expires_at = clock_timestamp() + make_interval(secs => :ttl) "
        "WHERE name = :name AND token = :token AND expires_at > clock_timestamp() RETURNING 1"
    )
    held = conn.execute(more, {"name": fence.name, "token": fence.token, "ttl": ttl_seconds}).scalar_one_or_none()
    return held is not None


def worked(conn: Connection, fence: Fence) -> None:
    """Note that the holder has just done all that it leads for. Raises FenceLost when somebody else leads."""
    note = text("UPDATE leases SET worked_at = clock_timestamp() WHERE name = :name AND token = :token")
    if not conn.execute(note, {"name": fence.name, "token": fence.token}).rowcount:
        raise FenceLost(fence.name, fence.token)


def release(conn: Connection, fence: Fence) -> None:
    """Give the lease back, so that the next one need not wait until it expires."""
    free = text("UPDATE leases SET holder = NULL, expires_at = NULL WHERE name = :name AND token = :token")
    conn.execute(free, {"name": fence.name, "token": fence.token})


def check(conn: Connection, fence: Fence) -> None:
    """Raise FenceLost unless the lease is still held under this token, and keep it so until this transaction ends."""
    require(ask(raw(conn), fence), fence)


def ask(pg: psycopg.Connection[Any], fence: Fence) -> psycopg.Cursor[Any]:
    """Ask for the fence as part of a pipeline; `require` reads the answer."""
    return pg.execute(FENCE, [fence.name, fence.token])


def require(answer: psycopg.Cursor[Any], fence: Fence) -> None:
    """Raise FenceLost when `ask` found that somebody else leads."""
    if answer.fetchone() is None:
        raise FenceLost(fence.name, fence.token)
