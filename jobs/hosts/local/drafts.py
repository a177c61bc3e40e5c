"""What is uploaded, while it comes in: a file of ours beside the customer's, which is gone unless it is committed."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from jobs.hosts.base import FileEntry, TooLarge
from jobs.hosts.errors import machine_trouble_of
from jobs.hosts.local import locks

if TYPE_CHECKING:
    from types import TracebackType

    from jobs.hosts.local.confinement import CustomerPath

_ABANDONED_AFTER_SECONDS = 60


class Draft(ABC):
    """One upload. Memory stays constant; a host says in `commit` how its content is put into place."""

    def __init__(self, host: str, incoming: Path, path: CustomerPath, limit_bytes: int) -> None:
        self._host = host
        self._path = path
        self._limit_bytes = limit_bytes
        sweep_abandoned(incoming)
        descriptor, draft = tempfile.mkstemp(prefix="upload-", dir=incoming)
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

    @abstractmethod
    def commit(self) -> FileEntry:
        """Put the content into place."""

    def abandon(self) -> None:
        if not self._stream.closed:
            # what is still buffered is of no use, and a full disk must not hide why the upload ends
            with suppress(OSError):
                self._stream.close()
            self._draft.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abandon()


def sweep_abandoned(incoming: Path) -> None:
    """Remove uploads whose process died. A living one holds the lock on its draft."""
    for draft in incoming.iterdir():
        with suppress(FileNotFoundError):
            if time.time() - draft.stat().st_mtime > _ABANDONED_AFTER_SECONDS and not locks.is_held(draft):
                draft.unlink()
