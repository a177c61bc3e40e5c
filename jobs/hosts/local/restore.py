"""Putting a backup back into place: checked, beside the current files, then exchanged with them in one step.

INVARIANT: at every instant, and after a crash at any of them, the server has its old files or the backup's, whole.
"""

from __future__ import annotations

import ctypes
import errno
import hashlib
import os
import secrets
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from jobs.hosts.base import BackupDamaged, BackupInfo, StillRunning
from jobs.hosts.local import locks
from jobs.hosts.local.archive import ArchiveRefused, unpack
from jobs.hosts.local.layout import sync_directory
from jobs.hosts.local.process import is_running
from jobs.hosts.local.trees import remove_tree

if TYPE_CHECKING:
    from jobs.hosts.local.backups import LocalBackups
    from jobs.hosts.local.layout import ServerPlace

_DRAFT_PREFIX = ".restore-"
_PREVIOUS_NAME = ".previous"
_HERE = -100  # AT_FDCWD
_EXCHANGE = 2  # RENAME_EXCHANGE
_NO_EXCHANGE = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)


def restore(backups: LocalBackups, place: ServerPlace, backup_id: str, safety_id: str | None = None) -> BackupInfo:
    """Replace the server's files by the backup's and return the safety copy of what was there.

    The locks keep starts, other backups and changes of files out until it is done.
    Raises BackupMissing, BackupDamaged, StillRunning.
    """
    server_id = place.server_id
    info = backups.required(server_id, backup_id)
    with (
        locks.held(place.backups_lock, server_id, "backup"),
        locks.held(place.command_lock, server_id, "command"),
        locks.held(place.files_lock, server_id, "change of files"),
        backups.open(server_id, backup_id) as download,
    ):
        if is_running(place):
            raise StillRunning(server_id)
        _verify(download.stream, info)
        _sweep(place)
        safety = backups.make(place, safety_id or f"safety-{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}")
        draft = Path(tempfile.mkdtemp(prefix=_DRAFT_PREFIX, dir=place.home))
        try:
            unpack(download.stream, draft, info.content_bytes)
            draft.chmod(0o755)
            os.sync()  # the tree has to be on disk before its name is
            _swap(draft, place)
        except ArchiveRefused as refusal:
            raise BackupDamaged(backup_id, refusal.reason) from None
        finally:
            remove_tree(draft)  # half a tree, or after the exchange the old one, which the safety copy holds
    return safety


def finish_interrupted_swap(place: ServerPlace) -> None:
    """Bring the files back when a host without an exchange of names died between its two renames."""
    if place.files.is_dir() or not place.home.is_dir():
        return
    with locks.held(place.files_lock, place.server_id, "restore"):
        previous = place.home / _PREVIOUS_NAME
        if not place.files.is_dir() and previous.is_dir():
            previous.rename(place.files)


def _verify(stream: BinaryIO, info: BackupInfo) -> None:
    digest = hashlib.sha256()
    size_bytes = 0
    while chunk := stream.read(1024 * 1024):
        digest.update(chunk)
        size_bytes += len(chunk)
    if (size_bytes, digest.hexdigest()) != (info.size_bytes, info.sha256):
        raise BackupDamaged(info.backup_id, "its content is not what was stored")
    stream.seek(0)  # the very file that was checked is the one that is unpacked


def _swap(draft: Path, place: ServerPlace) -> None:
    if not _exchange(draft, place.files):
        previous = place.home / _PREVIOUS_NAME
        place.files.rename(previous)
        draft.rename(place.files)
        remove_tree(previous)
    sync_directory(place.home)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step. False where the system or its file system cannot."""
    system = ctypes.CDLL(None, use_errno=True)
    if not hasattr(system, "renameat2"):
        return False
    if system.renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in _NO_EXCHANGE:
        return False
    raise OSError(number, os.strerror(number))


def _sweep(place: ServerPlace) -> None:
    """Remove what earlier restores left when they died. The current files stand, so none of it is needed."""
    for stale in (*place.home.glob(_DRAFT_PREFIX + "*"), place.home / _PREVIOUS_NAME):
        if place.files.is_dir():
            remove_tree(stale)
