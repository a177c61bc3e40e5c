"""The rows of `stripe_events`: what is written about each event, in one statement a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from storage.ledger_write import arrays
from storage.stripe.event import StripeEvent

Status = Literal["applied", "parked", "quarantined", "ignored", "duplicate"]
Way = Literal["webhook", "reader"]

# Sent again, these are applied once their account is known, or once this version understands them.
UNSETTLED: Final = frozenset({"parked", "quarantined"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to be written about one event."""

    event: StripeEvent
    status: Status
    reason: str | None = None
    accounts: tuple[UUID, ...] = ()


KNOWN: Final = "SELECT id, status FROM stripe_events WHERE id = ANY(%(ids)s)"
EVENT_COLUMNS: Final = (
    ("id", "text"), ("type", "text"), ("created_at", "timestamptz"), ("livemode", "boolean"), ("api_version", "text"),
    ("payload", "text"), ("object_id", "text"), ("stripe_customer_id", "text"), ("stripe_subscription_id", "text"),
    ("stripe_charge_id", "text"), ("claims", "text"), ("account_id", "uuid"), ("status", "text"), ("reason", "text"),
)  # fmt: skip
_NAMES: Final = ", ".join(name for name, _ in EVENT_COLUMNS)
_ARRAYS: Final = ", ".join(f"%({name})s::{kind}[]" for name, kind in EVENT_COLUMNS)
INSERT: Final = f"""
INSERT INTO stripe_events ({_NAMES}, applied_at, came_by)
SELECT {_NAMES.replace("claims", "claims::uuid[]")}, CASE WHEN status = 'applied' THEN now() END, %(came_by)s
FROM unnest({_ARRAYS}) AS n({_NAMES})
ON CONFLICT (id) DO NOTHING RETURNING id
"""
UNPARK_COLUMNS: Final = (("id", "text"), ("status", "text"), ("account_id", "uuid"), ("reason", "text"))
UNPARK: Final = """
UPDATE stripe_events e SET status = n.status, account_id = n.account_id, reason = n.reason, applied_at = now()
FROM unnest(%(id)s::text[], %(status)s::text[], %(account_id)s::uuid[], %(reason)s::text[])
     AS n(id, status, account_id, reason)
WHERE e.id = n.id AND e.status IN ('parked', 'quarantined')
"""


def inserting(verdicts: list[Verdict], came_by: Way) -> dict[str, Any]:
    """Return what INSERT is given, in the order of ids: two groups with the same events never wait crosswise."""
    rows = []
    for verdict in sorted(verdicts, key=lambda verdict: verdict.event.id):
        event, about = verdict.event, verdict.event.about
        claims = "{" + ",".join(map(str, about.claims)) + "}"
        told = (event.id, event.type, event.created_at, event.livemode, event.api_version, event.payload)
        concerned = (
            event.object_id,
            about.customer_id,
            about.subscription_id,
            about.charge_id,
            claims,
            _only(verdict.accounts),
        )
        rows.append((*told, *concerned, verdict.status, verdict.reason))
    return arrays(EVENT_COLUMNS, rows) | {"came_by": came_by}


def unparking(verdicts: list[Verdict]) -> dict[str, Any]:
    """Return what UNPARK is given."""
    rows = [(verdict.event.id, verdict.status, _only(verdict.accounts), verdict.reason) for verdict in verdicts]
    return arrays(UNPARK_COLUMNS, rows)


def _only(accounts: tuple[UUID, ...]) -> UUID | None:
    return accounts[0] if len(accounts) == 1 else None
