"""Files on this machine that lead people to servers: several processes of ours change them, and others read them."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.edge.base import EdgeUnavailable


@contextmanager
def trouble_of(driver: str, path: Path) -> Iterator[None]:
    """Turn what the operating system refuses into the edge's own words. Raises EdgeUnavailable."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else "input or output failed"
        raise EdgeUnavailable(driver, f"`{path.name}`: {reason}") from error


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file that several processes change; it lies beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def replace_file(path: Path, content: bytes) -> None:
    """Let a file hold this from one moment to the next, keeping who may read it."""
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, aside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(aside).chmod(mode)
        Path(aside).replace(path)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
