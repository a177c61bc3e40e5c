"""Let everything that can proceed now proceed, and say what waits. For tests, demos, and whoever moved the test clock.

The controller works through a tick for each request; workers finish what it hands out; again, until a tick that began
with nothing to do has found nothing to do.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from sqlalchemy import text

from storage import clock, intents, operations, wakeups
from storage.database import Database

CONTROLLER = "controller"  # also the name of the channel on which it is woken
SOON = timedelta(seconds=4)  # what is tried again so soon is on its way, and worth waiting for
PATIENCE_SECONDS = 60.0
LISTEN_SECONDS = 0.25
FIRST_POLL_SECONDS = 0.01
LONGEST_POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Drained:
    """What is left."""

    waiting: int
    """Accounts that are due and held, and work that waits for an instant, a person or a worker."""
    settled: bool
    """Whether everything that could proceed did; False when patience ended first."""
    ticks: int


def drain(database: Database, patience_seconds: float = PATIENCE_SECONDS) -> Drained:
    """Work until nothing can proceed. Bounded by `patience_seconds`, of the machine's own clock."""
    give_up_at = time.monotonic() + patience_seconds
    session = database.connect()
    ticks = 0
    settled = False
    try:
        session.execute(f"LISTEN {CONTROLLER}_done")
        while not settled and time.monotonic() < give_up_at:
            said = _tick(database, session, give_up_at)
            if said is None:
                break
            ticks += 1
            idle = _await_workers(database, give_up_at)
            settled = idle and not (said.get("busy") or said.get("changed") or said.get("pending"))
    finally:
        session.close()
    return Drained(_waiting(database), settled, ticks)


def _tick(database: Database, session: psycopg.Connection[Any], give_up_at: float) -> dict[str, Any] | None:
    """Ask for a tick and return its report; None when none came in time."""
    with database.begin() as conn:
        number = wakeups.request(conn, CONTROLLER, {"by": "drain"})
    while time.monotonic() < give_up_at:
        with database.begin() as conn:
            state = wakeups.read(conn, CONTROLLER)
        if state.done >= number:
            return dict(state.report)
        for _ in session.notifies(timeout=LISTEN_SECONDS, stop_after=1):
            pass
    return None


def _await_workers(database: Database, give_up_at: float) -> bool:
    """Wait until no intent is runnable or under way; tell whether that came about."""
    pause_seconds = FIRST_POLL_SECONDS
    while True:
        with database.begin() as conn:
            counts = intents.counts(conn, clock.now(conn) + SOON)
        if not (counts.runnable or counts.started):
            return True
        if time.monotonic() > give_up_at:
            return False
        time.sleep(pause_seconds)
        pause_seconds = min(pause_seconds * 1.5, LONGEST_POLL_SECONDS)


def _waiting(database: Database) -> int:
    with database.begin() as conn:
        now = clock.now(conn)
        counts = intents.counts(conn, now)
        held = conn.execute(text("SELECT count(*) FROM accounts WHERE due_at <= :now"), {"now": now}).scalar_one()
        unfinished = len(operations.unfinished(conn))
    return int(counts.runnable + counts.waiting + counts.started + counts.unknown + held + unfinished)
