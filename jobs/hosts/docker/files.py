"""A customer's access to the files in a container, through the Engine's archives: list, read, write, delete, revert.

Whatever links a server puts in the way, the Engine resolves them inside its container: nothing outside can be reached.
Those that are seen on the way are refused all the same, as on every host.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from tarfile import TarInfo
from typing import TYPE_CHECKING, cast

from jobs.hosts.base import (
    Download,
    FileBounds,
    FileEntry,
    FileKind,
    FileMissing,
    FileVersion,
    Listing,
    NothingToRevert,
    NotText,
    PathRefused,
    TooLarge,
    WrongFileKind,
)
from jobs.hosts.docker.archive import TarStream, member_blocks, tar_of
from jobs.hosts.docker.places import Landing, Places, directories
from jobs.hosts.docker.transfers import DockerUpload, MemberReader
from jobs.hosts.docker.versions import DockerVersions
from jobs.hosts.local import locks
from jobs.hosts.local.confinement import CustomerPath
from jobs.hosts.local.entries import instant_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from jobs.hosts.docker.client import Engine
    from jobs.hosts.docker.containers import Container
    from jobs.hosts.local.layout import ServerPlace

LIST_BYTES = 64 * 1024 * 1024
"""How much of a directory's tar is read to list it: an Engine has no other way to tell what is in one."""


@dataclass(frozen=True, slots=True)
class DockerFiles:
    """File access to any server of one Engine, within `bounds`."""

    engine: Engine
    places: Places
    bounds: FileBounds

    def list_directory(self, found: Container, text: str) -> Listing:
        path = CustomerPath.parse(text)
        where = self.places.directory(found, path)
        entries: dict[str, FileEntry] = {}
        read_bytes = 0
        with self.engine.client.archive(found.id, where) as stream:
            for parts, member in TarStream(self.engine.host, stream).members():
                read_bytes += member.size
                if len(entries) >= self.bounds.list_entries or read_bytes > LIST_BYTES:
                    return Listing(_by_name(entries), truncated=True)
                if len(parts) == 1:
                    entries[parts[0]] = self._entry(found, f"{where}/{parts[0]}", member, parts[0])
        return Listing(_by_name(entries), truncated=False)

    def read(self, found: Container, text: str) -> str:
        path = CustomerPath.parse(text)
        if path.is_root:
            raise WrongFileKind(text, "file")
        with self._opened(found, path) as (member, stream):
            if member.size > self.bounds.read_bytes:
                raise TooLarge(text, member.size, self.bounds.read_bytes, "download it instead")
            content = stream.read()
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise NotText(text) from None

    def open(self, found: Container, text: str) -> Download:
        path = CustomerPath.parse(text)
        if path.is_root:
            raise WrongFileKind(text, "file")
        opened = self._opened(found, path)
        member, stream = opened.__enter__()
        reader = MemberReader(self.engine.host, stream, partial(opened.__exit__, None, None, None))
        return Download(path.name, member.size, cast("BinaryIO", reader))

    def write(self, found: Container, place: ServerPlace, text: str, content: str | bytes) -> FileEntry:
        try:
            whole = content if isinstance(content, bytes) else content.encode()
        except UnicodeEncodeError:  # half of a surrogate pair, which JSON can carry
            raise NotText(text) from None
        limit = self.bounds.write_bytes
        if len(whole) > limit:
            raise TooLarge(text, len(whole), limit, "upload it instead")
        with self.upload(found, place, text) as upload:
            upload.write(whole)
            return upload.commit()

    def upload(self, found: Container, place: ServerPlace, text: str) -> DockerUpload:
        path = CustomerPath.parse(text)
        self.places.landing(found, path)
        return DockerUpload(self, found, place, path, self.bounds.upload_bytes)

    def put(self, found: Container, place: ServerPlace, path: CustomerPath, content: BinaryIO, size: int) -> FileEntry:
        """Put a whole file into place, keeping what it replaces as a version."""
        with locks.held(place.files_lock, place.server_id, "change of files"):
            landing = self.places.landing(found, path)
            member = TarInfo("/".join(path.parts))
            member.size, member.mtime, member.mode = size, int(time.time()), 0o644
            versions = self._versions(place, path)
            if landing.replaces:
                old = self._save(found, path, versions)
                member.uid, member.gid, member.mode = old.uid, old.gid, old.mode & 0o777
            else:
                member.uid, member.gid = self.places.owner(found, landing)
            self._unpack(found, landing, member, content)
            self.places.expect_file(found, path, size)
            versions.prune()
            return FileEntry(path.name, "file", size, instant_of(member.mtime))

    def delete(self, found: Container, place: ServerPlace, text: str) -> None:
        path = CustomerPath.parse(text)
        versions = self._versions(place, path)
        with locks.held(place.files_lock, place.server_id, "change of files"):
            self.places.existing(found, path)
            self._save(found, path, versions)
            self.places.remove(found, path)
            versions.prune()

    def revert(self, found: Container, place: ServerPlace, text: str, version: int | None = None) -> FileEntry:
        path = CustomerPath.parse(text)
        versions = self._versions(place, path)
        with locks.held(place.files_lock, place.server_id, "change of files"):
            earlier = versions.find(version)
            if earlier is None:
                self.places.parent(found, path)
                raise NothingToRevert(text, version)
            landing = self.places.landing(found, path, any_kind=True)
            if landing.replaces:
                self._save(found, path, versions)
                self.places.remove(found, path)
            with earlier.path.open("rb") as archive:
                if landing.missing:
                    above = directories(landing, *self.places.owner(found, landing))
                    self.engine.client.unpack(found.id, found.data, tar_of(above))
                parent = "/".join((found.data, *path.parts[:-1]))
                self.engine.client.unpack(found.id, parent, iter(lambda: archive.read(256 * 1024), b""))
            stat = self.places.existing(found, path)
            earlier.path.unlink()
            versions.prune()
            kind: FileKind = "directory" if stat.is_directory else "file"
            return FileEntry(path.name, kind, stat.size_bytes, instant_of(time.time()))

    def history(self, place: ServerPlace, text: str) -> list[FileVersion]:
        path = CustomerPath.parse(text)
        _ = path.name
        with locks.held(place.files_lock, place.server_id, "change of files"):
            return self._versions(place, path).history()

    @contextmanager
    def _opened(self, found: Container, path: CustomerPath) -> Iterator[tuple[TarInfo, BinaryIO]]:
        """Open an ordinary file. Raises FileMissing, WrongFileKind, PathRefused."""
        stat = self.places.existing(found, path)
        if stat.is_directory:
            raise WrongFileKind(path.text, "file")
        if stat.is_link or stat.is_special:
            raise PathRefused(path.text, "link" if stat.is_link else "special")
        with self.engine.client.archive(found.id, "/".join((found.data, *path.parts))) as stream:
            tar = TarStream(self.engine.host, stream)
            members = tar.members()  # kept: the archive would close with it
            _, member = next(members, ((), None))
            if member is None or not member.isreg():  # the server put something else there meanwhile
                raise FileMissing(path.text)
            yield member, tar.content(member)

    def _unpack(self, found: Container, landing: Landing, member: TarInfo, content: BinaryIO) -> None:
        above = directories(landing, member.uid, member.gid)
        blocks = tar_of(above, member_blocks(member, content))
        self.engine.client.unpack(found.id, found.data, blocks)

    def _save(self, found: Container, path: CustomerPath, versions: DockerVersions) -> TarInfo:
        with self.engine.client.archive(found.id, "/".join((found.data, *path.parts))) as stream:
            return versions.save(self.engine.host, stream)

    def _entry(self, found: Container, where: str, member: TarInfo, name: str) -> FileEntry:
        size = member.size
        if member.islnk():  # a second name of a file that came before
            stat = self.engine.client.stat_path(found.id, where)
            size = stat.size_bytes if stat is not None else 0
        return FileEntry(name, _kind(member), size, instant_of(member.mtime))

    def _versions(self, place: ServerPlace, path: CustomerPath) -> DockerVersions:
        _ = path.name
        return DockerVersions(place.versions, path.parts, self.bounds.versions_kept)


def _kind(member: TarInfo) -> FileKind:
    if member.isreg() or member.islnk():
        return "file"
    if member.isdir():
        return "directory"
    return "link" if member.issym() else "other"


def _by_name(entries: dict[str, FileEntry]) -> tuple[FileEntry, ...]:
    return tuple(entries[name] for name in sorted(entries))
