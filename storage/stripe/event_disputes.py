"""Disputes and charges as Stripe shows them, read as defensively as `storage.stripe.event` reads all else. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from storage.stripe.event_fields import (
    About,
    Unreadable,
    claims_of,
    identifier,
    identifier_or_none,
    inner,
    instant_or_none,
    integer,
    reference,
)

# Which status of a dispute is believed within one second: the later stage, and of two ends the one that harms less.
DISPUTE_RANKS = {
    "warning_needs_response": 0,
    "warning_under_review": 1,
    "needs_response": 2,
    "under_review": 3,
    "lost": 4,
    "warning_closed": 5,
    "prevented": 6,
    "won": 7,
}


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """A dispute as one event, or one fetch, showed it. It names no customer: its charge does."""

    id: str
    status: str
    charge_id: str | None
    amount_cents: int
    currency: str | None
    reason: str | None
    opened_at: datetime | None
    respond_by: datetime | None


@dataclass(frozen=True, slots=True)
class ChargeSeen:
    """A charge of a customer: it says whose a dispute is that names nothing else."""

    id: str
    customer_id: str | None
    amount_cents: int
    refunded_cents: int
    currency: str | None
    is_refund: bool  # the event told of money that was given back


def about_dispute(document: Mapping[str, Any]) -> About:
    """Return whom a dispute is about: its charge alone, unless that came along. Raises Unreadable."""
    charge = inner(document, "charge")
    return About(
        customer_id=reference(charge, "customer"),
        claims=claims_of(document, charge),
        charge_id=reference(document, "charge"),
    )


def read_dispute(document: Mapping[str, Any]) -> DisputeSeen:
    """Return a dispute object. Raises Unreadable."""
    status = identifier(document, "status")
    if status is None or status not in DISPUTE_RANKS:
        raise Unreadable("status", "a dispute status that Stripe documents", status)
    return DisputeSeen(
        id=identifier(document, "id") or "",
        status=status,
        charge_id=reference(document, "charge"),
        amount_cents=integer(document, "amount") or 0,
        currency=identifier_or_none(document, "currency"),
        reason=identifier_or_none(document, "reason"),
        opened_at=instant_or_none(document, "created"),
        respond_by=instant_or_none(inner(document, "evidence_details"), "due_by"),
    )


def read_charge(document: Mapping[str, Any], *, is_refund: bool = False) -> ChargeSeen:
    """Return a charge object. Raises Unreadable."""
    return ChargeSeen(
        id=identifier(document, "id") or "",
        customer_id=reference(document, "customer"),
        amount_cents=integer(document, "amount") or 0,
        refunded_cents=integer(document, "amount_refunded") or 0,
        currency=identifier_or_none(document, "currency"),
        is_refund=is_refund,
    )


def about_charge(document: Mapping[str, Any]) -> About:
    """Return whom a charge is about. Raises Unreadable."""
    return About(reference(document, "customer"), claims=claims_of(document), charge_id=identifier(document, "id"))
