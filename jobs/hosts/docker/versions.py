"""What a path of a container held earlier, kept on this side as the tar that the Engine made of it.

The caller holds the server's files lock.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from jobs.hosts.base import FileKind, FileVersion
from jobs.hosts.docker.archive import CHUNK_BYTES, TarStream
from jobs.hosts.errors import HostUnavailable
from jobs.hosts.local.entries import instant_of

if TYPE_CHECKING:
    from tarfile import TarInfo

_DRAFT_PREFIX = ".draft-"


@dataclass(frozen=True, slots=True)
class Kept:
    """One version: its file's name says all that is listed of it."""

    path: Path
    number: int
    saved_at_ms: int
    kind: FileKind
    size_bytes: int

    @classmethod
    def parse(cls, path: Path) -> Self:
        number, saved_at_ms, kind, size_bytes = path.stem.split("-")
        return cls(path, int(number), int(saved_at_ms), cast("FileKind", kind), int(size_bytes))


class DockerVersions:
    """The versions of one path of one server."""

    def __init__(self, folder: Path, parts: tuple[str, ...], keep: int) -> None:
        # the path's digest: a directory of its own however long or odd the path is
        self._folder = folder / hashlib.sha256("/".join(parts).encode()).hexdigest()[:40]
        self._keep = keep

    def history(self) -> list[FileVersion]:
        """List them, newest first."""
        return [
            FileVersion(kept.number, kept.kind, kept.size_bytes, instant_of(kept.saved_at_ms / 1000))
            for kept in reversed(self._kept())
        ]

    def find(self, number: int | None = None) -> Kept | None:
        """Return the version of that number, the newest without one; `None` when there is none."""
        kept = [each for each in self._kept() if number in (None, each.number)]
        return kept[-1] if kept else None

    def save(self, host: str, stream: Any) -> TarInfo:
        """Keep what an Engine's stream holds, and return its first member. Raises HostUnavailable when it is cut."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for stale in self._folder.glob(_DRAFT_PREFIX + "*"):
            stale.unlink()  # its maker died: the lock is ours
        descriptor, draft = tempfile.mkstemp(prefix=_DRAFT_PREFIX, dir=self._folder)
        try:
            with os.fdopen(descriptor, "w+b") as file:
                while chunk := stream.read(CHUNK_BYTES):
                    file.write(chunk)
                file.seek(0)
                members = [member for number, (_, member) in enumerate(TarStream(host, file).members()) if not number]
                if not members:
                    raise HostUnavailable(host, "what the Engine sent of the files is empty")
                first = members[0]
                os.fsync(file.fileno())
            Path(draft).rename(self._next(first))
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
        return first

    def prune(self) -> None:
        """Remove all but the newest ones."""
        for kept in self._kept()[: -self._keep]:
            kept.path.unlink()

    def _kept(self) -> list[Kept]:
        return sorted((Kept.parse(path) for path in self._folder.glob("[0-9]*.tar")), key=lambda kept: kept.number)

    def _next(self, first: TarInfo) -> Path:
        kept = self._kept()
        number = kept[-1].number + 1 if kept else 1
        kind = "directory" if first.isdir() else "file"
        return self._folder / f"{number:08d}-{int(time.time() * 1000):013d}-{kind}-{first.size}.tar"
