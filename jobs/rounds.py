"""Work in rounds beside the controller's tick, which it must never hold up: outboxes, looks at hosts, monthly runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from jobs.logs import say
from storage.database import is_lost

FIRST_SECONDS = 60.0  # after which the first round begins at the latest
CLOSE_SECONDS = 10.0  # less than `forbear up` gives its processes to end

log = logging.getLogger(__name__)


class Rounds:
    """Does some work in a thread of its own, one round at a time. A round that fails is shown, and the next goes on."""

    def __init__(self, what: str, work: Callable[[], object], *, every_seconds: float = 0.0) -> None:
        self._what = what
        self._work = work
        self._every_seconds = every_seconds
        self._next_at = time.monotonic() + min(every_seconds, FIRST_SECONDS)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=what)
        self._round: Future[None] | None = None

    def nudge(self) -> None:
        """Begin a round when it is time and none is under way."""
        if time.monotonic() < self._next_at or (self._round is not None and not self._round.done()):
            return
        self._next_at = time.monotonic() + self._every_seconds
        self._round = self._thread.submit(self._one)

    def wait(self, seconds: float) -> None:
        """Wait for the round under way, if there is one, at most so long."""
        if self._round is not None:
            wait([self._round], timeout=seconds)

    def close(self) -> Future[None] | None:
        """Begin no more; return the round under way, if there is one."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        return self._round

    def _one(self) -> None:
        try:
            self._work()
        except Exception as error:
            if is_lost(error):
                say(log, logging.WARNING, f"{self._what}: a round waits for the database", reason=type(error).__name__)
            else:
                log.exception("%s: a round failed; the next goes on", self._what)


def close_all(rounds: Iterable[Rounds], seconds: float = CLOSE_SECONDS) -> None:
    """Begin no more of any, and wait for what is under way, though not for ever: what is asked may hang."""
    wait([last for each in rounds if (last := each.close()) is not None], timeout=seconds)
