"""The last backup of a server that is about to be taken away: made once, and read back before it counts."""

from __future__ import annotations

import hashlib
from typing import Final
from uuid import UUID, uuid5

from sqlalchemy import Connection

from jobs.context import Context, ServerHost
from jobs.hosts.base import BackupDamaged, BackupInfo, BackupMissing, ServerSpec
from storage import backups
from storage.backups import Backup
from storage.servers import Server

FINAL: Final = UUID("6a2f3a0e-3a5b-5d0c-9b6e-0f5f0d1c7a11")  # the namespace of their ids
CHUNK: Final = 1 << 20


def final_backup_id(account_id: UUID, episode: int, server_id: UUID) -> UUID:
    """Return the id of the last backup of a server in one deletion: the same for each try."""
    return uuid5(FINAL, f"{account_id}:{episode}:{server_id}")


def kept(
    context: Context, account_id: UUID, episode: int, server: Server, conn: Connection | None = None
) -> Backup | None:
    """Return a server's last backup if it is whole."""
    if conn is None:
        with context.database.begin() as own:
            return kept(context, account_id, episode, server, own)
    wanted = final_backup_id(account_id, episode, server.id)
    found = (each for each in backups.of_server(conn, server.id) if each.id == wanted and each.state == "complete")
    return next(found, None)


def keep(context: Context, server: Server, backup_id: UUID, made: BackupInfo) -> None:
    """List it among the server's backups, as one that no pruning takes away."""
    with context.database.begin() as conn:
        backups.create(conn, server.id, safety=True, backup_id=backup_id)
        backups.complete(conn, backup_id, size_bytes=made.size_bytes, sha256=made.sha256)


def checked(host: ServerHost, spec: ServerSpec, backup_id: UUID, sha256: str | None = None) -> BackupInfo:
    """Return what its host says of a backup, once what lies there was read and is what was written.

    sha256: what it was when it was made. A host that keeps its own archives shows none, and is believed when it lists
    the backup. Raises BackupMissing, BackupDamaged.
    """
    found = next((each for each in host.list_backups(spec) if each.backup_id == str(backup_id)), None)
    if found is None:
        raise BackupMissing(str(backup_id))
    if sha256 and found.sha256 != sha256:
        raise BackupDamaged(str(backup_id), "it is not the one that was made")
    if found.sha256:
        digest = hashlib.sha256()
        with host.open_backup(spec, str(backup_id)) as archive:
            while chunk := archive.stream.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != found.sha256:
            raise BackupDamaged(str(backup_id), "what was read back is not what was written")
    return found
