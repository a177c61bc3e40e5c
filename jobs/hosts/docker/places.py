"""Paths of a container: walked name by name, looked at, and removed."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.hosts.base import PathRefused, WrongFileKind
from jobs.hosts.docker.archive import TarStream
from jobs.hosts.errors import HostUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.hosts.docker.client import Engine, PathStat
    from jobs.hosts.docker.containers import Container, Containers
    from jobs.hosts.local.confinement import CustomerPath


@dataclass(frozen=True, slots=True)
class Landing:
    """Where something is to be put."""

    there: tuple[str, ...]
    """The deepest directory on the way that exists."""
    missing: tuple[tuple[str, ...], ...]
    """Those below it that have to be made, the outermost first."""
    replaces: bool
    """Something stands there."""


@dataclass(frozen=True, slots=True)
class Places:
    """Looks at paths below the data directory of containers. INVARIANT: no link that is seen is followed."""

    engine: Engine
    containers: Containers

    def directory(self, found: Container, path: CustomerPath) -> str:
        """Return where the directory at `path` is. Raises FileMissing, PathRefused, WrongFileKind."""
        there = self._walk(found, path, path.parts)
        if len(there) < len(path.parts):
            raise path.missing()
        return "/".join((found.data, *there))

    def parent(self, found: Container, path: CustomerPath) -> None:
        """Require the directory that holds `path`'s last name. Raises FileMissing, PathRefused."""
        if len(self._above(found, path)) < len(path.parts) - 1:
            raise path.missing()

    def existing(self, found: Container, path: CustomerPath) -> PathStat:
        """Look at what stands at `path`. Raises FileMissing, PathRefused."""
        _ = path.name
        self.parent(found, path)
        stat = self._stat(found, path.parts)
        if stat is None:
            raise path.missing()
        return stat

    def landing(self, found: Container, path: CustomerPath, *, any_kind: bool = False) -> Landing:
        """Find where something may be put. Raises WrongFileKind, PathRefused unless a file, or nothing, stands there.

        any_kind: whatever stands there will be moved out of the way.
        """
        _ = path.name
        above = path.parts[:-1]
        there = self._above(found, path)
        missing = tuple(above[: length + 1] for length in range(len(there), len(above)))
        if missing and path.absolute:
            raise path.missing()
        stat = None if missing else self._stat(found, path.parts)
        if stat is not None and not any_kind:
            if stat.is_directory:
                raise WrongFileKind(path.text, "file")
            if stat.is_link or stat.is_special:
                raise PathRefused(path.text, "link" if stat.is_link else "special")
        return Landing(there, missing, stat is not None)

    def owner(self, found: Container, landing: Landing) -> tuple[int, int]:
        """Return the owner and group of the deepest directory that exists."""
        with self.engine.client.archive(found.id, "/".join((found.data, *landing.there))) as stream:
            for _, member in TarStream(self.engine.host, stream).members():
                return member.uid, member.gid
        return 0, 0

    def expect_file(self, found: Container, path: CustomerPath, size_bytes: int) -> None:
        """Look whether a file that was put is there. Raises HostUnavailable."""
        stat = self._stat(found, path.parts)
        if stat is None or stat.size_bytes != size_bytes:
            raise HostUnavailable(self.engine.host, "the Engine took a file and did not keep it whole")

    def remove(self, found: Container, path: CustomerPath) -> None:
        """Remove what stands at `path`, and see it gone.

        An Engine cannot remove files: a container of the same image does, which sees nothing but the volume.
        """
        target = "/".join((found.data, *path.parts))
        self.containers.run_once(found, ["rm", "-rf", "--", target])
        if self._stat(found, path.parts) is not None:
            raise HostUnavailable(self.engine.host, "a file could not be removed; does the image have `rm`?")

    def _above(self, found: Container, path: CustomerPath) -> tuple[str, ...]:
        try:
            return self._walk(found, path, path.parts[:-1])
        except WrongFileKind:
            raise path.missing() from None

    def _walk(self, found: Container, path: CustomerPath, parts: tuple[str, ...]) -> tuple[str, ...]:
        """Return how far directories lead. Raises PathRefused, WrongFileKind."""
        for length in range(1, len(parts) + 1):
            stat = self._stat(found, parts[:length])
            if stat is None:
                return parts[: length - 1]
            if stat.is_link or stat.is_special:
                raise PathRefused(path.text, "link" if stat.is_link else "special")
            if not stat.is_directory:
                raise WrongFileKind(path.text, "directory")
        return parts

    def _stat(self, found: Container, parts: tuple[str, ...]) -> PathStat | None:
        return self.engine.client.stat_path(found.id, "/".join((found.data, *parts)))


def directories(landing: Landing, uid: int, gid: int) -> Iterator[bytes]:
    """Yield the tar headers of the directories that have to be made."""
    for parts in landing.missing:
        member = tarfile.TarInfo("/".join(parts))
        member.type, member.mode, member.uid, member.gid = tarfile.DIRTYPE, 0o755, uid, gid
        yield member.tobuf(tarfile.PAX_FORMAT)
