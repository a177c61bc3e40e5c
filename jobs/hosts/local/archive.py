"""A tree of files as one compressed archive, and back: streamed, so that size costs disk and time but no memory.

Both directions open every name by itself in a directory that is already open and follow no link. An archive holds
files, directories and links that stay inside the tree; nothing of this machine, such as owners, goes into it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import tarfile
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from jobs.hosts.local.trees import DIRECTORY_FLAGS, Parts, entries_below, open_below

if TYPE_CHECKING:
    from pathlib import Path

_COMPRESSION = 3
_RETAKES = 3
# file systems stamp changes in ticks of some milliseconds: within one, a second change cannot be seen
_TICK_SECONDS = 0.05
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK


class ArchiveRefused(Exception):
    """An archive holds what none of ours holds, or cannot be read to its end."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(slots=True)
class Packed:
    """What went into an archive."""

    content_bytes: int = 0
    skipped_entries: int = 0
    unsettled_files: int = 0


class HashingWriter:
    """Passes bytes on to a stream, keeping their number and digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        self._digest.update(data)
        self.size_bytes += len(data)
        self._stream.write(data)
        return len(data)

    def flush(self) -> None:
        self._stream.flush()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()


class _ExactReader:
    """Reads exactly the announced number of bytes, filling up with zeros when the file has shrunk since."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self._descriptor = descriptor
        self._left = size_bytes

    def read(self, count: int) -> bytes:
        wanted = min(count, self._left)
        self._left -= wanted
        data = bytearray()
        while len(data) < wanted:
            data += os.read(self._descriptor, wanted - len(data)) or bytes(wanted - len(data))
        return bytes(data)


def pack(root: Path, target: HashingWriter) -> Packed:
    """Write the tree below `root` to `target`.

    A server may go on writing meanwhile. A file that changed while it was read is added again at the end, where it
    takes the place of the first copy; one that keeps changing is counted as unsettled.
    """
    packed = Packed()
    again: list[Parts] = []
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=target, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive,
    ):
        for parts, directory, seen in entries_below(root):
            member = _member(parts, seen)
            if stat.S_ISREG(seen.st_mode):
                if not _add_file(archive, directory, parts, packed):
                    again.append(parts)
            elif stat.S_ISLNK(seen.st_mode):
                _add_link(archive, directory, parts, member, packed)
            elif stat.S_ISDIR(seen.st_mode):
                member.type = tarfile.DIRTYPE
                archive.addfile(member)
            else:
                packed.skipped_entries += 1
            _forget_members(archive)
        for _ in range(_RETAKES):
            if again:
                time.sleep(_TICK_SECONDS)
            again = [parts for parts in again if not _retake(archive, root, parts, packed)]
    packed.unsettled_files = len(again)
    return packed


def unpack(stream: BinaryIO, target: Path, content_limit_bytes: int) -> None:
    """Make the archive's tree in the empty directory `target`. Raises ArchiveRefused; the caller removes the rest."""
    links: list[tuple[Parts, str]] = []
    left = content_limit_bytes
    root = os.open(target, DIRECTORY_FLAGS)
    try:
        with tarfile.open(fileobj=stream, mode="r|gz", encoding="utf-8") as archive:
            for member in archive:
                parts = _checked_parts(member, target)
                left -= member.size
                if left < 0:
                    raise ArchiveRefused("it holds more than was backed up")
                if member.issym():
                    links.append((parts, member.linkname))
                else:
                    _extract(archive, member, root, parts)
                _forget_members(archive)
        # last, so that nothing is ever written through one
        for parts, linkname in links:
            directory = open_below(root, parts[:-1], make=True)
            try:
                os.symlink(linkname, parts[-1], dir_fd=directory)
            finally:
                os.close(directory)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveRefused("it cannot be read to its end") from error
    finally:
        os.close(root)


def link_stays_inside(parts: Parts, linkname: str) -> bool:
    """Tell whether a link at `parts` can only lead below the root: up first, at most to the root, then down."""
    steps = [step for step in linkname.split("/") if step not in ("", ".")]
    ups = next((index for index, step in enumerate(steps) if step != ".."), len(steps))
    return not linkname.startswith("/") and ups < len(parts) and ".." not in steps[ups:]


def _member(parts: Parts, seen: os.stat_result) -> tarfile.TarInfo:
    member = tarfile.TarInfo("/".join(parts))
    member.mode = stat.S_IMODE(seen.st_mode) & 0o777
    member.mtime = max(0, int(seen.st_mtime))
    return member


def _add_file(archive: tarfile.TarFile, directory: int, parts: Parts, packed: Packed) -> bool:
    """Add one file. False when it may have changed while it was read."""
    try:
        descriptor = os.open(parts[-1], _FILE_FLAGS, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError:
        packed.skipped_entries += 1  # something else stands there by now, or it may not be read
        return True
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            packed.skipped_entries += 1
            return True
        member = _member(parts, before)
        member.size = before.st_size
        recent = before.st_mtime > time.time() - _TICK_SECONDS
        archive.addfile(member, _ExactReader(descriptor, before.st_size))  # type: ignore[arg-type]  # only reads
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    packed.content_bytes += before.st_size
    return not recent and (before.st_size, before.st_mtime_ns) == (after.st_size, after.st_mtime_ns)


def _retake(archive: tarfile.TarFile, root: Path, parts: Parts, packed: Packed) -> bool:
    top = os.open(root, DIRECTORY_FLAGS)
    try:
        directory = open_below(top, parts[:-1])
    except OSError:
        return True  # its directory is gone, and the file with it
    finally:
        os.close(top)
    try:
        return _add_file(archive, directory, parts, packed)
    finally:
        os.close(directory)


def _add_link(archive: tarfile.TarFile, directory: int, parts: Parts, member: tarfile.TarInfo, packed: Packed) -> None:
    linkname = os.readlink(parts[-1], dir_fd=directory)
    if not link_stays_inside(parts, linkname):
        packed.skipped_entries += 1
        return
    member.type = tarfile.SYMTYPE
    member.linkname = linkname
    archive.addfile(member)


def _checked_parts(member: tarfile.TarInfo, target: Path) -> Parts:
    parts = tuple(member.name.split("/"))
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ArchiveRefused("it holds a name that leads elsewhere")
    if not (member.isreg() or member.isdir() or member.issym()):
        raise ArchiveRefused("it holds something other than files, directories and links")
    if member.issym() and not link_stays_inside(parts, member.linkname):
        raise ArchiveRefused("it holds a link that leads elsewhere")
    if member.issym() and hasattr(tarfile, "data_filter"):  # a second opinion, where this Python has it
        try:
            tarfile.data_filter(member, str(target))
        except tarfile.FilterError:
            raise ArchiveRefused("it holds a link that leads elsewhere") from None
    return parts


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, root: int, parts: Parts) -> None:
    if member.isdir():
        directory = open_below(root, parts, make=True)
        try:
            os.fchmod(directory, (member.mode & 0o777) | stat.S_IRWXU)
        finally:
            os.close(directory)
        return
    directory = open_below(root, parts[:-1], make=True)
    try:
        with suppress(FileNotFoundError):
            os.unlink(parts[-1], dir_fd=directory)  # the first copy of a file that was added again
        descriptor = os.open(parts[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
    finally:
        os.close(directory)
    content = archive.extractfile(member)
    with os.fdopen(descriptor, "wb") as stream:
        while content is not None and (chunk := content.read(1024 * 1024)):
            stream.write(chunk)
        stream.flush()
        os.fchmod(descriptor, member.mode & 0o777)
        os.utime(descriptor, (member.mtime, member.mtime))


def _forget_members(archive: tarfile.TarFile) -> None:
    archive.members = []  # type: ignore[attr-defined]  # it would otherwise remember every file of a million
