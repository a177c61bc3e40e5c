"""A few papers are drawn at once, a few wait, the rest is told to come again; and none of the turns is lost."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from jobs.invoices.drawing import DrawingBusy, Turns


def test_no_more_than_so_many_draw_at_once_and_all_who_wait_get_a_turn() -> None:
    turns, drawing, most = Turns(2, 6, 30), threading.Semaphore(0), []
    now, lock = [0], threading.Lock()

    def draw(_: int) -> None:
        with turns.take():
            with lock:
                now[0] += 1
                most.append(now[0])
            drawing.acquire(timeout=0.01)
            with lock:
                now[0] -= 1

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(draw, range(8)))
    assert (len(most), max(most)) == (8, 2)


def test_who_finds_too_many_waiting_is_refused_at_once_and_who_waits_too_long_after_that() -> None:
    turns = Turns(1, 1, 60)
    waits, may_end = threading.Event(), threading.Event()

    def wait() -> None:
        waits.set()
        with turns.take():
            may_end.wait(30)

    with ExitStack() as held, ThreadPoolExecutor(1) as threads:
        held.enter_context(turns.take())
        waiting = threads.submit(wait)
        waits.wait(30)
        while turns.left:  # until that one has its place
            threading.Event().wait(0.001)
        with pytest.raises(DrawingBusy), turns.take():
            pass
        held.close()
        may_end.set()
        waiting.result(30)
    short = Turns(1, 1, 0.01)
    with short.take(), pytest.raises(DrawingBusy, match="ask for this one again"), short.take():
        pass
    assert (turns.left, short.left) == (2, 2)


def test_a_drawing_that_fails_gives_its_turn_back() -> None:
    turns = Turns(1, 0, 0.01)
    for _ in range(3):
        with pytest.raises(ValueError, match="broken"), turns.take():
            raise ValueError("broken")
    assert turns.left == 1
