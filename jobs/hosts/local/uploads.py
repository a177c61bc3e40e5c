"""A file on its way in: written beside the customer's files, and put into place in one step."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from jobs.hosts.base import FileEntry, FileMissing, PathRefused, WrongFileKind
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local import locks
from jobs.hosts.local.confinement import CustomerPath, entry_at, opened_parent
from jobs.hosts.local.drafts import Draft
from jobs.hosts.local.entries import entry_of
from jobs.hosts.local.versions import Versions

if TYPE_CHECKING:
    from jobs.hosts.local.layout import ServerPlace

_NEW_FILE_MODE = 0o644


class LocalUpload(Draft):
    """One upload. The old content stays in place, and readable, until `commit`."""

    def __init__(self, host: str, place: ServerPlace, path: CustomerPath, limit_bytes: int, versions_kept: int) -> None:
        refuse_early(place, path)
        self._place = place
        self._versions = Versions(place.versions, path, versions_kept)
        super().__init__(host, place.incoming, path, limit_bytes)

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


def refuse_early(place: ServerPlace, path: CustomerPath) -> None:
    """Refuse before anything is sent. A directory on the way that is missing is made at the end."""
    with suppress(FileMissing), opened_parent(place.files, path) as parent:
        refuse_to_replace(path, entry_at(parent, path.name))


def refuse_to_replace(path: CustomerPath, seen: os.stat_result | None) -> None:
    """Raise WrongFileKind or PathRefused unless an ordinary file, or nothing, stands at `path`."""
    if seen is None or stat.S_ISREG(seen.st_mode):
        return
    if stat.S_ISDIR(seen.st_mode):
        raise WrongFileKind(path.text, "file")
    raise PathRefused(path.text, "link" if stat.S_ISLNK(seen.st_mode) else "special")
