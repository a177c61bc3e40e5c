"""Files on their way: into a container, staged on this side until all of it is there; and out of one."""

from __future__ import annotations

import fcntl
import io
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobs.hosts.base import FileEntry, TooLarge
from jobs.hosts.docker.client import engine_trouble_of
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local.uploads import sweep_abandoned

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import BinaryIO

    from jobs.hosts.docker.containers import Container
    from jobs.hosts.docker.files import DockerFiles
    from jobs.hosts.local.confinement import CustomerPath
    from jobs.hosts.local.layout import ServerPlace


class DockerUpload:
    """One upload. Memory stays constant, and the container sees nothing of it before `commit`."""

    def __init__(
        self, files: DockerFiles, found: Container, place: ServerPlace, path: CustomerPath, limit_bytes: int
    ) -> None:
        self._files = files
        self._found = found
        self._place = place
        self._path = path
        self._limit_bytes = limit_bytes
        self._host = files.engine.host
        sweep_abandoned(place.incoming)
        descriptor, draft = tempfile.mkstemp(prefix="upload-", dir=place.incoming)
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # tells sweepers that somebody still writes it
        self._draft = Path(draft)
        self._stream = os.fdopen(descriptor, "w+b")
        self._size_bytes = 0

    def write(self, chunk: bytes) -> None:
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            self.abandon()
            raise TooLarge(self._path.text, self._size_bytes, self._limit_bytes, "that is the most a file may have")
        with machine_trouble_of(self._host):
            self._stream.write(chunk)

    def commit(self) -> FileEntry:
        with machine_trouble_of(self._host), engine_trouble_of(self._host, self._found.server_id):
            self._stream.seek(0)
            entry = self._files.put(self._found, self._place, self._path, self._stream, self._size_bytes)
        self.abandon()
        return entry

    def abandon(self) -> None:
        if not self._stream.closed:
            with suppress(OSError):
                self._stream.close()
            self._draft.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()


class MemberReader(io.RawIOBase):
    """The content of one file of an Engine's stream; closing it closes the stream."""

    def __init__(self, host: str, stream: BinaryIO, close: Callable[[], object]) -> None:
        self._host = host
        self._content = stream
        self._end = close

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with machine_trouble_of(self._host), engine_trouble_of(self._host):
            return self._content.read(size)

    def close(self) -> None:
        if not self.closed:
            self._end()
        super().close()
