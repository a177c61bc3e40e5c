"""The one thread of a process that commits what came in: what waits together becomes one transaction.

A request is answered only after its COMMIT. A group that fails is tried again one by one, so that an event which cannot
be written harms itself alone. What an item is and how a group is written is the caller's.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeAlias, TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

GROUP_ITEMS: Final = 64
GROUP_BYTES: Final = 8_000_000
# How long a group waits for one more, and at most, while those who were answered just now may come back: larger groups
# pay for fewer transactions. What comes alone does not wait.
GAP_SECONDS: Final = 0.001
GATHER_SECONDS: Final = 0.005
WAITING_ITEMS: Final = 1_000
WAITING_BYTES: Final = 64_000_000
# Stripe waits 20 s and more for an answer. What could not be written by then is refused, and Stripe sends it again.
GIVE_UP_SECONDS: Final = 12.0
PAUSE_SECONDS: Final = 0.2

log = logging.getLogger("forbear.web")


class WriterRefused(Exception):
    """The writer did not take an item; nothing was written."""


class WriterFull(WriterRefused):
    """Too much waits already."""


class WriterStopped(WriterRefused):
    """The process is on its way out."""


class TooLate(WriterRefused):
    """The item waited so long that its sender has given up; it sends again."""


@dataclass(slots=True)
class Waiting(Generic[Item, Answer]):
    """One item and who waits for it."""

    item: Item
    size_bytes: int
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Answer]
    since: float = field(default_factory=time.monotonic)


Result: TypeAlias = Answer | BaseException


class Writer(Generic[Item, Answer]):
    """Writes items in groups. `write` writes one group in one transaction and returns an answer for each, in order.

    away: tells whether an error means that the database is away, so that trying one by one is of no use.
    """

    def __init__(
        self,
        write: Callable[[Sequence[Item]], Sequence[Answer]],
        *,
        away: Callable[[BaseException], bool],
        group_items: int = GROUP_ITEMS,
        waiting_items: int = WAITING_ITEMS,
        waiting_bytes: int = WAITING_BYTES,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> None:
        self._write = write
        self._away = away
        self._group_items = group_items
        self._waiting_items = waiting_items
        self._waiting_bytes = waiting_bytes
        self._give_up_seconds = give_up_seconds
        self._queue: deque[Waiting[Item, Answer]] = deque()
        self._bytes = 0
        self._answered = 0
        self._expected = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False

    async def submit(self, item: Item, size_bytes: int = 0) -> Answer:
        """Wait until the item is committed. Raises WriterRefused, or what writing this very item raised."""
        loop = asyncio.get_running_loop()
        waiting: Waiting[Item, Answer] = Waiting(item, size_bytes, loop, loop.create_future())
        with self._changed:
            if self._stopping:
                raise WriterStopped
            if len(self._queue) >= self._waiting_items or self._bytes + size_bytes > self._waiting_bytes:
                raise WriterFull
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
                self._thread.start()
            self._queue.append(waiting)
            self._bytes += size_bytes
            if len(self._queue) in (1, self._expected):
                self._changed.notify()
        return await waiting.future

    def stop(self, timeout_seconds: float = 2 * GIVE_UP_SECONDS) -> bool:
        """Take nothing more, write what waits, and tell whether all of it was answered."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(timeout_seconds)
        return thread is None or not thread.is_alive()

    @property
    def stopping(self) -> bool:
        """Whether it takes nothing more."""
        return self._stopping

    @property
    def waiting(self) -> int:
        """How many items wait for the thread."""
        return len(self._queue)

    # ---- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while group := self._next_group():
            self._answer(list(zip(group, self._outcomes(group), strict=True)))

    def _next_group(self) -> list[Waiting[Item, Answer]]:
        """Return what waits, up to a bound; nothing when the writer is to end."""
        with self._changed:
            self._expected = min(self._answered + len(self._queue), self._group_items)
            while not self._queue and not self._stopping:
                self._changed.wait()
            self._gather()
            group: list[Waiting[Item, Answer]] = []
            size_bytes = 0
            while self._queue and len(group) < self._group_items and size_bytes < GROUP_BYTES:
                group.append(self._queue.popleft())
                size_bytes += group[-1].size_bytes
            self._bytes -= size_bytes
            self._answered = len(group)
            return group

    def _gather(self) -> None:
        """Let those come in who are likely on their way: as many as were answered last, beside those who wait."""
        end = time.monotonic() + GATHER_SECONDS
        seen = 0
        while seen < len(self._queue) < self._expected and not self._stopping and time.monotonic() < end:
            seen = len(self._queue)
            self._changed.wait(GAP_SECONDS)

    def _outcomes(self, group: list[Waiting[Item, Answer]]) -> list[Result[Answer]]:
        try:
            return list(self._write([waiting.item for waiting in group]))
        except Exception as error:
            if self._away(error):
                return self._once_more(group)
            log.warning("a group of %d could not be written, trying one by one: %s", len(group), _first_line(error))
        return [self._single(waiting) for waiting in group]

    def _once_more(self, group: list[Waiting[Item, Answer]]) -> list[Result[Answer]]:
        """Try a whole group again after the connection broke: a server that was restarted is back within a moment."""
        time.sleep(PAUSE_SECONDS)
        try:
            return list(self._write([waiting.item for waiting in group]))
        except Exception as error:
            if self._away(error):
                log.warning("the database is away: %s", _first_line(error))
                return [error] * len(group)
        return [self._single(waiting) for waiting in group]

    def _single(self, waiting: Waiting[Item, Answer]) -> Result[Answer]:
        if time.monotonic() - waiting.since > self._give_up_seconds:
            return TooLate()
        try:
            return self._write([waiting.item])[0]
        except Exception as error:  # whatever it is, its sender learns that this one item was not taken
            return error

    def _answer(self, outcomes: list[tuple[Waiting[Item, Answer], Result[Answer]]]) -> None:
        """Hand a group's answers to their event loop in one go: waking it for each would cost more than the work."""
        loops: dict[asyncio.AbstractEventLoop, list[tuple[Waiting[Item, Answer], Result[Answer]]]] = {}
        for waiting, outcome in outcomes:
            loops.setdefault(waiting.loop, []).append((waiting, outcome))
        for loop, theirs in loops.items():
            try:
                loop.call_soon_threadsafe(_settle, theirs)
            except RuntimeError:
                log.warning("%d answers came after the server had closed; what they tell stays true", len(theirs))


def _settle(outcomes: list[tuple[Waiting[Item, Answer], Result[Answer]]]) -> None:
    for waiting, outcome in outcomes:
        if waiting.future.done():
            continue  # the client hung up; what it sent is committed all the same
        if isinstance(outcome, BaseException):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".split("\n", 1)[0][:300]
