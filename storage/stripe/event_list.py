"""How far Stripe's own list of events was read, and when its webhook last came: one row, by the clock of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.clock import NOW

# Stripe lists events for 30 days. A day less, so that a reading that takes long does not lose the last of them.
LISTED: Final = timedelta(days=29)
MARK_EVERY: Final = timedelta(seconds=30)

READ: Final = text(f"SELECT read_to, read_at, reconciled_at, ask_since, webhook_at, {NOW} AS now FROM stripe_reader")
# Two may read at once, by hand and the controller: whoever is further stays.
ADVANCE: Final = text(
    """
    UPDATE stripe_reader SET read_to = GREATEST(read_to, CAST(:read_to AS timestamptz)), read_at = :now,
           reconciled_at = CASE WHEN :deep THEN :now ELSE reconciled_at END,
           ask_since = CASE WHEN :gap THEN :now ELSE ask_since END
    """
)
MARK: Final = text(
    f"UPDATE stripe_reader SET webhook_at = {NOW} "
    f"WHERE webhook_at IS NULL OR webhook_at < {NOW} - CAST(:every AS interval)"
)
SETTLED: Final = text("SELECT id FROM stripe_events WHERE id = ANY(:ids) AND status NOT IN ('parked', 'quarantined')")
ASKABLE: Final = """
FROM accounts WHERE stripe_customer_id IS NOT NULL AND (standing_fetched_at IS NULL OR standing_fetched_at < :since)
"""
UNASKED: Final = text(f"SELECT id {ASKABLE} AND id > :after ORDER BY id LIMIT :limit")
COUNT_UNASKED: Final = text(f"SELECT count(*) {ASKABLE}")
# The index of ranges on `received_at` keeps it to the rows of a month.
ARRIVALS: Final = text(
    f"""
    SELECT (SELECT extract(epoch FROM {NOW} - webhook_at) FROM stripe_reader),
           extract(epoch FROM clock_timestamp() - max(received_at) FILTER (WHERE came_by = 'webhook')),
           count(*) FILTER (WHERE came_by = 'reader' AND received_at > clock_timestamp() - interval '7 days'
                            AND received_at - created_at > interval '15 minutes'),
           (array_agg(api_version ORDER BY received_at DESC))[1]
    FROM stripe_events WHERE received_at > clock_timestamp() - interval '31 days'
    """
)


@dataclass(frozen=True, slots=True)
class Cursor:
    """What is known of the reading so far; None: it never happened."""

    read_to: datetime | None
    """`created` of the newest event up to which all were read."""
    read_at: datetime | None
    reconciled_at: datetime | None
    ask_since: datetime | None
    """Events do not tell the whole story: every account has to be asked about since then."""
    webhook_at: datetime | None
    now: datetime

    @property
    def has_gap(self) -> bool:
        """Whether events may have gone by unread and are listed no more."""
        return self.read_at is None or self.now - self.read_at > LISTED


def cursor(conn: Connection) -> Cursor:
    """Return how far it has come."""
    return Cursor(*conn.execute(READ).one())


def advance(conn: Connection, read_to: datetime | None, *, deep: bool, gap: bool) -> None:
    """Note that every event up to `read_to` is taken; None: there was none.

    deep: it looked for gaps. gap: older events may be missing for good, so accounts are asked about.
    """
    now = clock.now(conn)
    # An event of next year must not keep this year's from being read.
    until = None if read_to is None else min(read_to, now)
    conn.execute(ADVANCE, {"read_to": until, "deep": deep, "gap": gap, "now": now})


def webhook_came(conn: Connection) -> None:
    """Note that a webhook came, once in a while: a row that every event wrote would make them wait for each other."""
    conn.execute(MARK, {"every": MARK_EVERY})


def settled(conn: Connection, ids: Sequence[str]) -> set[str]:
    """Return which of these events are taken for good; what is parked or quarantined may be taken again."""
    return set(conn.execute(SETTLED, {"ids": list(ids)}).scalars())


def unasked(conn: Connection, since: datetime | None, after: UUID, limit: int) -> list[UUID]:
    """Return accounts with a customer at Stripe that were never asked about, or not since then, in the order of ids."""
    given = {"since": since or "-infinity", "after": after, "limit": limit}
    return list(conn.execute(UNASKED, given).scalars())


def count_unasked(conn: Connection, since: datetime | None) -> int:
    """Return how many accounts that would be."""
    return int(conn.execute(COUNT_UNASKED, {"since": since or "-infinity"}).scalar_one())


@dataclass(frozen=True, slots=True)
class Arrivals:
    """How Stripe's events have come in of late."""

    webhook_seconds: float | None
    """Since a webhook came last; None: within a month none did."""
    missed: int
    """Events of the last week that no webhook had brought when they were a quarter of an hour old."""
    version: str | None
    """In which version of the API the newest event was written."""


def arrivals(conn: Connection) -> Arrivals:
    """Return how events have come in."""
    by_mark, by_event, missed, version = conn.execute(ARRIVALS).one()
    ages = [float(age) for age in (by_mark, by_event) if age is not None]
    return Arrivals(min(ages, default=None), missed, version)
