"""Repairs in memory: how long which line has held, and an event for each recommendation and for its outcome."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

KEPT: Final = timedelta(days=90)
MOST_KEPT: Final = 100_000
PRUNED_AT_ONCE: Final = 5_000

# What became of a recommendation. What follows on `asked` is how its intent ended: done, failed, dropped; `skipped` is
# dropped because billing keeps the server down by then.
DRY_RUN: Final = "dry_run"  # would have been asked for
ASKED: Final = "asked"
BRAKED: Final = "braked"  # more at once than the brake lets through
PAUSED: Final = "paused"  # the same did not last before; it is asked for again later
RESTING: Final = "resting"  # a window of maintenance runs
OVER: Final = "over"  # the line no longer holds, and nothing was asked for
OUTCOMES: Final = (DRY_RUN, ASKED, BRAKED, PAUSED, RESTING, OVER, "done", "failed", "dropped", "skipped")

Key = tuple[UUID, str]  # a server and a line


@dataclass(frozen=True, slots=True)
class Standing:
    """How long, and how often in a row, a line has held for a server, and what its last event said."""

    count: int
    since: datetime
    told: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One change in what is recommended for a server, or in what became of it."""

    server_id: UUID
    repair: str
    intent: str | None
    level: int | None
    outcome: str
    reason: str
    at: datetime
    intent_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An event with its number, and whose server it was about."""

    id: int
    account_id: UUID
    event: Event


STANDINGS: Final = text("SELECT server_id, repair, count, since, told FROM observations")
NOTE: Final = text(
    """
    INSERT INTO observations (server_id, repair, count, since, told)
    SELECT * FROM unnest(CAST(:ids AS uuid[]), CAST(:repairs AS text[]), CAST(:counts AS int[]),
                         CAST(:sinces AS timestamptz[]), CAST(:told AS text[]))
    ON CONFLICT (server_id, repair) DO UPDATE
    SET count = excluded.count, since = excluded.since, told = excluded.told
    """
)
FORGET: Final = text(
    "DELETE FROM observations o USING unnest(CAST(:ids AS uuid[]), CAST(:repairs AS text[])) AS g(server_id, repair) "
    "WHERE o.server_id = g.server_id AND o.repair = g.repair"
)
TELL: Final = text(
    """
    INSERT INTO repair_events (server_id, repair, intent, level, outcome, reason, at, intent_id, unsettled)
    SELECT *, outcome = 'asked' AND intent_id IS NOT NULL
    FROM unnest(CAST(:ids AS uuid[]), CAST(:repairs AS text[]), CAST(:intents AS text[]), CAST(:levels AS int[]),
                CAST(:outcomes AS text[]), CAST(:reasons AS text[]), CAST(:ats AS timestamptz[]),
                CAST(:intent_ids AS uuid[]))
         AS e(server_id, repair, intent, level, outcome, reason, at, intent_id)
    """
)
SETTLE: Final = text(
    """
    WITH ended AS (
        UPDATE repair_events e SET unsettled = false FROM intents i JOIN accounts a ON a.id = i.account_id
        JOIN servers s ON s.id = i.server_id
        WHERE e.unsettled AND i.id = e.intent_id AND i.status IN ('done', 'dropped', 'failed')
        RETURNING e.server_id, e.repair, e.intent, e.level, i.id AS intent_id, i.outcome, i.finished_at,
                  CASE WHEN i.status = 'dropped' AND stricter(a.server_billing_state, s.own_billing_state)
                                                          IN ('suspended_shutdown', 'retained')
                       THEN 'skipped' ELSE i.status END AS status
    )
    INSERT INTO repair_events (server_id, repair, intent, level, outcome, reason, at, intent_id)
    SELECT server_id, repair, intent, level, status, coalesce(outcome, ''), coalesce(finished_at, :now), intent_id
    FROM ended RETURNING 1
    """
)
UNSETTLED: Final = text("SELECT 1 FROM repair_events WHERE unsettled LIMIT 1")
HISTORY: Final = text(
    "SELECT server_id, repair, count(*), max(at) FROM repair_events "
    "WHERE server_id = ANY(:ids) AND outcome = 'asked' AND at > :since GROUP BY server_id, repair"
)
UNDER_WAY: Final = text(
    "SELECT DISTINCT server_id, intent FROM intents WHERE server_id = ANY(:ids) AND (status = 'started' "
    "OR (status = 'open' AND (not_before IS NULL OR not_before <= :now)))"
)
PRUNE: Final = text(
    "DELETE FROM repair_events WHERE id IN (SELECT id FROM repair_events "
    "WHERE at < :before OR id <= coalesce((SELECT id FROM repair_events ORDER BY id DESC OFFSET :most LIMIT 1), 0) "
    "ORDER BY id LIMIT :at_once)"
)


def standings(conn: Connection) -> dict[Key, Standing]:
    """Return which lines hold for which servers, and since when."""
    return {(server_id, repair): Standing(*rest) for server_id, repair, *rest in conn.execute(STANDINGS)}


def note(conn: Connection, changed: Mapping[Key, Standing]) -> None:
    """Write down standings that are new or otherwise than before."""
    if not changed:
        return
    given = {
        "ids": [server_id for server_id, _ in changed],
        "repairs": [repair for _, repair in changed],
        "counts": [standing.count for standing in changed.values()],
        "sinces": [standing.since for standing in changed.values()],
        "told": [standing.told for standing in changed.values()],
    }
    conn.execute(NOTE, given)


def forget(conn: Connection, gone: Iterable[Key]) -> None:
    """Remove the standings of lines that no longer hold."""
    keys = sorted(gone)
    if keys:
        conn.execute(FORGET, {"ids": [server_id for server_id, _ in keys], "repairs": [repair for _, repair in keys]})


def tell(conn: Connection, events: Sequence[Event]) -> None:
    """Add events."""
    if not events:
        return
    given = {
        "ids": [event.server_id for event in events],
        "repairs": [event.repair for event in events],
        "intents": [event.intent for event in events],
        "levels": [event.level for event in events],
        "outcomes": [event.outcome for event in events],
        "reasons": [event.reason for event in events],
        "ats": [event.at for event in events],
        "intent_ids": [event.intent_id for event in events],
    }
    conn.execute(TELL, given)


def is_unsettled(conn: Connection) -> bool:
    """Tell whether the end of something that was asked for is not told yet."""
    return conn.execute(UNSETTLED).first() is not None


def settle(conn: Connection, now: datetime) -> int:
    """Tell how the intents ended that repairs had asked for; return how many."""
    return len(conn.execute(SETTLE, {"now": now}).all())


def history(conn: Connection, server_ids: Sequence[UUID], since: datetime) -> dict[Key, tuple[int, datetime]]:
    """Return how often, and when last, each repair was asked for since then."""
    found = conn.execute(HISTORY, {"ids": list(server_ids), "since": since})
    return {(server_id, repair): (times, last) for server_id, repair, times, last in found}


def under_way(conn: Connection, server_ids: Sequence[UUID], now: datetime) -> set[tuple[UUID, str]]:
    """Return what is being done, or can be done now, on these servers: pairs of server and intent."""
    return {(row[0], row[1]) for row in conn.execute(UNDER_WAY, {"ids": list(server_ids), "now": now})}


def prune(conn: Connection, now: datetime) -> int:
    """Remove events that are old or too many, so many at once; return how many."""
    given = {"before": now - KEPT, "most": MOST_KEPT, "at_once": PRUNED_AT_ONCE}
    return conn.execute(PRUNE, given).rowcount


def listed(
    conn: Connection, *, server_id: UUID | None = None, outcomes: Sequence[str] = (), limit: int = 200
) -> list[ShownEvent]:
    """Return events, newest first: of one server, with certain outcomes, or both."""
    find = text(
        "SELECT e.id, s.account_id, e.server_id, e.repair, e.intent, e.level, e.outcome, e.reason, e.at, e.intent_id "
        "FROM repair_events e JOIN servers s ON s.id = e.server_id "
        "WHERE (CAST(:server AS uuid) IS NULL OR e.server_id = :server) "
        "AND (cardinality(CAST(:outcomes AS text[])) = 0 OR e.outcome = ANY(:outcomes)) ORDER BY e.id DESC LIMIT :limit"
    )
    rows = conn.execute(find, {"server": server_id, "outcomes": list(outcomes), "limit": limit})
    return [ShownEvent(row[0], row[1], Event(*row[2:])) for row in rows]
