"""Rounds beside the tick: one at a time, when it is time, and one that fails keeps none from coming after it."""

from __future__ import annotations

import threading
import time

from jobs.rounds import Rounds, close_all


def test_a_round_that_fails_is_followed_by_the_next() -> None:
    begun: list[int] = []

    def work() -> None:
        begun.append(len(begun))
        if len(begun) == 1:
            raise LookupError("nobody expected this")

    rounds = Rounds("trials", work)
    for _ in range(2):
        rounds.nudge()
        rounds.wait(10)
    rounds.close()
    assert begun == [0, 1]


def test_a_round_that_hangs_is_the_only_one() -> None:
    released = threading.Event()
    begun: list[bool] = []
    rounds = Rounds("trials", lambda: begun.append(released.wait(20)))
    for _ in range(3):
        rounds.nudge()
    released.set()
    rounds.wait(10)
    rounds.close()
    assert begun == [True]


def test_none_begins_before_its_time() -> None:
    begun: list[bool] = []
    rounds = Rounds("trials", lambda: begun.append(True), every_seconds=600)
    rounds.nudge()
    rounds.close()
    assert begun == []


def test_those_that_hang_at_the_end_are_waited_for_together() -> None:
    released = threading.Event()
    hanging = [Rounds(f"trials {number}", lambda: released.wait(60)) for number in range(60)]
    for each in hanging:
        each.nudge()
    began = time.monotonic()
    close_all(hanging, 0.3)
    took = time.monotonic() - began
    released.set()
    assert 0.3 <= took < 15, "one after the other they would take 18"
