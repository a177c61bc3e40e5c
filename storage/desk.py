"""What the desk lists and shows of accounts: whom to look at first, and the evidence that their state rests on.

Reads only, a page at a time; what a row means is decided elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import audit

PAGE: Final = 50
MOST_PAGES: Final = 1_000

# An account without anything due comes last; the earlier it moves, the earlier somebody has to look.
QUEUE: Final = """
SELECT a.id, a.customer_id, c.name, c.email, a.states, a.server_billing_state, a.server_billing_machine, a.plan,
       a.overdue_invoices, a.exempt_until, a.due_at, a.held_until, a.waiting,
       (SELECT count(*) FROM servers s WHERE s.account_id = a.id AND s.lifecycle <> 'deleted') AS servers,
       (SELECT count(*) FROM servers s WHERE s.account_id = a.id AND s.lifecycle <> 'deleted'
        AND s.desired <> s.observed) AS drifting,
       (SELECT count(*) FROM intents i WHERE i.account_id = a.id AND i.status IN ('unknown', 'failed')) AS troubled
FROM accounts a JOIN customers c ON c.id = a.customer_id
WHERE {where}
ORDER BY GREATEST(a.due_at, a.held_until) NULLS LAST, a.id LIMIT :limit OFFSET :offset
"""
NOT_AT_REST: Final = "NOT (a.states <@ CAST(:rest AS jsonb))"
ON_RUNG: Final = "a.states ->> :machine = :state"
FOUND: Final = (
    "(a.stripe_customer_id = :words OR a.stripe_subscription_id = :words OR c.email ILIKE :like OR c.name ILIKE :like "
    "OR EXISTS (SELECT FROM stripe_invoices i WHERE i.id = :words AND i.account_id = a.id))"
)
FOUND_BY_ID: Final = (
    "(a.id = :id OR a.customer_id = :id OR EXISTS (SELECT FROM servers s WHERE s.id = :id AND s.account_id = a.id))"
)
INVOICES: Final = text(
    "SELECT id, status, amount_remaining_cents, currency, first_failed_at, hosted_invoice_url, evidence_at, "
    "evidence_event_id FROM stripe_invoices WHERE account_id = :id ORDER BY evidence_at DESC, id LIMIT :limit"
)
SUBSCRIPTIONS: Final = text(
    "SELECT id, status, prices, started_at, ended_at, current_period_end, evidence_at, evidence_event_id "
    "FROM subscriptions WHERE account_id = :id ORDER BY evidence_at DESC, id LIMIT :limit"
)
DISPUTES: Final = text(
    "SELECT d.id, d.status, d.amount_cents, d.currency, d.reason, d.opened_at, d.lost_at, d.respond_by, d.settled_at, "
    "d.settled_by, d.stripe_charge_id, d.evidence_at, d.evidence_event_id, c.refunded_cents FROM disputes d "
    "LEFT JOIN charges c ON c.id = d.stripe_charge_id "
    "WHERE d.account_id = :id ORDER BY d.evidence_at DESC, d.id LIMIT :limit"
)
EVENTS: Final = text(
    "SELECT id, type, status, reason, created_at, received_at FROM stripe_events WHERE account_id = :id "
    "ORDER BY created_at DESC, id LIMIT :limit"
)


@dataclass(frozen=True, slots=True)
class Line:
    """One account in the queue."""

    id: UUID
    customer_id: UUID
    name: str
    email: str
    states: Mapping[str, str]
    server_billing_state: str
    server_billing_machine: str
    plan: str | None
    overdue_invoices: int
    exempt_until: datetime | None
    due_at: datetime | None
    held_until: datetime | None
    waiting: Sequence[Mapping[str, Any]]
    servers: int
    drifting: int
    """Servers that are not seen to do what they should."""
    troubled: int
    """Intents whose end is unknown, or that were given up."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What Stripe has said of an account, newest first."""

    invoices: Sequence[Mapping[str, Any]]
    subscriptions: Sequence[Mapping[str, Any]]
    disputes: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]


def queue(
    conn: Connection,
    policy: Policy,
    *,
    words: str = "",
    rung: tuple[str, str] | None = None,
    everybody: bool = False,
    page: int = 1,
) -> tuple[list[Line], bool]:
    """Return a page of accounts, what is due first on top, and whether there are more.

    words: an id of ours or of Stripe's, or a part of a name or address; looks through all accounts. rung: machine and
    state. Without either: those that some machine has moved, or with everybody, all.
    """
    given: dict[str, Any] = {"limit": PAGE + 1, "offset": (min(max(page, 1), MOST_PAGES) - 1) * PAGE}
    wheres = []
    if words:
        wheres.append(_found(words, given))
    if rung is not None:
        wheres.append(ON_RUNG)
        given |= {"machine": rung[0], "state": rung[1]}
    if not wheres and not everybody:
        wheres.append(NOT_AT_REST)
        given["rest"] = json.dumps({machine.name: machine.initial for machine in policy.account_machines})
    find = text(QUEUE.format(where=" AND ".join(wheres) or "true"))
    lines = [Line(*row) for row in conn.execute(find, given)]
    return lines[:PAGE], len(lines) > PAGE


def _found(words: str, given: dict[str, Any]) -> str:
    try:
        given["id"] = UUID(words)
    except ValueError:
        harmless = words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        given |= {"words": words, "like": f"%{harmless}%"}
        return FOUND
    return FOUND_BY_ID


def rungs(conn: Connection, policy: Policy) -> list[tuple[str, str, int]]:
    """Return machine, state and how many accounts are there, in the order of the ladders; empty ones with 0."""
    counted: Counter[tuple[str, str]] = Counter()
    for states, number in conn.execute(text("SELECT states, count(*) FROM accounts GROUP BY states")):
        for machine in policy.account_machines:
            counted[machine.name, states.get(machine.name, machine.initial)] += number
    return [(m.name, state, counted[m.name, state]) for m in policy.account_machines for state in m.ladder]


def evidence(conn: Connection, account_id: UUID, limit: int = 30) -> Evidence:
    """Return what an account's standing rests on."""
    given = {"id": account_id, "limit": limit}
    found = (INVOICES, SUBSCRIPTIONS, DISPUTES, EVENTS)
    return Evidence(*([dict(row) for row in conn.execute(find, given).mappings()] for find in found))


def happened(conn: Connection, account_id: UUID, *, limit: int, offset: int = 0) -> list[Mapping[str, Any]]:
    """Return a page of an account's audit, newest first. A row that was made unreadable is shown as such."""
    find = text(
        "SELECT canonical, at, kind FROM audit WHERE account_id = :id ORDER BY seq DESC LIMIT :limit OFFSET :offset"
    )
    rows = conn.execute(find, {"id": account_id, "limit": limit, "offset": offset})
    return [_shown(*row) for row in rows]


def _shown(canonical: str, at: datetime, kind: str) -> Mapping[str, Any]:
    try:
        return audit.shown(canonical)
    except (ValueError, KeyError, TypeError):
        untold = dict.fromkeys(("from", "to", "place"))
        why = "somebody edited or inserted it"
        lost = {"action": "this row cannot be read", "kind": kind, "at": at, "because": why, "actor": "–"}
        return {**untold, **lost, "facts": {}, "asked": []}
