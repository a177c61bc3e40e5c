"""An account's standing, computed from the set of its invoices and subscriptions. Pure: the order of events is unseen.

What counts as owed, late and active is the policy's (`standing.yaml`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engine.model import Standing as StandingPolicy
from engine.model import Value
from storage.stripe.evidence_disputes import DisputeRow, dispute_facts
from storage.stripe.evidence_mirror import UNSEEN, InvoiceRow, SubscriptionRow, late_since, plan_of

# These never come back to life.
ENDED = frozenset({"canceled", "incomplete_expired"})


@dataclass(frozen=True, slots=True)
class Standing:
    """What the evidence says about an account. `plan` None: no subscription names a plan that the policy knows."""

    overdue_invoices: int
    past_due_since: datetime | None
    subscription_status: str
    subscription_ended_at: datetime | None
    plan: str | None
    has_active_plan: bool | None  # None: no subscription was seen, what an admin said stands
    rare: Mapping[str, Value] = field(default_factory=dict)
    """Facts that few accounts have; one that is missing has nothing to say."""


def standing_of(
    policy: StandingPolicy,
    linked_subscription_id: str | None,
    invoices: Iterable[InvoiceRow],
    subscriptions: Iterable[SubscriptionRow],
    disputes: Iterable[DisputeRow] = (),
    *,
    ours_overdue: Iterable[datetime] = (),
) -> Standing:
    """Return the standing that follows from everything that is mirrored of one account.

    ours_overdue: since when each invoice is that we issued ourselves and that became overdue.
    """
    invoices = list(invoices)
    rare = {**dispute_facts(policy, disputes, invoices), **_confirmation(invoices)}
    overdue = [at for invoice in invoices if (at := overdue_since(policy, invoice)) is not None]
    overdue += ours_overdue
    seen = [row for row in subscriptions if row.status != UNSEEN]
    chosen = choose(seen, linked_subscription_id)
    if chosen is None:
        return Standing(len(overdue), min(overdue, default=None), "none", None, None, None, rare)
    late = late_since(chosen, policy.late_subscription_statuses)
    past_due_since = min(overdue) if overdue else late
    return Standing(
        overdue_invoices=len(overdue),
        past_due_since=past_due_since,
        subscription_status=chosen.status,
        subscription_ended_at=chosen.ended_at if chosen.status == "canceled" else None,
        plan=_plan(policy, chosen, seen),
        has_active_plan=chosen.status in policy.active_subscription_statuses,
        rare={**rare, **_trial(chosen)},
    )


def _confirmation(invoices: Iterable[InvoiceRow]) -> Mapping[str, Value]:
    asked = [each for each in invoices if each.confirmation_asked_at and each.status == "open"]
    waiting = sum(each.amount_remaining_cents > 0 for each in asked)
    return {"invoices_to_confirm": waiting} if waiting else {}


def _trial(chosen: SubscriptionRow) -> Mapping[str, Value]:
    return {"trial_ends_at": chosen.trial_ends_at} if chosen.status == "trialing" and chosen.trial_ends_at else {}


def overdue_since(policy: StandingPolicy, invoice: InvoiceRow) -> datetime | None:
    """Return the first failed attempt of an invoice that is owed now; None when nothing is owed or nothing failed."""
    owed = invoice.status in policy.owed_invoice_statuses and invoice.amount_remaining_cents > 0
    return invoice.first_failed_at if owed else None


def choose(seen: list[SubscriptionRow], linked_subscription_id: str | None) -> SubscriptionRow | None:
    """Return the subscription that speaks for the account: its own while that lives, else the newest that lives.

    Another subscription of the same Stripe customer that ends must not end the account's; and somebody who comes back
    with a new subscription is not held to the one that ended.
    """
    return max(
        seen,
        key=lambda row: (
            row.status not in ENDED,
            row.id == linked_subscription_id,
            row.started_at or row.evidence_at if row.status not in ENDED else row.evidence_at,
            row.id,
        ),
        default=None,
    )


def _plan(policy: StandingPolicy, chosen: SubscriptionRow, seen: list[SubscriptionRow]) -> str | None:
    named = plan_of(policy, chosen.prices, chosen.plan_name) or chosen.known_plan
    if named is not None:
        return named
    known = [row for row in seen if row.known_plan is not None and row.known_plan_at is not None]
    newest = max(known, key=lambda row: (row.known_plan_at, row.known_plan_event_id, row.id), default=None)
    return newest.known_plan if newest else None
