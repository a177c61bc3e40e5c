"""How an account comes by its plan, as its customer is told: by a subscription, its trial or pause, or by people."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock

By = Literal["subscription", "admin", "exempt"]

ACCOUNT: Final = text("""
SELECT a.has_active_plan, a.subscription_status, a.exempt_until, s.trial_ends_at, s.pause, s.resumes_at
FROM accounts a LEFT JOIN LATERAL (
    SELECT trial_ends_at, pause, resumes_at FROM subscriptions
    WHERE account_id = a.id AND status = a.subscription_status
    ORDER BY id = a.stripe_subscription_id DESC NULLS LAST, evidence_at DESC LIMIT 1
) s ON true WHERE a.id = :id
""")
CHECKOUT: Final = text("""
SELECT type, payload FROM stripe_events
WHERE account_id = :id AND object_id = :session AND type LIKE 'checkout.session.%' AND status = 'applied'
ORDER BY created_at DESC, type LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class Subscribed:
    """`by` None: there is no plan. An exempt account has nothing to pay, whatever else is true of it."""

    by: By | None
    exempt_until: datetime | None = None
    trial_ends_at: datetime | None = None
    pause: str | None = None
    """Why nothing is collected: `no_payment_method` after a trial, or what a person chose at Stripe."""
    resumes_at: datetime | None = None


def subscribed(conn: Connection, account_id: UUID) -> Subscribed:
    """Return how an account comes by its plan now."""
    row = conn.execute(ACCOUNT, {"id": account_id}).one()
    exempt_until = row.exempt_until if row.exempt_until and row.exempt_until > clock.now(conn) else None
    by: By | None = None
    if exempt_until is not None:
        by = "exempt"
    elif row.has_active_plan:
        by = "admin" if row.subscription_status == "none" else "subscription"
    return Subscribed(by, exempt_until, row.trial_ends_at, row.pause, row.resumes_at)


def payment_of(conn: Connection, account_id: UUID, session: str) -> Literal["paid", "waits", "failed"] | None:
    """Return how the payment of a checkout stands; None while Stripe has not told of it.

    A bank that is debited takes days: the checkout is done then, and a later event says whether the bank has paid.
    """
    row = conn.execute(CHECKOUT, {"id": account_id, "session": session}).one_or_none()
    if row is None:
        return None
    if row.type == "checkout.session.async_payment_failed":
        return "failed"
    status = json.loads(row.payload)["data"]["object"].get("payment_status")
    return "waits" if status == "unpaid" else "paid"
