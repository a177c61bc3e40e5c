"""The relay: wakes a worker for every intent that can be worked now, and takes back what died with its worker.

PostgreSQL is the truth. Flush Redis at any moment, and the next pass makes what was lost again.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from sqlalchemy import Connection, text

from engine.model import Policy
from jobs import queues
from jobs.context import Context
from jobs.logs import say
from storage import clock, intents, leases
from storage.leases import Fence

AT_ONCE = 5_000  # intents offered a pass; a queue that holds more has work enough until the next

UNDER_WAY = text("SELECT 1 FROM intents WHERE status = 'started' LIMIT 1")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Relayed:
    """What one pass did."""

    taken_back: int
    runnable: int
    woken: int


def relay(context: Context, policy: Policy, fence: Fence) -> Relayed:
    """Take back dead claims, then make sure that each runnable intent is in its queue."""
    taken_back = requeue_dead(context, policy, fence)
    with context.database.begin() as conn:
        ready = intents.runnable(conn, clock.now(conn), AT_ONCE)
    woken = queues.enqueue(context.redis, [(each.intent_id, each.queue) for each in ready]) if ready else 0
    return Relayed(taken_back, len(ready), woken)


def requeue_dead(context: Context, policy: Policy, fence: Fence) -> int:
    """Open what died again; notices become unknown and are told. Returns how many effects can be worked again."""
    with context.database.begin() as conn:
        if conn.execute(UNDER_WAY).first() is None:
            return 0

    def take_back(conn: Connection) -> list[intents.Outbox]:
        leases.check(conn, fence)
        return intents.requeue_dead(conn, policy, fence=fence, world=context.world)

    again = context.database.transact("dead claims", take_back)
    for each in again:
        say(log, logging.WARNING, f"{each.intent} is taken back from a worker that died", intent=each.intent_id)
    return len(again)
