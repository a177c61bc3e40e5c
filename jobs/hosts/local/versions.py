"""What a path held earlier: kept when it is overwritten or deleted, so that `revert` can bring it back.

A version is the old file itself, linked or moved on the same disk: keeping one costs no copy, whatever its size. The
caller holds the server's files lock.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.hosts.base import FileVersion
from jobs.hosts.local.entries import instant_of, kind_of
from jobs.hosts.local.trees import remove_tree

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.hosts.local.confinement import CustomerPath

_NOT_LINKABLE = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


@dataclass(frozen=True, slots=True)
class _Kept:
    number: int
    saved_at_ms: int

    @property
    def name(self) -> str:
        return f"{self.number:08d}-{self.saved_at_ms:013d}"

    @classmethod
    def parse(cls, name: str) -> _Kept:
        number, _, saved_at_ms = name.partition("-")
        return cls(int(number), int(saved_at_ms))


class Versions:
    """The versions of one path of one server."""

    def __init__(self, folder: Path, path: CustomerPath, keep: int) -> None:
        # the path's digest: a directory of its own however long or odd the path is
        self._folder = folder / hashlib.sha256("/".join(path.parts).encode()).hexdigest()[:40]
        self._keep = keep

    def history(self) -> list[FileVersion]:
        """List them, newest first."""
        found = []
        for kept in reversed(self._kept()):
            seen = (self._folder / kept.name).lstat()
            found.append(
                FileVersion(kept.number, kind_of(seen.st_mode), seen.st_size, instant_of(kept.saved_at_ms / 1000))
            )
        return found

    def save_copy(self, parent: int, name: str) -> None:
        """Keep the file `name` of the open directory `parent`, leaving it in place for whoever replaces it next."""
        target = self._next()
        try:
            os.link(name, target, src_dir_fd=parent, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_LINKABLE:
                raise
            self._copy(parent, name, target)  # a file system without hard links, or a kernel that forbids this one

    def save_moved(self, parent: int, name: str) -> None:
        """Keep whatever `name` is, a whole directory too, taking it away from where it stands."""
        os.rename(name, self._next(), src_dir_fd=parent)

    def find(self, number: int | None = None) -> Path | None:
        """Return the version of that number, the newest without one; `None` when there is none."""
        kept = [each for each in self._kept() if number in (None, each.number)]
        return self._folder / kept[-1].name if kept else None

    def prune(self) -> None:
        """Remove all but the newest ones."""
        for kept in self._kept()[: -self._keep]:
            old = self._folder / kept.name
            if old.is_dir() and not old.is_symlink():
                remove_tree(old)
            else:
                old.unlink()

    def _kept(self) -> list[_Kept]:
        try:
            return sorted((_Kept.parse(kept.name) for kept in self._folder.iterdir()), key=lambda kept: kept.number)
        except FileNotFoundError:
            return []

    def _next(self) -> Path:
        self._folder.mkdir(exist_ok=True)
        kept = self._kept()
        return self._folder / _Kept(kept[-1].number + 1 if kept else 1, int(time.time() * 1000)).name

    @staticmethod
    def _copy(parent: int, name: str, target: Path) -> None:
        source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        with os.fdopen(source, "rb") as reader, target.open("xb") as writer:
            shutil.copyfileobj(reader, writer, 1024 * 1024)
            os.fchmod(writer.fileno(), os.fstat(reader.fileno()).st_mode & 0o777)
