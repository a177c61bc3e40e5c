"""One process at a time in a folder: a lock that the system gives back when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class LockHeld(Exception):
    """Another process has the lock."""

    def __init__(self, file: Path, holder: str) -> None:
        self.file = file
        self.holder = holder
        self.who = f"process {holder}" if holder else "another process"
        super().__init__(f"{self.who} holds `{file}`")


def take_lock(file: Path) -> int:
    """Lock this file, made when missing, and write our process id into it.

    Returns the descriptor; closing it gives the lock back. Raises LockHeld, OSError.
    """
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LockHeld(file, os.read(lock, 20).decode("ascii", "replace").strip()) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock
