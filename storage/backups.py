"""Backups as rows: which there are, how large, and whether they are whole. Their bytes lie with the host."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.errors import UnknownBackup

COLUMNS: Final = "id, server_id, state, size_bytes, sha256, created_at, safety, error"
State = Literal["queued", "in_progress", "complete", "failed", "deleted"]


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup of one server."""

    id: UUID
    server_id: UUID
    state: State
    size_bytes: int | None
    sha256: str | None
    created_at: datetime
    safety: bool
    """Whether a restore made it of what it was about to replace."""
    error: str | None


def create(
    conn: Connection, server_id: UUID, *, safety: bool = False, state: State = "queued", backup_id: UUID | None = None
) -> Backup:
    """Write a backup down before it is made. backup_id: one's own, so that doing it again is the same row."""
    add = text(
        "INSERT INTO backups (id, server_id, state, safety, created_at) "
        "VALUES (coalesce(:id, gen_random_uuid()), :server, :state, :safety, :now) "
        f"ON CONFLICT (id) DO UPDATE SET state = backups.state RETURNING {COLUMNS}"
    )
    given = {"id": backup_id, "server": server_id, "state": state, "safety": safety, "now": clock.now(conn)}
    return Backup(*conn.execute(add, given).one())


def get(conn: Connection, server_id: UUID, backup_id: UUID) -> Backup:
    """Return a backup of this server. Raises UnknownBackup, also for another server's and a deleted one."""
    find = text(f"SELECT {COLUMNS} FROM backups WHERE id = :id AND server_id = :server AND state <> 'deleted'")
    row = conn.execute(find, {"id": backup_id, "server": server_id}).one_or_none()
    if row is None:
        raise UnknownBackup(backup_id)
    return Backup(*row)


def of_server(conn: Connection, server_id: UUID) -> list[Backup]:
    """Return a server's backups, newest first."""
    find = text(
        f"SELECT {COLUMNS} FROM backups WHERE server_id = :server AND state <> 'deleted' ORDER BY created_at DESC, id"
    )
    return [Backup(*row) for row in conn.execute(find, {"server": server_id})]


def complete(conn: Connection, backup_id: UUID, *, size_bytes: int, sha256: str) -> None:
    """Note that a backup is whole."""
    done = text(
        "UPDATE backups SET state = 'complete', size_bytes = :size, sha256 = :sha256, error = NULL WHERE id = :id"
    )
    conn.execute(done, {"id": backup_id, "size": size_bytes, "sha256": sha256})


def set_state(conn: Connection, backup_id: UUID, state: State, error: str | None = None) -> None:
    """Note what became of a backup."""
    move = text("UPDATE backups SET state = :state, error = :error WHERE id = :id")
    conn.execute(move, {"id": backup_id, "state": state, "error": error})
