"""Who is running: one row a process, and a lock held by its own session, which says without doubt whether it lives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, text

LOCK_CLASS: Final = 7_203_116  # advisory locks of this class are processes
FORGOTTEN_AFTER: Final = "1 day"

# Held by a session of the process as long as it lives: the database frees it the moment the session ends.
LIVING: Final = (
    f"SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND classid = {LOCK_CLASS} AND objsubid = 2 "
    "AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


@dataclass(frozen=True, slots=True)
class Process:
    """One running process as it registered itself."""

    id: int
    """Also the number of its liveness lock, and what `claimed_by` of its intents says."""
    role: str
    pid: int
    version: str
    policy_digest: str | None
    started_at: datetime
    seen_at: datetime
    alive: bool


def register(
    session: psycopg.Connection[Any], role: str, pid: int, version: str, policy_digest: str | None = None
) -> int:
    """Write this process down and take its lock on this session; return its id.

    session: one of its own, in autocommit, kept open as long as the process works (`Database.connect`).
    """
    row = session.execute(
        "INSERT INTO processes (role, pid, version, policy_digest, started_at, seen_at) "
        "VALUES (%s, %s, %s, %s, clock_timestamp(), clock_timestamp()) RETURNING id",
        [role, pid, version, policy_digest],
    ).fetchone()
    assert row is not None
    session.execute("SELECT pg_advisory_lock(%s::integer, %s::integer)", [LOCK_CLASS, row[0]])
    session.execute(
        f"DELETE FROM processes WHERE seen_at < clock_timestamp() - interval '{FORGOTTEN_AFTER}' "
        f"AND id NOT IN ({LIVING})"
    )
    return int(row[0])


def seen(conn: Connection, process_id: int, policy_digest: str | None) -> None:
    """Note that the process still works, and under which policy."""
    note = text("UPDATE processes SET seen_at = clock_timestamp(), policy_digest = :digest WHERE id = :id")
    conn.execute(note, {"id": process_id, "digest": policy_digest})


def leave(session: psycopg.Connection[Any], process_id: int) -> None:
    """Give the lock back and forget the process, at its orderly end."""
    session.execute("SELECT pg_advisory_unlock(%s::integer, %s::integer)", [LOCK_CLASS, process_id])
    session.execute("DELETE FROM processes WHERE id = %s", [process_id])


def listed(conn: Connection) -> list[Process]:
    """Return every process that is known, and whether it lives."""
    find = text(
        "SELECT id, role, pid, version, policy_digest, started_at, seen_at, "
        f"id IN ({LIVING}) FROM processes ORDER BY id"
    )
    return [Process(*row) for row in conn.execute(find)]
