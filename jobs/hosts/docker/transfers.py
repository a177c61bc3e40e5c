"""Files on their way: into a container, staged on this side until all of it is there; and out of one."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from jobs.hosts.base import FileEntry
from jobs.hosts.docker.client import engine_trouble_of
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local.drafts import Draft

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from jobs.hosts.docker.containers import Container
    from jobs.hosts.docker.files import DockerFiles
    from jobs.hosts.local.confinement import CustomerPath
    from jobs.hosts.local.layout import ServerPlace


class DockerUpload(Draft):
    """One upload. The container sees nothing of it before `commit`."""

    def __init__(
        self, files: DockerFiles, found: Container, place: ServerPlace, path: CustomerPath, limit_bytes: int
    ) -> None:
        self._files = files
        self._found = found
        self._place = place
        super().__init__(files.engine.host, place.incoming, path, limit_bytes)

    def commit(self) -> FileEntry:
        with machine_trouble_of(self._host), engine_trouble_of(self._host, self._found.server_id):
            self._stream.seek(0)
            entry = self._files.put(self._found, self._place, self._path, self._stream, self._size_bytes)
        self.abandon()
        return entry


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
