"""Sending from an outbox in rounds, beside the controller's tick, which it must never hold up."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor

from jobs.logs import say

log = logging.getLogger(__name__)


class Rounds(ABC):
    """Sends in a thread of its own, one round at a time."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._round: Future[int] | None = None

    @abstractmethod
    def send(self) -> int:
        """Send some of what waits, oldest first; return how many were dealt with."""

    def nudge(self) -> None:
        """Begin a round unless one is under way; say what went wrong with the last."""
        if self._round is not None:
            if not self._round.done():
                return
            if (error := self._round.exception()) is not None:
                reason = type(error).__name__
                say(log, logging.WARNING, f"{self._what} could not be sent, trying again", reason=reason)
        self._round = self._thread.submit(self.send)

    def close(self) -> None:
        """Wait for the round under way."""
        self._thread.shutdown(wait=True, cancel_futures=True)
