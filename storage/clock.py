"""What time it is: the database's clock, plus the offset of the test clock where that is switched on.

Leases, claims, tokens and signatures live by real time instead: `real_now`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, text

from storage.errors import ClockFixed
from storage.settings import Settings

# `clock_timestamp()`, not `now()`: a transaction that waited for a lock must not decide with the time before the wait.
NOW = "(clock_timestamp() + (SELECT offset_by FROM clock))"


def now(conn: Connection) -> datetime:
    """Return the instant that decisions are made at."""
    instant: datetime = conn.execute(text(f"SELECT {NOW}")).scalar_one()
    return instant


def real_now(conn: Connection) -> datetime:
    """Return the database's clock without the test clock's offset."""
    instant: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return instant


def advance(conn: Connection, hours: float, settings: Settings) -> datetime:
    """Move the test clock forward and return the new instant. Raises ClockFixed where it is off."""
    if not settings.test_clock:
        raise ClockFixed
    move = text("UPDATE clock SET offset_by = offset_by + :by RETURNING clock_timestamp() + offset_by")
    instant: datetime = conn.execute(move, {"by": timedelta(hours=hours)}).scalar_one()
    return instant


def mark(conn: Connection) -> None:
    """Note how far time has come. The controller calls it each tick; time that runs backwards shows against it."""
    conn.execute(text(f"UPDATE clock SET seen_at = greatest(seen_at, {NOW})"))
