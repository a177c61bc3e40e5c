"""The signals that ask a long-running command to end, turned into something that code can wait for."""

from __future__ import annotations

import signal
import sys
import threading
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Whoever runs this wants it to end. No Exception, so that nothing on the way takes it for a fault."""


class Interrupts:
    """Ending signals of this process: raised as Interrupted while that is allowed, and always counted."""

    def __init__(self) -> None:
        self.count = 0
        self._raising = False
        self._arrived = threading.Event()

    def listen(self) -> None:
        """Take the signals over. Only from the main thread.

        Whoever started us with `nohup` wants no end when the terminal closes.
        """
        for number in ENDING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._take)
        sys.unraisablehook = _say_nothing_of_an_end

    def _take(self, number: int, frame: FrameType | None) -> None:
        self.count += 1
        self._arrived.set()
        if self._raising:
            # Once only: clean-up that is under way must not be torn apart by a second Ctrl-C.
            self._raising = False
            raise Interrupted

    def raise_from_now(self) -> None:
        """Let a signal break off what runs, by raising Interrupted in the main thread."""
        self._raising = True
        if self.count:
            self._raising = False
            raise Interrupted

    def only_count(self) -> None:
        """From now on signals break nothing off."""
        self._raising = False

    def is_hurried(self) -> bool:
        """Tell whether somebody has asked more than once."""
        return self.count > 1

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until a signal arrives. Returns whether one has."""
        return self._arrived.wait(seconds)


def _say_nothing_of_an_end(missed: sys.UnraisableHookArgs) -> None:
    """Pass over an end that arrived inside a callback of the interpreter, which swallows it: it was counted."""
    if missed.exc_type is not Interrupted:
        sys.__unraisablehook__(missed)
