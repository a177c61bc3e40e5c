"""A file on its way in: written beside the customer's files, and put into place in one step."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobs.hosts.base import FileEntry, FileMissing, PathRefused, TooLarge, WrongFileKind
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local import locks
from jobs.hosts.local.confinement import CustomerPath, entry_at, opened_parent
from jobs.hosts.local.entries import entry_of
from jobs.hosts.local.versions import Versions

if TYPE_CHECKING:
    from types import TracebackType

    from jobs.hosts.local.layout import ServerPlace

_ABANDONED_AFTER_SECONDS = 60
_NEW_FILE_MODE = 0o644


class LocalUpload:
    """One upload. Memory stays constant; the old content stays in place, and readable, until `commit`."""

    def __init__(self, host: str, place: ServerPlace, path: CustomerPath, limit_bytes: int, versions_kept: int) -> None:
        self._host = host
        self._place = place
        self._path = path
        self._limit_bytes = limit_bytes
        self._versions = Versions(place.versions, path, versions_kept)
        self._refuse_early()
        sweep_abandoned(place.incoming)
        descriptor, draft = tempfile.mkstemp(prefix="upload-", dir=place.incoming)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells sweepers that somebody still writes it
        self._draft = Path(draft)
        self._stream = os.fdopen(descriptor, "wb")
        self._size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            self.abandon()
            raise TooLarge(self._path.text, self._size_bytes, self._limit_bytes, "that is the most a file may have")
        with machine_trouble_of(self._host):
            self._stream.write(chunk)

    def commit(self) -> FileEntry:
        with machine_trouble_of(self._host):
            self._stream.flush()
            os.fsync(self._stream.fileno())
        with (
            machine_trouble_of(self._host),
            locks.held(self._place.files_lock, self._place.server_id, "change of files"),
            # walked here and not when the upload began: a restore may have put another tree into place since
            opened_parent(self._place.files, self._path, make=True) as parent,
        ):
            try:
                return self._put(parent)
            except FileNotFoundError:  # the server removed the directory, or what was to be replaced, meanwhile
                raise self._path.missing() from None

    def abandon(self) -> None:
        if not self._stream.closed:
            # what is still buffered is of no use, and a full disk must not hide why the upload ends
            with suppress(OSError):
                self._stream.close()
            self._draft.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()

    def _put(self, parent: int) -> FileEntry:
        name = self._path.name
        replaced = entry_at(parent, name)
        refuse_to_replace(self._path, replaced)
        mode = _NEW_FILE_MODE if replaced is None else stat.S_IMODE(replaced.st_mode) & 0o777
        os.fchmod(self._stream.fileno(), mode)
        if replaced is not None:
            self._versions.save_copy(parent, name)
        os.rename(self._draft, name, dst_dir_fd=parent)
        os.fsync(parent)
        self._versions.prune()
        self._stream.close()
        return entry_of(name, os.stat(name, dir_fd=parent, follow_symlinks=False))

    def _refuse_early(self) -> None:
        # a directory on the way that is missing is made at the end
        with suppress(FileMissing), opened_parent(self._place.files, self._path) as parent:
            refuse_to_replace(self._path, entry_at(parent, self._path.name))


def refuse_to_replace(path: CustomerPath, seen: os.stat_result | None) -> None:
    """Raise WrongFileKind or PathRefused unless an ordinary file, or nothing, stands at `path`."""
    if seen is None or stat.S_ISREG(seen.st_mode):
        return
    if stat.S_ISDIR(seen.st_mode):
        raise WrongFileKind(path.text, "file")
    raise PathRefused(path.text, "link" if stat.S_ISLNK(seen.st_mode) else "special")


def sweep_abandoned(incoming: Path) -> None:
    """Remove uploads whose process died. A living one holds the lock on its draft."""
    for draft in incoming.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_SECONDS and not locks.is_held(draft):
                draft.unlink()
