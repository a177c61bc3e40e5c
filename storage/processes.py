"""Who is running: one row a process, and a lock held by its own session, which says without doubt whether it lives."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, text

LOCK_CLASS: Final = 7_203_116  # advisory locks of this class are processes
ROOT: Final = Path(__file__).resolve().parent.parent
PACKAGES: Final = ("engine", "storage", "jobs", "web")
FORGOTTEN_AFTER: Final = "1 day"
SETTLED_AFTER: Final = "15 s"  # each tells of itself every few seconds, and a switch takes a moment to commit

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
    behind: bool
    """It has told of itself since the policy in force came into force, and still decides by another."""


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


@functools.cache
def own_version() -> str:
    """Return the version of the code that runs here."""
    try:
        return importlib.metadata.version("forbear")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"


@functools.cache
def own_code() -> str:
    """Return the version with a digest of the code as it lies on the disk when this is first asked: at the start.

    The version alone stays the same from one commit to the next, and for a process that a restart forgot.
    """
    return f"{own_version()}+{code_digest(ROOT)}"


def code_digest(root: Path) -> str:
    """Return a short digest of every module of ours, by its name and text."""
    digest = hashlib.sha256()
    for file in sorted(file for folder in PACKAGES for file in (root / folder).rglob("*.py")):
        text = file.read_bytes()
        digest.update(f"{file.relative_to(root).as_posix()}\0{len(text)}\0".encode() + text)
    return digest.hexdigest()[:8]


def stale(known: Sequence[Process], digest: str | None) -> list[str]:
    """Name each living process that runs other code than this one, or decides by another policy, and how so."""
    found = []
    for process in known:
        if process.alive and process.version != own_code():
            found.append(f"{process.role} (process {process.pid}) runs version {process.version}, not {own_code()}")
        elif process.alive and process.behind:
            held, wanted = ((each or "none")[:12] for each in (process.policy_digest, digest))
            found.append(f"{process.role} (process {process.pid}) decides by policy {held}, not {wanted}")
    return found


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
        f"id IN ({LIVING}), (SELECT f.digest IS DISTINCT FROM policy_digest "
        f"AND seen_at > f.since + interval '{SETTLED_AFTER}' FROM policy_in_force f) FROM processes ORDER BY id"
    )
    return [Process(*row) for row in conn.execute(find)]
