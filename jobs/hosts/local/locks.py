"""Locks between processes on files. The kernel drops them with their holder, so none outlives a crash."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.hosts.base import HostBusy, ServerMissing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_POLL_SECONDS = 0.01


@contextmanager
def held(path: Path, server_id: str, doing: str, wait_seconds: float = 30.0) -> Iterator[None]:
    """Hold the lock file exclusively. Raises HostBusy after `wait_seconds`, ServerMissing without its directory."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except FileNotFoundError:
        raise ServerMissing(server_id) from None
    try:
        if not _acquired(descriptor, wait_seconds):
            raise HostBusy(server_id, doing)
        if os.fstat(descriptor).st_nlink == 0:  # the server was destroyed while this waited
            raise ServerMissing(server_id)
        yield
    finally:
        # unlocked by name as well: a process forked meanwhile by another thread may still share the descriptor
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def claim_for_life(path: Path, wait_seconds: float) -> int | None:
    """Hold the lock until this process ends. Returns its descriptor, or `None` when another process has it.

    Observers probe the lock for an instant, hence the wait.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    if _acquired(descriptor, wait_seconds):
        return descriptor
    os.close(descriptor)
    return None


def is_held(path: Path) -> bool:
    """Tell whether a living process holds the lock exclusively."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # shared, so that observers never see each other
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _acquired(descriptor: int, wait_seconds: float) -> bool:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True
