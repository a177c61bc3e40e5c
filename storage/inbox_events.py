"""The rows of `stripe_events`: what is written about each event, in one statement a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from storage.stripe_event import StripeEvent

Status = Literal["applied", "parked", "quarantined", "ignored", "duplicate"]


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
    ("claims", "text"), ("account_id", "uuid"), ("status", "text"), ("reason", "text"),
)  # fmt: skip
_NAMES: Final = ", ".join(name for name, _ in EVENT_COLUMNS)
_ARRAYS: Final = ", ".join(f"%({name})s::{kind}[]" for name, kind in EVENT_COLUMNS)
INSERT: Final = f"""
INSERT INTO stripe_events ({_NAMES}, applied_at)
SELECT {_NAMES.replace("claims", "claims::uuid[]")}, CASE WHEN status = 'applied' THEN now() END
FROM unnest({_ARRAYS}) AS n({_NAMES})
ON CONFLICT (id) DO NOTHING RETURNING id
"""
UNPARK: Final = """
UPDATE stripe_events e SET status = n.status, account_id = n.account_id, reason = n.reason, applied_at = now()
FROM unnest(%(id)s::text[], %(status)s::text[], %(account_id)s::uuid[], %(reason)s::text[])
     AS n(id, status, account_id, reason)
WHERE e.id = n.id AND e.status = 'parked'
"""


def inserting(verdicts: list[Verdict]) -> dict[str, Any]:
    """Return what INSERT is given, in the order of ids: two groups with the same events never wait crosswise."""
    verdicts = sorted(verdicts, key=lambda verdict: verdict.event.id)
    events = [verdict.event for verdict in verdicts]
    return {
        "id": [event.id for event in events],
        "type": [event.type for event in events],
        "created_at": [event.created_at for event in events],
        "livemode": [event.livemode for event in events],
        "api_version": [event.api_version for event in events],
        "payload": [event.payload for event in events],
        "object_id": [event.object_id for event in events],
        "stripe_customer_id": [event.about.customer_id for event in events],
        "stripe_subscription_id": [event.about.subscription_id for event in events],
        "claims": ["{" + ",".join(map(str, event.about.claims)) + "}" for event in events],
        "account_id": [_only(verdict.accounts) for verdict in verdicts],
        "status": [verdict.status for verdict in verdicts],
        "reason": [verdict.reason for verdict in verdicts],
    }


def unparking(verdicts: list[Verdict]) -> dict[str, Any]:
    """Return what UNPARK is given."""
    return {
        "id": [verdict.event.id for verdict in verdicts],
        "status": [verdict.status for verdict in verdicts],
        "account_id": [_only(verdict.accounts) for verdict in verdicts],
        "reason": [verdict.reason for verdict in verdicts],
    }


def _only(accounts: tuple[UUID, ...]) -> UUID | None:
    return accounts[0] if len(accounts) == 1 else None
