"""Tar streams of an Engine: read to their very end, kept as archives of ours, checked before they go back.

What comes out of a container was made by the customer. Nothing of it is ever unpacked on this machine.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from jobs.hosts.errors import HostUnavailable
from jobs.hosts.local.archive import ArchiveRefused, HashingWriter, Packed, link_stays_inside

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Parts = tuple[str, ...]
CHUNK_BYTES = 256 * 1024
_COMPRESSION = 3
_ROOT = "."
"""The name of the data directory itself: its owner is who may make files in it."""
_MODE = 0o777


class TarStream:
    """Reads the members of a tar stream, in their order, each by its path below the name that was asked for."""

    def __init__(self, host: str, stream: Any) -> None:
        self._host = host
        self._stream = stream
        self._archive: tarfile.TarFile | None = None

    def members(self) -> Iterator[tuple[Parts, tarfile.TarInfo]]:
        """Yield each member. Raises HostUnavailable when the stream ends before the archive does."""
        try:
            with tarfile.open(fileobj=self._stream, mode="r|", encoding="utf-8", bufsize=CHUNK_BYTES) as archive:
                self._archive = archive
                for member in archive:
                    yield parts_of(member.name)[1:], member
                    _forget_members(archive)
                assert archive.fileobj is not None, "it is open"
                # an archive ends with an empty block; a stream that is cut between two files ends where one began
                whole = archive.fileobj.tell() > archive.offset
        except (tarfile.TarError, EOFError, ArchiveRefused) as error:
            raise HostUnavailable(self._host, "what the Engine sent of the files is not whole") from error
        if not whole:
            raise HostUnavailable(self._host, "what the Engine sent of the files is cut short")
        while self._stream.read(CHUNK_BYTES):
            pass

    def content(self, member: tarfile.TarInfo) -> BinaryIO:
        """Open the content of the member that was yielded last."""
        assert self._archive is not None, "members come first"
        found = self._archive.extractfile(member)
        assert found is not None, "only files are opened"
        return cast("BinaryIO", found)


def parts_of(name: str) -> Parts:
    """Take a member's name apart. Raises ArchiveRefused for one that leads elsewhere."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if ".." in parts or name.startswith("/") or "\0" in name:
        raise ArchiveRefused("it holds a name that leads elsewhere")
    return parts


def keep(source: TarStream, target: HashingWriter) -> Packed:
    """Write an archive of ours from an Engine's stream, leaving out what no backup holds."""
    packed = Packed()
    with _written(target) as archive:
        for parts, member in source.members():
            kept = _kept(parts, member)
            if kept is None:
                packed.skipped_entries += 1
            elif member.isreg():
                packed.content_bytes += member.size
                archive.addfile(kept, source.content(member))
            else:
                archive.addfile(kept)
            _forget_members(archive)
    return packed


@contextmanager
def _written(target: HashingWriter) -> Iterator[tarfile.TarFile]:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=target, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8") as archive,
    ):
        yield archive


def _kept(parts: Parts, member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Return the member as an archive of ours holds it; owners stay, for they are the container's own."""
    kept = tarfile.TarInfo("/".join(parts) or _ROOT)
    kept.mode = member.mode & _MODE
    kept.uid, kept.gid = member.uid, member.gid
    kept.mtime = max(0, int(member.mtime))
    if member.isreg():
        kept.size = member.size
    elif member.isdir():
        kept.type = tarfile.DIRTYPE
    elif member.issym() and link_stays_inside(parts, member.linkname):
        kept.type, kept.linkname = tarfile.SYMTYPE, member.linkname
    elif member.islnk():  # a second name of a file that came before
        kept.type, kept.linkname = tarfile.LNKTYPE, "/".join(parts_of(member.linkname)[1:])
    else:
        return None
    return kept


def verify(stream: BinaryIO, content_limit_bytes: int) -> None:
    """Read an archive of ours to its end. Raises ArchiveRefused for anything in it that none of ours holds."""
    left = content_limit_bytes
    files: set[Parts] = set()
    try:
        with tarfile.open(fileobj=stream, mode="r|gz", encoding="utf-8") as archive:
            for member in archive:
                parts = parts_of(member.name)
                left -= member.size
                if left < 0:
                    raise ArchiveRefused("it holds more than was backed up")
                if not parts and not member.isdir():
                    raise ArchiveRefused("it holds something other than a directory at its top")
                if member.issym():
                    if not link_stays_inside(parts, member.linkname):
                        raise ArchiveRefused("it holds a link that leads elsewhere")
                elif member.islnk():
                    if parts_of(member.linkname) not in files:
                        raise ArchiveRefused("it holds a link that leads elsewhere")
                elif not (member.isreg() or member.isdir()):
                    raise ArchiveRefused("it holds something other than files, directories and links")
                if member.isreg():
                    files.add(parts)
                _forget_members(archive)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ArchiveRefused("it cannot be read to its end") from error


def below(top: str, stream: BinaryIO) -> Iterator[bytes]:
    """Yield an archive of ours as a tar stream whose names begin with `top`, the directory that it is for."""
    with tarfile.open(fileobj=stream, mode="r|gz", encoding="utf-8") as archive:
        for member in archive:
            member.pax_headers = {}  # they would win over what is set here
            member.name = top if member.name == _ROOT else f"{top}/{member.name}"
            if member.islnk():
                member.linkname = f"{top}/{member.linkname}"
            content = archive.extractfile(member) if member.isreg() else None
            yield from member_blocks(member, cast("BinaryIO | None", content))
            _forget_members(archive)


def member_blocks(member: tarfile.TarInfo, content: BinaryIO | None) -> Iterator[bytes]:
    """Yield a member as a tar stream holds it."""
    yield member.tobuf(tarfile.PAX_FORMAT)
    while content is not None and (chunk := content.read(CHUNK_BYTES)):
        yield chunk
    yield bytes(-member.size % tarfile.BLOCKSIZE)


def tar_of(*parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield a whole tar stream. Empty chunks are left out: one would end the request."""
    for part in parts:
        for block in part:
            if block:
                yield block
    yield bytes(2 * tarfile.BLOCKSIZE)


def _forget_members(archive: tarfile.TarFile) -> None:
    """Let go of what was read or written so far: an archive would remember every file of a million."""
    archive.members = []  # type: ignore[attr-defined]
