"""The mirror of Stripe's invoices and subscriptions, and how one more sighting of an object changes its row. Pure.

INVARIANT: folding the same set of sightings in any order, any number of times, gives the same row. So every column is
either taken whole from the newest sighting in one total order, or a minimum or maximum over all of them.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from engine.model import Standing
from storage.stripe.event import INVOICE_RANKS, SUBSCRIPTION_RANKS, InvoiceSeen, Mirrored, SubscriptionSeen
from storage.stripe.event_disputes import DisputeSeen
from storage.stripe.event_fields import About

# A subscription that a checkout named and that nothing else is known of yet.
UNSEEN = "none"
RANKS_WITH_UNSEEN = {UNSEEN: -1, **SUBSCRIPTION_RANKS}

# The only statuses that a policy may call late. One of any other status ends a delinquency.
LATE_CANDIDATES = frozenset({"past_due", "unpaid"})

HARMLESS_INVOICES = frozenset({"draft", "void", "paid"})
HARMLESS_SUBSCRIPTIONS = frozenset({"active", "trialing", "paused", "incomplete", "incomplete_expired"})
HARMFUL_DISPUTES = frozenset({"needs_response", "under_review", "lost"})

# How much older a fetched state counts that would harm a customer: our clock may run ahead of Stripe's, and a payment
# of the last moment must not lose against a list that was made before it.
FETCH_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Sighting:
    """One look at an object: an event (`created`), or a fetch (no event id, as of when it began)."""

    account_id: uuid.UUID
    at: datetime
    event_id: str
    about: About
    subject: Mirrored


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """One row of `stripe_invoices`; field by field as in `storage.tables`."""

    id: str
    account_id: uuid.UUID
    stripe_customer_id: str | None
    stripe_subscription_id: str | None
    status: str
    number: str | None
    amount_remaining_cents: int
    currency: str | None
    first_failed_at: datetime | None
    hosted_invoice_url: str | None
    evidence_at: datetime
    evidence_event_id: str
    settles_dispute: str | None = None
    confirmation_asked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class SubscriptionRow:
    """One row of `subscriptions`; field by field as in `storage.tables`."""

    id: str
    account_id: uuid.UUID
    stripe_customer_id: str | None
    status: str
    prices: tuple[str, ...]
    plan_name: str | None
    known_plan: str | None
    known_plan_at: datetime | None
    known_plan_event_id: str
    started_at: datetime | None
    ended_at: datetime | None
    current_period_end: datetime | None
    evidence_at: datetime
    evidence_event_id: str
    not_late_at: datetime | None
    late_statuses: Mapping[str, str]
    trial_ends_at: datetime | None = None
    pause: str | None = None
    resumes_at: datetime | None = None


def fetched_at(subject: Mirrored, began_at: datetime) -> datetime:
    """Return as of when a fetched object counts: a harmful state a little earlier than the fetch began."""
    whole_second = began_at.replace(microsecond=0)
    return whole_second if _is_harmless(subject) else whole_second - FETCH_MARGIN


def _is_harmless(subject: Mirrored) -> bool:
    if isinstance(subject, DisputeSeen):
        return subject.status not in HARMFUL_DISPUTES
    return subject.status in (HARMLESS_INVOICES if isinstance(subject, InvoiceSeen) else HARMLESS_SUBSCRIPTIONS)


# ---- invoices --------------------------------------------------------------------------------------------------------


def fold_invoice(row: InvoiceRow | None, sighting: Sighting) -> InvoiceRow:
    """Return the row after one more sighting; `row` None: it was never seen."""
    invoice = sighting.subject
    assert isinstance(invoice, InvoiceSeen)
    failed_at = sighting.at if invoice.failed else None
    fresh = InvoiceRow(
        id=invoice.id,
        account_id=row.account_id if row else sighting.account_id,
        stripe_customer_id=sighting.about.customer_id,
        stripe_subscription_id=sighting.about.subscription_id,
        status=invoice.status,
        number=invoice.number,
        amount_remaining_cents=invoice.remaining_cents,
        currency=invoice.currency,
        first_failed_at=failed_at,
        hosted_invoice_url=invoice.hosted_url,
        evidence_at=sighting.at,
        evidence_event_id=sighting.event_id,
        settles_dispute=invoice.settles_dispute,
        confirmation_asked_at=sighting.at if invoice.needs_confirmation else None,
    )
    if row is None:
        return fresh
    first_failed_at = _earliest(row.first_failed_at, failed_at)
    asked_at = max((at for at in (row.confirmation_asked_at, fresh.confirmation_asked_at) if at), default=None)
    newest = fresh if _invoice_order(fresh) > _invoice_order(row) else row
    if (newest.first_failed_at, newest.confirmation_asked_at) == (first_failed_at, asked_at):
        return newest
    return replace(newest, first_failed_at=first_failed_at, confirmation_asked_at=asked_at)


def _invoice_order(row: InvoiceRow) -> tuple[datetime, int, int, str]:
    # Within a second: the later stage of its life, then what leaves less to pay, then something fixed.
    rank = INVOICE_RANKS[row.status]
    return row.evidence_at, rank, -row.amount_remaining_cents, row.evidence_event_id


# ---- subscriptions ---------------------------------------------------------------------------------------------------


def fold_subscription(row: SubscriptionRow | None, sighting: Sighting, standing: Standing) -> SubscriptionRow:
    """Return the row after one more sighting; `row` None: it was never seen."""
    subscription = sighting.subject
    assert isinstance(subscription, SubscriptionSeen)
    plan = plan_of(standing, subscription.prices, subscription.plan_name)
    late = subscription.status in LATE_CANDIDATES
    fresh = SubscriptionRow(
        id=subscription.id,
        account_id=row.account_id if row else sighting.account_id,
        stripe_customer_id=sighting.about.customer_id,
        status=subscription.status,
        prices=subscription.prices,
        plan_name=subscription.plan_name,
        known_plan=plan,
        known_plan_at=sighting.at if plan else None,
        known_plan_event_id=sighting.event_id if plan else "",
        started_at=subscription.created_at,
        ended_at=subscription.ended_at,
        current_period_end=subscription.period_end_at,
        evidence_at=sighting.at,
        evidence_event_id=sighting.event_id,
        not_late_at=None if late else sighting.at,
        late_statuses={_second(sighting.at): subscription.status} if late else {},
        trial_ends_at=subscription.trial_ends_at,
        pause=subscription.pause,
        resumes_at=subscription.resumes_at,
    )
    if row is None:
        return fresh
    newest = fresh if _subscription_order(fresh) > _subscription_order(row) else row
    planned = fresh if _plan_order(fresh) > _plan_order(row) else row
    not_late_at = max((at for at in (row.not_late_at, fresh.not_late_at) if at), default=None)
    return replace(
        newest,
        known_plan=planned.known_plan,
        known_plan_at=planned.known_plan_at,
        known_plan_event_id=planned.known_plan_event_id,
        not_late_at=not_late_at,
        late_statuses=_late_statuses(row.late_statuses, fresh.late_statuses, not_late_at),
    )


def unseen_subscription(subscription_id: str, account_id: uuid.UUID, customer_id: str | None) -> SubscriptionRow:
    """Return the row of a subscription that nothing but its owner is known of. Any evidence is newer."""
    return SubscriptionRow(
        id=subscription_id,
        account_id=account_id,
        stripe_customer_id=customer_id,
        status=UNSEEN,
        prices=(),
        plan_name=None,
        known_plan=None,
        known_plan_at=None,
        known_plan_event_id="",
        started_at=None,
        ended_at=None,
        current_period_end=None,
        evidence_at=datetime.fromtimestamp(0, UTC),
        evidence_event_id="",
        not_late_at=None,
        late_statuses={},
    )


def _subscription_order(row: SubscriptionRow) -> tuple[datetime, int, str]:
    return row.evidence_at, RANKS_WITH_UNSEEN[row.status], row.evidence_event_id


def _plan_order(row: SubscriptionRow) -> tuple[bool, datetime, str]:
    known = row.known_plan_at is not None
    return known, row.known_plan_at or row.evidence_at, row.known_plan_event_id


def _late_statuses(one: Mapping[str, str], other: Mapping[str, str], after: datetime | None) -> dict[str, str]:
    """Join what was late, without what lies before the newest status that is never late; the milder within a second.

    All of it is kept, not just the earliest: a good status that is delivered later may fall between two of them, and
    then the delinquency began at the first one after it.
    """
    bound = -1 if after is None else int(_second(after))
    joined = dict(one)
    for second, status in other.items():
        known = joined.get(second)
        if known is None or SUBSCRIPTION_RANKS[status] > SUBSCRIPTION_RANKS[known]:
            joined[second] = status
    return {second: joined[second] for second in sorted(joined, key=int) if int(second) > bound}


def late_since(row: SubscriptionRow, late: tuple[str, ...]) -> datetime | None:
    """Return since when a subscription has been late without a break; None when it is not."""
    since = None
    for second, status in sorted(row.late_statuses.items(), key=lambda item: -int(item[0])):
        if status not in late:
            break
        since = second
    return None if since is None else datetime.fromtimestamp(int(since), UTC)


def contradict(row: InvoiceRow | SubscriptionRow, sighting: Sighting) -> bool:
    """Tell whether two sightings of one second differ in what neither rank nor harm decides: only Stripe can say."""
    if row.evidence_at != sighting.at or row.evidence_event_id == sighting.event_id:
        return False
    if isinstance(row, SubscriptionRow) and isinstance(sighting.subject, SubscriptionSeen):
        return row.status == sighting.subject.status and row.prices != sighting.subject.prices
    if isinstance(row, InvoiceRow) and isinstance(sighting.subject, InvoiceSeen):
        return row.status == sighting.subject.status and row.amount_remaining_cents != sighting.subject.remaining_cents
    return False


def plan_of(standing: Standing, prices: tuple[str, ...], plan_name: str | None) -> str | None:
    """Return the plan that a subscription's prices, or else its metadata, mean; of several the largest."""
    found = [plan for plan in standing.plans.values() if any(price in plan.prices for price in prices)]
    if found:
        return max(found, key=lambda plan: (plan.servers, plan.name)).name
    return plan_name if plan_name in standing.plans else None


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


def _second(at: datetime) -> str:
    return str(int(at.timestamp()))
