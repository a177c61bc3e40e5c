"""Who may draw a PDF now: a few at once in each process, a few more wait for them, and others are told to come again.

Drawing takes a processor whole, up to a second for an invoice of hundreds of lines: requests for many at once would
leave nothing for anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import Final

AT_ONCE: Final = 2
WAITING: Final = 8
WAIT_SECONDS: Final = 10.0


class DrawingBusy(Exception):
    """So many papers are being drawn that this one has to be asked for again."""

    def __init__(self) -> None:
        super().__init__("too many papers are being drawn at the moment; ask for this one again in a few seconds")


class Turns:
    """Gives out turns to draw: `at_once` at a time, and `waiting` more wait for one, at most so many seconds."""

    def __init__(self, at_once: int = AT_ONCE, waiting: int = WAITING, seconds: float = WAIT_SECONDS) -> None:
        self.left = at_once + waiting
        """How many more may draw or wait."""
        self._seconds = seconds
        self._lock = Lock()
        self._turns = BoundedSemaphore(at_once)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a turn. Raises DrawingBusy: at once where enough are waiting, or after the wait."""
        with self._lock:
            if not self.left:
                raise DrawingBusy
            self.left -= 1
        try:
            if not self._turns.acquire(timeout=self._seconds):
                raise DrawingBusy
            try:
                yield
            finally:
                self._turns.release()
        finally:
            with self._lock:
                self.left += 1


TURNS: Final = Turns()
"""Of this process."""
