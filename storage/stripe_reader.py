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
UNASKED: Final = text(
    """
    SELECT id FROM accounts
    WHERE stripe_customer_id IS NOT NULL AND id > :after
      AND (standing_fetched_at IS NULL OR standing_fetched_at < :since)
    ORDER BY id LIMIT :limit
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
    conn.execute(ADVANCE, {"read_to": read_to, "deep": deep, "gap": gap, "now": clock.now(conn)})


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
