"""Backups of a server's files, kept beside the servers: made, listed, opened and deleted. Restoring is in `restore`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from jobs.hosts.base import BackupInfo, BackupMissing, Download
from jobs.hosts.local import locks
from jobs.hosts.local.archive import HashingWriter, Packed, pack
from jobs.hosts.local.layout import safe_id, sync_directory, write_whole

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from jobs.hosts.local.layout import Layout, ServerPlace

_DRAFT_PREFIX = ".draft-"


@dataclass(frozen=True, slots=True)
class LocalBackups:
    """The backups of any server of the local host.

    A backup is an archive and a note about it. The note is written last and removed first, so that whatever has a note
    is whole.
    """

    layout: Layout
    packed: Callable[[ServerPlace, HashingWriter], Packed] = field(
        default=lambda place, target: pack(place.files, target)
    )
    """Writes a server's files into an archive."""

    def create(self, place: ServerPlace, backup_id: str) -> BackupInfo:
        with locks.held(place.backups_lock, place.server_id, "backup"):
            return self.make(place, backup_id)

    def make(self, place: ServerPlace, backup_id: str) -> BackupInfo:
        """Back up while the caller holds the backups lock."""
        finished = self.find(place.server_id, backup_id)
        if finished is not None:
            return finished
        folder = self.layout.backups_of(place.server_id)
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(_DRAFT_PREFIX + "*"):
            stale.unlink()  # its maker died: the lock is ours
        descriptor, name = tempfile.mkstemp(prefix=_DRAFT_PREFIX, dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                writer = HashingWriter(cast("BinaryIO", stream))
                packed = self.packed(place, writer)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).rename(self._archive(place.server_id, backup_id))
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        info = BackupInfo(
            backup_id,
            writer.size_bytes,
            writer.sha256,
            datetime.now(UTC),
            packed.content_bytes,
            packed.skipped_entries,
            packed.unsettled_files,
        )
        sync_directory(folder)
        note = asdict(info) | {"created_at": info.created_at.isoformat()}
        write_whole(self._note(place.server_id, backup_id), json.dumps(note).encode())
        return info

    def find(self, server_id: str, backup_id: str) -> BackupInfo | None:
        """Return the finished backup of that id, or `None`."""
        try:
            note = json.loads(self._note(server_id, backup_id).read_bytes())
        except FileNotFoundError:
            return None
        note["created_at"] = datetime.fromisoformat(note["created_at"])
        return BackupInfo(**note)

    def required(self, server_id: str, backup_id: str) -> BackupInfo:
        """Return the finished backup of that id. Raises BackupMissing."""
        info = self.find(server_id, backup_id)
        if info is None:
            raise BackupMissing(backup_id)
        return info

    def list_all(self, server_id: str) -> list[BackupInfo]:
        ids = [note.stem for note in self.layout.backups_of(server_id).glob("*.json")]
        found = [info for backup_id in ids if (info := self.find(server_id, backup_id)) is not None]
        return sorted(found, key=lambda info: (info.created_at, info.backup_id))

    def delete(self, server_id: str, backup_id: str) -> None:
        self._note(server_id, backup_id).unlink(missing_ok=True)
        self._archive(server_id, backup_id).unlink(missing_ok=True)

    def open(self, server_id: str, backup_id: str) -> Download:
        info = self.required(server_id, backup_id)
        try:
            stream = self._archive(server_id, backup_id).open("rb")
        except FileNotFoundError:  # deleted meanwhile
            raise BackupMissing(backup_id) from None
        return Download(f"{backup_id}.tar.gz", info.size_bytes, stream)

    def _archive(self, server_id: str, backup_id: str) -> Path:
        return self.layout.backups_of(server_id) / f"{safe_id(backup_id, 'backup')}.tar.gz"

    def _note(self, server_id: str, backup_id: str) -> Path:
        return self.layout.backups_of(server_id) / f"{safe_id(backup_id, 'backup')}.json"
