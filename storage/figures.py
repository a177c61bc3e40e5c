"""Figures of how it goes, for dashboards and alerts: what waits and for how long, what drifts, who works. Reads only.

Ages are by the clock that made what they are of: intents and due rows by the one that decisions use, the rest by real
time. An age is None when there is nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import brakes, clock, processes
from storage.brakes import BrakeState
from storage.processes import Process
from storage.stripe import event_list

QUEUES: Final = "billing_enforcement", "provisioning", "repair", "notices"

INTENTS: Final = text(
    """
    SELECT intent, CASE WHEN kind = 'notice' THEN 'notices' ELSE queue END AS queue, status, count(*) AS number,
           max(extract(epoch FROM :now - created_at)) FILTER (WHERE status IN ('open', 'started')) AS age,
           max(extract(epoch FROM :now - greatest(created_at, not_before)))
               FILTER (WHERE status = 'open' AND (not_before IS NULL OR not_before <= :now)) AS staleness
    FROM intents WHERE status IN ('open', 'started', 'failed', 'unknown') GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    """
)
DUE: Final = text(
    """
    SELECT extract(epoch FROM :now - least(
        (SELECT min(GREATEST(due_at, held_until)) FROM accounts WHERE due_at IS NOT NULL
         AND GREATEST(due_at, held_until) <= :now),
        (SELECT min(due_at) FROM servers WHERE due_at <= :now)))
    """
)
RUNGS: Final = text("SELECT billing_status, count(*) FROM accounts GROUP BY 1 ORDER BY 1")
FLEET: Final = text(
    """
    SELECT s.host, stricter(a.server_billing_state, s.own_billing_state), s.desired, s.observed, count(*)
    FROM servers s JOIN accounts a ON a.id = s.account_id WHERE s.lifecycle <> 'deleted'
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    """
)
UNSETTLED: Final = text(
    """
    SELECT status, count(*), max(extract(epoch FROM clock_timestamp() - received_at)) FROM stripe_events
    WHERE status IN ('parked', 'quarantined') GROUP BY 1 ORDER BY 1
    """
)
# An index of ranges finds the newest hours; one of every row would cost each webhook.
LAST_RECEIVED: Final = text(
    "SELECT came_by, max(received_at) AS at FROM stripe_events "
    "WHERE received_at > clock_timestamp() - interval '31 days' GROUP BY 1 ORDER BY 1"
)
ALERTS: Final = text(
    "SELECT count(*), max(extract(epoch FROM clock_timestamp() - created_at)) FROM alerts WHERE sent_at IS NULL"
)
WORKED: Final = text(
    "SELECT extract(epoch FROM clock_timestamp() - worked_at) FROM leases WHERE name = 'controller' "
    "AND worked_at IS NOT NULL"
)


@dataclass(frozen=True, slots=True)
class IntentFigure:
    """Intents of one name and status."""

    intent: str
    queue: str
    status: str
    count: int
    age_seconds: float | None
    """Of the oldest that has not ended."""
    staleness_seconds: float | None
    """How long the oldest could have been worked already."""


@dataclass(frozen=True, slots=True)
class FleetFigure:
    """Servers alike in where they are, what billing says, what they should do, and what was seen."""

    host: str
    billing_state: str
    desired: str
    observed: str
    count: int

    @property
    def drifts(self) -> bool:
        """Whether what was seen is not what should be."""
        return self.desired != self.observed


@dataclass(frozen=True, slots=True)
class Unsettled:
    """Stripe's events that wait for an owner, or were set aside."""

    status: str
    count: int
    age_seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything at one moment."""

    intents: Sequence[IntentFigure]
    oldest_due_seconds: float | None
    rungs: Sequence[tuple[str, int]]
    fleet: Sequence[FleetFigure]
    unsettled: Sequence[Unsettled]
    event_received_at: Mapping[str, datetime]
    """When the newest event of the last 31 days arrived, by each way that one came."""
    events_read_at: datetime | None
    """When Stripe's list of events was last read to its end."""
    alerts: int
    """Not told yet."""
    alert_age_seconds: float | None
    worked_seconds: float | None
    """Since the controller's last whole tick; None: there was none."""
    brakes: Sequence[BrakeState]
    processes: Sequence[Process]

    def staleness_of(self, queue: str) -> float:
        """Return for how many seconds the oldest work of a queue could have been done; 0: nothing waits."""
        return max((each.staleness_seconds or 0.0 for each in self.intents if each.queue == queue), default=0.0)


def read(conn: Connection, policy: Policy) -> Figures:
    """Read everything."""
    now = clock.now(conn)
    alerts, alert_age = conn.execute(ALERTS).one()
    return Figures(
        intents=[IntentFigure(*row) for row in conn.execute(INTENTS, {"now": now})],
        oldest_due_seconds=_number(conn.execute(DUE, {"now": now}).scalar_one()),
        rungs=[(str(rung), int(count)) for rung, count in conn.execute(RUNGS)],
        fleet=[FleetFigure(*row) for row in conn.execute(FLEET)],
        unsettled=[Unsettled(*row) for row in conn.execute(UNSETTLED)],
        event_received_at={row.came_by: row.at for row in conn.execute(LAST_RECEIVED)},
        events_read_at=event_list.cursor(conn).read_at,
        alerts=alerts,
        alert_age_seconds=_number(alert_age),
        worked_seconds=_number(conn.execute(WORKED).scalar_one_or_none()),
        brakes=brakes.states(conn, policy, now),
        processes=processes.listed(conn),
    )


def _number(value: object) -> float | None:
    return None if value is None else float(str(value))
