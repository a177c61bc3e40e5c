"""Many ticks over servers that crash and hosts that come and go, and what is left of them in memory."""

from __future__ import annotations

import gc
import logging
import random
import tracemalloc
from itertools import pairwise
from uuid import UUID

from jobs.controller import Controller
from tests.jobs.floor import Floor


def one_round(floor: Floor, controller: Controller, servers: list[UUID], chance: random.Random) -> None:
    """Let something happen, and tick; now and then workers mend what was found."""
    floor.host.offline = chance.random() < 0.1
    floor.host.running[str(chance.choice(servers))] = chance.random() < 0.5
    floor.tick(controller)
    if not floor.host.offline and chance.random() < 0.1:
        floor.carry_out()
    floor.host.calls.clear()  # the double's own memory


def grown_bytes(floor: Floor, servers: list[UUID], *, ticks: int, warm: int, seed: int) -> int:
    """Return by how much memory grows over so many ticks, after so many that fill what is kept for good.

    Of three such spans the least: what something does for the first time it keeps once, and what leaks does so in each.
    """
    chance, controller = random.Random(seed), floor.controller()
    logging.disable()  # what tests remember of the log grows by itself
    tracemalloc.start()
    try:
        for _ in range(warm):
            one_round(floor, controller, servers, chance)
        held = [_held_bytes(controller)]
        for _ in range(3):
            for _ in range(ticks):
                one_round(floor, controller, servers, chance)
            held.append(_held_bytes(controller))
        return min(after - before for before, after in pairwise(held))
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)


def _held_bytes(controller: Controller) -> int:
    for beside in controller.beside:
        beside.wait(30)  # what a thread is just working with would count as kept
    gc.collect()
    return tracemalloc.get_traced_memory()[0]
