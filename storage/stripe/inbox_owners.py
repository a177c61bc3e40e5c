"""Whose an event is: decided under the lock of every account that it may concern.

By subscription, then by our own ids in its metadata, then the only account of that Stripe customer. Nothing is guessed:
an event that could be two accounts' is parked with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from storage.stripe.event import CheckoutDone, CustomerGone, InvoiceSeen, StripeEvent
from storage.stripe.event_disputes import DisputeSeen
from storage.stripe.evidence import AccountRow, Mirror, Sought


@dataclass(frozen=True, slots=True)
class Owner:
    """The accounts that an event concerns, or why nobody can tell. More than one only for a deleted customer."""

    accounts: tuple[UUID, ...] = ()
    reason: str | None = None


def sought(events: Iterable[StripeEvent]) -> Sought:
    """Return what the accounts of these events are found by."""
    events = list(events)
    return Sought(
        customers=frozenset(event.about.customer_id for event in events if event.about.customer_id),
        subscriptions=frozenset(event.about.subscription_id for event in events if event.about.subscription_id),
        claims=frozenset(claim for event in events for claim in event.about.claims),
        invoices=frozenset(event.subject.id for event in events if isinstance(event.subject, InvoiceSeen)),
        disputes=frozenset(event.subject.id for event in events if isinstance(event.subject, DisputeSeen)),
    )


def owner_of(mirror: Mirror, event: StripeEvent) -> Owner:
    """Return whose an event is."""
    if isinstance(event.subject, CustomerGone):
        return _all_of_customer(mirror, event)
    if isinstance(event.subject, DisputeSeen) and event.subject.id in mirror.disputes:
        return Owner((mirror.disputes[event.subject.id].account_id,))
    steps = (_by_claim, _by_subscription) if isinstance(event.subject, CheckoutDone) else (_by_subscription, _by_claim)
    for step in steps:
        account_id = step(mirror, event)
        if account_id is not None:
            return Owner((account_id,))
    found = _accounts_of_customer(mirror, event.about.customer_id)
    if len(found) == 1:
        return Owner((found[0],))
    return Owner(reason=_why(event, len(found)))


def linked_account(mirror: Mirror, subscription_id: str | None) -> UUID | None:
    """Return the account that a person or a checkout gave this subscription to."""
    if subscription_id is None:
        return None
    linked = (row.id for row in mirror.accounts.values() if row.stripe_subscription_id == subscription_id)
    return next(linked, None)


def _by_subscription(mirror: Mirror, event: StripeEvent) -> UUID | None:
    """Find the owner by the subscription, or by the row that this very invoice has already."""
    subscription_id = event.about.subscription_id
    linked = linked_account(mirror, subscription_id)
    if linked is not None and subscription_id is not None:
        mirror.adopt(subscription_id, linked)
    if isinstance(event.subject, InvoiceSeen) and event.subject.id in mirror.invoices:
        return mirror.invoices[event.subject.id].account_id
    if linked is not None:
        return linked
    row = mirror.subscriptions.get(subscription_id or "")
    return None if row is None else row.account_id


def _by_claim(mirror: Mirror, event: StripeEvent) -> UUID | None:
    """Find the owner by ids of ours: an account's, or a customer's who has only one account that fits."""
    for claim in event.about.claims:
        if claim in mirror.accounts:
            return claim
        theirs = [row for row in mirror.accounts.values() if row.customer_id == claim]
        fitting = [row for row in theirs if row.stripe_customer_id == event.about.customer_id] or theirs
        if len(fitting) == 1:
            return fitting[0].id
    return None


def _accounts_of_customer(mirror: Mirror, customer_id: str | None) -> list[UUID]:
    if customer_id is None:
        return []
    found = [row.id for row in mirror.accounts.values() if row.stripe_customer_id == customer_id]
    if found:
        return found
    # A checkout may have made the account's subscription under another Stripe customer than the account's first.
    rows = (row for row in mirror.subscriptions.values() if row.stripe_customer_id == customer_id)
    return list(dict.fromkeys(row.account_id for row in rows))


def _all_of_customer(mirror: Mirror, event: StripeEvent) -> Owner:
    found = _accounts_of_customer(mirror, event.about.customer_id)
    return Owner(tuple(sorted(found))) if found else Owner(reason=_why(event, 0))


def _why(event: StripeEvent, candidates: int) -> str:
    customer = f"Stripe customer `{event.about.customer_id}`" if event.about.customer_id else "no Stripe customer"
    if isinstance(event.subject, DisputeSeen) and event.about.customer_id is None:
        return f"nobody knows whose the charge `{event.about.charge_id}` is yet"
    if candidates:
        return f"{candidates} accounts belong to {customer}, and nothing else tells them apart"
    subscription = f" or subscription `{event.about.subscription_id}`" if event.about.subscription_id else ""
    return f"no account belongs to {customer}{subscription} yet"


def link_checkout(mirror: Mirror, event: StripeEvent, account: AccountRow, earlier: list[str]) -> str | None:
    """Give the subscription of a finished checkout to its account; return why not, if it cannot be.

    earlier: the subscriptions that earlier checkouts of this account named, this one's included, the newest first. Of
    several checkouts the newest counts, whatever order they came in; what a person linked stays.
    """
    subscription_id = event.about.subscription_id
    if subscription_id is None:
        return None
    other = linked_account(mirror, subscription_id)
    if other is not None and other != account.id:
        return f"subscription `{subscription_id}` belongs to account {other} already"
    if account.stripe_subscription_id is None or account.stripe_subscription_id in earlier:
        account.stripe_subscription_id = earlier[0]
    mirror.adopt(subscription_id, account.id)
    if subscription_id not in mirror.subscriptions:
        mirror.put_unseen(subscription_id, account.id, event.about.customer_id)
    mirror.touched[account.id] = None
    return None
