"""A customer's access to a server's own files: list, read, download, write, upload, delete, revert."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.hosts.base import (
    Download,
    FileBounds,
    FileEntry,
    FileVersion,
    Listing,
    NothingToRevert,
    NotText,
    TooLarge,
)
from jobs.hosts.local import locks
from jobs.hosts.local.confinement import CustomerPath, entry_at, open_regular, opened_directory, opened_parent
from jobs.hosts.local.entries import entry_of
from jobs.hosts.local.uploads import LocalUpload
from jobs.hosts.local.versions import Versions

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.hosts.local.layout import ServerPlace


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """File access to any server of the local host, within `bounds`."""

    host: str
    bounds: FileBounds

    def list_directory(self, place: ServerPlace, text: str) -> Listing:
        path = CustomerPath.parse(text)
        entries: list[FileEntry] = []
        with opened_directory(place.files, path) as directory, os.scandir(directory) as found:
            for item in found:
                if len(entries) == self.bounds.list_entries:
                    return Listing(_by_name(entries), truncated=True)
                try:
                    entries.append(entry_of(item.name, item.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # the server removed it meanwhile
        return Listing(_by_name(entries), truncated=False)

    def read(self, place: ServerPlace, text: str) -> str:
        limit = self.bounds.read_bytes
        with self.open(place, text) as download:
            content = download.stream.read(limit + 1)  # one more: the file may grow while it is read
            size_bytes = max(download.size_bytes, len(content))
        if size_bytes > limit:
            raise TooLarge(text, size_bytes, limit, "download it instead")
        try:
            return content.decode()
        except UnicodeDecodeError:
            raise NotText(text) from None

    def open(self, place: ServerPlace, text: str) -> Download:
        path = CustomerPath.parse(text)
        if path.is_root:
            path = CustomerPath(text, (".",), path.absolute)  # a directory like any other, and refused as one
        with opened_parent(place.files, path) as parent:
            descriptor, seen = open_regular(parent, path)
        return Download(path.name, seen.st_size, os.fdopen(descriptor, "rb"))

    def write(self, place: ServerPlace, text: str, content: str | bytes) -> FileEntry:
        whole = _encoded(content, text)
        limit = self.bounds.write_bytes
        if len(whole) > limit:
            raise TooLarge(text, len(whole), limit, "upload it instead")
        path = CustomerPath.parse(text)
        with LocalUpload(self.host, place, path, limit, self.bounds.versions_kept) as upload:
            upload.write(whole)
            return upload.commit()

    def upload(self, place: ServerPlace, text: str) -> LocalUpload:
        path = CustomerPath.parse(text)
        return LocalUpload(self.host, place, path, self.bounds.upload_bytes, self.bounds.versions_kept)

    def delete(self, place: ServerPlace, text: str) -> None:
        path = CustomerPath.parse(text)
        name = path.name
        versions = self._versions(place, path)
        with (
            locks.held(place.files_lock, place.server_id, "change of files"),
            opened_parent(place.files, path) as parent,
        ):
            if entry_at(parent, name) is None:
                raise path.missing()
            try:
                versions.save_moved(parent, name)
            except FileNotFoundError:  # the server removed it between the two
                raise path.missing() from None
            os.fsync(parent)
            versions.prune()

    def revert(self, place: ServerPlace, text: str, version: int | None = None) -> FileEntry:
        path = CustomerPath.parse(text)
        name = path.name
        versions = self._versions(place, path)
        with locks.held(place.files_lock, place.server_id, "change of files"):
            earlier = versions.find(version)
            with opened_parent(place.files, path, make=earlier is not None) as parent:
                if earlier is None:
                    raise NothingToRevert(text, version)
                try:
                    return self._bring_back(versions, earlier, parent, name)
                except FileNotFoundError:  # the server removed the directory, or what stood there, meanwhile
                    raise path.missing() from None

    def history(self, place: ServerPlace, text: str) -> list[FileVersion]:
        path = CustomerPath.parse(text)
        _ = path.name
        with locks.held(place.files_lock, place.server_id, "change of files"):
            return self._versions(place, path).history()

    @staticmethod
    def _bring_back(versions: Versions, earlier: Path, parent: int, name: str) -> FileEntry:
        current = entry_at(parent, name)
        if current is not None and stat.S_ISREG(current.st_mode) and stat.S_ISREG(earlier.lstat().st_mode):
            versions.save_copy(parent, name)  # so that the path is never empty, not even for an instant
        elif current is not None:
            versions.save_moved(parent, name)
        os.rename(earlier, name, dst_dir_fd=parent)
        os.fsync(parent)
        versions.prune()
        return entry_of(name, os.stat(name, dir_fd=parent, follow_symlinks=False))

    def _versions(self, place: ServerPlace, path: CustomerPath) -> Versions:
        return Versions(place.versions, path, self.bounds.versions_kept)


def _encoded(content: str | bytes, text: str) -> bytes:
    if isinstance(content, bytes):
        return content
    try:
        return content.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can carry
        raise NotText(text) from None


def _by_name(entries: list[FileEntry]) -> tuple[FileEntry, ...]:
    return tuple(sorted(entries, key=lambda entry: entry.name))
