"""What both embedded servers share: find a port, start, wait until it answers, stop."""

from __future__ import annotations

import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from storage.embedded import logs
from storage.embedded.errors import EmbeddedError
from storage.embedded.folder import ServerFolder
from storage.embedded.process import Child, signals_held

READY_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.01
PORT_TAKEN = "Address already in use"


class EmbeddedServer(ABC):
    """One server on loopback, in one folder, alive at most as long as this process."""

    name: str
    stop_steps: Sequence[tuple[signal.Signals, float]]
    # Words in its log with which it gives up only for the moment: the remains of a killed one are still going away.
    passing_faults: Sequence[str] = ()

    def __init__(self, folder: ServerFolder) -> None:
        self.folder = folder
        self.port = 0
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """Return the address to connect to, with the password in it: never print it."""

    @abstractmethod
    def _launch(self, port: int) -> Child:
        """Start the program on this port."""

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether it serves us now. Raises EmbeddedError when it never will."""

    @property
    def pid(self) -> int | None:
        """Return the main process's id while one is there."""
        return self._child.pid if self._child is not None else None

    @property
    def log(self) -> Path:
        """Return its log."""
        return self.folder.log

    def is_running(self) -> bool:
        """Tell whether the main process is alive."""
        return self._child is not None and self._child.exit_status() is None

    def run(self) -> None:
        """Start it and wait until it answers, on the port of last time when that is free.

        Raises EmbeddedError, with the last lines of its log, when it ends or does not answer in time; it is gone then.
        """
        deadline = time.monotonic() + READY_TIMEOUT_SECONDS
        taken: set[int] = set()
        logs.trim(self.folder.log)
        while True:
            log_start = logs.size_bytes(self.folder.log)
            self.port = self.folder.free_port(avoid=frozenset(taken))
            try:
                with signals_held():
                    self._child = self._launch(self.port)
                if self._wait_until_ready(deadline, log_start):
                    self.folder.remember_port(self.port)
                    return
            except BaseException:
                self._end()
                raise
            if any(PORT_TAKEN in line for line in logs.last_lines(self.folder.log, since_bytes=log_start)):
                taken.add(self.port)
            time.sleep(5 * POLL_SECONDS)

    def stop(self) -> None:
        """Stop it in order, wait until it is gone and give its folder back. Doing it again is harmless."""
        self._end()
        self.folder.close()

    def kill(self) -> None:
        """Kill the main process as a crash would, and give its folder back; the next start recovers."""
        if self._child is not None:
            self._child.kill()
            self._child = None
        self.folder.close()

    def _end(self) -> None:
        if self._child is not None:
            self._child.stop(self.stop_steps)
            self._child = None

    def _wait_until_ready(self, deadline: float, log_start: int) -> bool:
        """Return True once it answers, False when another try may help."""
        assert self._child is not None
        while self._child.exit_status() is None:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise self._failure(f"did not answer within {READY_TIMEOUT_SECONDS:.0f} s", log_start)
            time.sleep(POLL_SECONDS)
        status = self._child.exit_status()
        self._child = None
        words = "\n".join(logs.last_lines(self.folder.log, since_bytes=log_start, most=50))
        passing = any(fault in words for fault in (PORT_TAKEN, *self.passing_faults))
        if not passing or time.monotonic() > deadline:
            raise self._failure(f"ended at its start (status {status})", log_start)
        return False

    def _failure(self, reason: str, log_start: int) -> EmbeddedError:
        return EmbeddedError(
            self.name, self.folder.path, reason, log_lines=logs.last_lines(self.folder.log, since_bytes=log_start)
        )
