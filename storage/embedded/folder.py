"""The folder that an embedded server lives in: who may use it (a lock), its port, its password, its log."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
from pathlib import Path

from storage.embedded.errors import EmbeddedError
from storage.embedded.locks import LockHeld, take_lock

# Below the range from which systems take the near end of outgoing connections, so that a port which was free a moment
# ago is not taken by one of those.
PORTS = range(20_000, 32_000)
# PostgreSQL builds paths in buffers of 1,024 bytes.
LONGEST_PATH_BYTES = 900


class ServerFolder:
    """One server's folder, held by one process at a time from `open` to `close`."""

    def __init__(self, server: str, path: Path) -> None:
        self.server = server
        self.path = path.absolute()
        self.log = self.path / "log"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder if there is none, and take its lock.

        Raises EmbeddedError when another process has it, or when it cannot be used.
        """
        if len(os.fsencode(self.path)) > LONGEST_PATH_BYTES:
            raise EmbeddedError(self.server, self.path, f"this path is longer than {LONGEST_PATH_BYTES} bytes")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.path.chmod(0o700)
            self._lock = take_lock(self.path / "lock")
        except LockHeld as held:
            raise EmbeddedError(self.server, self.path, f"{held.who} is using it; stop that one first") from held
        except OSError as error:
            reason = (
                f"{(error.strerror or 'cannot be used').lower()}: `{error.filename}`; is the folder another user's?"
            )
            raise EmbeddedError(self.server, self.path, reason) from error

    def close(self) -> None:
        """Give the lock back. Doing it again is harmless."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def password(self, role: str = "password", *, may_create: bool = True) -> str:
        """Return the password kept in the file of this name, made once and readable by its owner only."""
        file = self.path / role
        if not file.exists():
            if not may_create:
                reason = f"its password file `{file}` is gone; put it back, or move the folder away to start afresh"
                raise EmbeddedError(self.server, self.path, reason)
            write_private(file, secrets.token_urlsafe(32))
        return file.read_text(encoding="ascii").strip()

    def free_port(self, *, avoid: frozenset[int] = frozenset()) -> int:
        """Return the port of last time if it is free, or another one."""
        with contextlib.suppress(OSError, ValueError):
            port = int((self.path / "port").read_text(encoding="ascii"))
            if port not in avoid and is_free(port):
                return port
        for _ in range(200):
            port = random.choice(PORTS)  # noqa: S311 - spreads parallel starts, keeps no secret
            if port not in avoid and is_free(port):
                return port
        raise EmbeddedError(self.server, self.path, f"found no free port between {PORTS.start} and {PORTS.stop}")

    def remember_port(self, port: int) -> None:
        """Keep the port, so that the next start has the same address."""
        write_private(self.path / "port", f"{port}\n")


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    with contextlib.suppress(FileNotFoundError):
        fresh.unlink()
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.rename(file)
