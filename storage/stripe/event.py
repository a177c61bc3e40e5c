"""A Stripe event as Forbear understands it: parsed defensively from raw bytes, in the old and the new payload shapes.

Pure. What is no event at all raises `NotAnEvent`; an event whose content cannot be understood is returned with a
`fault`, so that it is kept and shown. Which evidence counts is decided in `storage.stripe.evidence`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NoReturn

from storage.errors import StorageError
from storage.stripe import thin
from storage.stripe.event_disputes import (
    ChargeSeen,
    DisputeSeen,
    about_charge,
    about_dispute,
    read_charge,
    read_dispute,
)
from storage.stripe.event_fields import (
    NOBODY,
    About,
    Unreadable,
    claims_of,
    elements,
    https_url,
    identifier,
    identifier_or_none,
    inner,
    instant,
    instant_or_none,
    integer,
    name_or_none,
    reference,
)
from storage.stripe.thin import PREFIX

# The version whose shapes were read last; older ones are read too. A test compares it with the SDK's own.
API_VERSION = "2026-10-28.endive"


class NotAnEvent(StorageError):
    """The body is not a Stripe event; sending it again would not help."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the body is not a Stripe event: {reason}")


# How far an invoice's life has gone: within one second the later stage is the truth. The last two owe nothing.
INVOICE_RANKS = {"draft": 0, "open": 1, "uncollectible": 2, "void": 3, "paid": 3}

# Which status of a subscription is believed within one second: terminal ones first, then the one that harms less.
SUBSCRIPTION_RANKS = {
    "unpaid": 0,
    "past_due": 1,
    "incomplete": 2,
    "paused": 3,
    "trialing": 4,
    "active": 5,
    "incomplete_expired": 6,
    "canceled": 7,
}


@dataclass(frozen=True, slots=True)
class InvoiceSeen:
    """An invoice as one event, or one fetch, showed it."""

    id: str
    status: str
    remaining_cents: int
    currency: str | None
    hosted_url: str | None
    failed: bool  # a payment attempt on a finalized invoice with something owed did not succeed
    number: str | None = None  # as printed on it; None while it is a draft
    needs_confirmation: bool = False  # the customer's bank wants their word before it pays
    settles_dispute: str | None = None  # from metadata: `disputeId`, a lost dispute whose amount this asks for again


@dataclass(frozen=True, slots=True)
class SubscriptionSeen:
    """A subscription as one event, or one fetch, showed it. `prices` holds price ids and lookup keys, in order."""

    id: str
    status: str
    prices: tuple[str, ...]
    plan_name: str | None  # from metadata: `plan`
    ended_at: datetime | None  # when a canceled one ended, not before the period that was paid for is over
    period_end_at: datetime | None
    created_at: datetime | None
    trial_ends_at: datetime | None = None
    pause: str | None = None  # why nothing is collected: `no_payment_method` after a trial, or what a person chose
    resumes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CheckoutDone:
    """A finished checkout: it says which account a Stripe customer and a subscription belong to."""

    id: str
    payment_status: str | None = None  # `unpaid`: a bank takes days, and says so in a later event


@dataclass(frozen=True, slots=True)
class CustomerGone:
    """A customer who was deleted in Stripe: nothing can be charged there any more, and a person has to know."""

    id: str


@dataclass(frozen=True, slots=True)
class Named:
    """An object that a thin notification names and does not hold; `kind` as Stripe calls it. It has to be fetched."""

    id: str
    kind: str


Mirrored = InvoiceSeen | SubscriptionSeen | DisputeSeen
Subject = Mirrored | ChargeSeen | CheckoutDone | CustomerGone | Named


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """One event. `subject` is None for a type that changes nothing here; `fault` says what could not be understood."""

    id: str
    type: str
    created_at: datetime
    livemode: bool | None
    api_version: str | None
    payload: str
    object_id: str | None = None
    about: About = NOBODY
    subject: Subject | None = None
    fault: str | None = None


def parse(body: bytes) -> StripeEvent:
    """Return the event in a request's raw body. Raises NotAnEvent."""
    try:
        text = body.decode("utf-8")
        document = json.loads(text, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise NotAnEvent("it is not UTF-8") from None
    except RecursionError:
        raise NotAnEvent("it is nested too deeply") from None
    except ValueError as error:
        raise NotAnEvent(f"it is not JSON ({str(error)[:100]})") from None
    if not isinstance(document, dict):
        raise NotAnEvent("it is not a JSON object")
    return _event(document, text)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _event(document: Mapping[str, Any], text: str) -> StripeEvent:
    document = thin.as_event(document)
    try:
        event_id, event_type = identifier(document, "id"), identifier(document, "type")
        created_at = instant(document, "created")
    except Unreadable as error:
        raise NotAnEvent(str(error)) from None
    data = document.get("data")
    subject = data.get("object") if isinstance(data, dict) else None
    if event_id is None or event_type is None or created_at is None:
        missing = next(name for name in ("id", "type", "created") if document.get(name) is None)
        raise NotAnEvent(f"`{missing}` is missing")
    if not isinstance(subject, dict):
        raise NotAnEvent("`data.object` is missing")
    livemode, version = document.get("livemode"), document.get("api_version")
    event = StripeEvent(
        id=event_id,
        type=event_type,
        created_at=created_at,
        livemode=livemode if isinstance(livemode, bool) else None,
        api_version=version[:64].replace("\0", "") if isinstance(version, str) and version.isascii() else None,
        payload=text,
    )
    reader = READERS.get(event_type) or (_named if event_type.removeprefix(PREFIX) in READERS else None)
    return event if reader is None else _with_subject(event, reader, subject)


def _with_subject(event: StripeEvent, reader: Reader, document: Mapping[str, Any]) -> StripeEvent:
    try:
        object_id = identifier(document, "id", "data.object.id")
        if object_id is None:
            raise Unreadable("data.object.id", "an identifier", None)
        about, subject = reader(event, document)
    except Unreadable as error:
        return replace(event, fault=str(error))
    return replace(event, object_id=object_id, about=about, subject=subject)


# ---- invoices --------------------------------------------------------------------------------------------------------

# What the type says where a status is missing. Where one is there it is believed: a part payment also "succeeds".
IMPLIED_INVOICE_STATUS = {
    "invoice.payment_failed": "open",
    "invoice.paid": "paid",
    "invoice.voided": "void",
    "invoice.marked_uncollectible": "uncollectible",
}


def _invoice_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    invoice = read_invoice(document, IMPLIED_INVOICE_STATUS.get(event.type))
    failed = event.type == "invoice.payment_failed" and invoice.status != "draft" and invoice.remaining_cents > 0
    asked = event.type == "invoice.payment_action_required" and invoice.status == "open" and invoice.remaining_cents > 0
    return about_invoice(document), replace(invoice, failed=failed, needs_confirmation=asked)


def read_invoice(document: Mapping[str, Any], implied_status: str | None = None) -> InvoiceSeen:
    """Return an invoice object, `failed` unset. Raises Unreadable."""
    status = identifier(document, "status") or implied_status
    if status is None or status not in INVOICE_RANKS:
        raise Unreadable("status", "an invoice status that Stripe documents", status)
    return InvoiceSeen(
        id=identifier(document, "id") or "",
        status=status,
        remaining_cents=_remaining_cents(document, status),
        currency=identifier_or_none(document, "currency"),
        hosted_url=https_url(document, "hosted_invoice_url"),
        failed=False,
        number=identifier_or_none(document, "number"),
        settles_dispute=identifier_or_none(inner(document, "metadata"), "disputeId"),
    )


def read_fetched_invoice(document: Mapping[str, Any]) -> InvoiceSeen:
    """Return an invoice that was asked for. Raises Unreadable.

    No event tells of its attempts. That one failed is certain where Stripe plans the next or the debt was written off;
    a payment of any other open one may still be on its way through a bank.
    """
    invoice = read_invoice(document)
    planned = document.get("next_payment_attempt") is not None and invoice.status == "open"
    attempted = document.get("attempted") is True and (planned or invoice.status == "uncollectible")
    return replace(invoice, failed=attempted and invoice.remaining_cents > 0)


def _remaining_cents(document: Mapping[str, Any], status: str) -> int:
    remaining = integer(document, "amount_remaining")
    if remaining is None:
        due, paid = integer(document, "amount_due"), integer(document, "amount_paid") or 0
        remaining = None if due is None else due - paid
    if remaining is None and status in ("open", "uncollectible"):
        raise Unreadable("amount_remaining", "what is still owed, in the smallest unit", None)
    return remaining or 0


def about_invoice(document: Mapping[str, Any]) -> About:
    """Return whom an invoice is about, from either shape (`parent` since March 2025). Raises Unreadable."""
    parent = inner(document, "parent", "subscription_details")
    older = inner(document, "subscription_details")
    subscription = reference(parent, "subscription", "parent.subscription_details.subscription")
    return About(
        customer_id=reference(document, "customer"),
        subscription_id=subscription or reference(document, "subscription"),
        claims=claims_of(document, parent, older),
    )


# ---- subscriptions ---------------------------------------------------------------------------------------------------


def _subscription_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    deleted = event.type == "customer.subscription.deleted"
    return about_subscription(document), read_subscription(document, event.created_at, deleted=deleted)


def read_subscription(document: Mapping[str, Any], seen_at: datetime, *, deleted: bool = False) -> SubscriptionSeen:
    """Return a subscription object. A deleted one has ended, whatever its snapshot says. Raises Unreadable."""
    status = identifier(document, "status")
    if deleted and (status is None or status in SUBSCRIPTION_RANKS.keys() - {"incomplete_expired"}):
        status = "canceled"
    if status is None or status not in SUBSCRIPTION_RANKS:
        raise Unreadable("status", "a subscription status that Stripe documents", status)
    items = elements(document, "items", "data")
    period_ends = [instant_or_none(source, "current_period_end") for source in (*items, document)]
    period_end_at = max((at for at in period_ends if at is not None), default=None)
    return SubscriptionSeen(
        id=identifier(document, "id") or "",
        status=status,
        prices=_prices(document, items),
        plan_name=name_or_none(inner(document, "metadata").get("plan")),
        ended_at=_ended_at(document, period_end_at, seen_at) if status == "canceled" else None,
        period_end_at=period_end_at,
        created_at=instant_or_none(document, "created"),
        trial_ends_at=instant_or_none(document, "trial_end") if status == "trialing" else None,
        pause=_pause(document, status),
        resumes_at=instant_or_none(inner(document, "pause_collection"), "resumes_at"),
    )


def _pause(document: Mapping[str, Any], status: str) -> str | None:
    """Return why nothing is collected. Stripe pauses a trial that ended without a card; people pause what they like."""
    chosen = identifier_or_none(inner(document, "pause_collection"), "behavior")
    return chosen or ("no_payment_method" if status == "paused" else None)


def _ended_at(document: Mapping[str, Any], period_end_at: datetime | None, seen_at: datetime) -> datetime:
    # A subscription that is cancelled at once keeps the end of its period. Where nothing is owed that period is
    # settled, so the customer has what was paid for until then.
    ended_at = instant_or_none(document, "ended_at") or instant_or_none(document, "canceled_at")
    known = [at for at in (ended_at, period_end_at) if at is not None]
    return max(known, default=seen_at)


def _prices(document: Mapping[str, Any], items: list[Mapping[str, Any]]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for source in (*items, document):
        for key in ("price", "plan"):
            price = source.get(key)
            for name in (price.get("id"), price.get("lookup_key")) if isinstance(price, dict) else (price,):
                if (text := name_or_none(name)) is not None:
                    found[text] = None
    return tuple(found)[:100]


def about_subscription(document: Mapping[str, Any]) -> About:
    """Return whom a subscription is about. Raises Unreadable."""
    return About(reference(document, "customer"), identifier(document, "id"), claims_of(document))


# ---- disputes and charges --------------------------------------------------------------------------------------------


def _dispute_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    return about_dispute(document), read_dispute(document)


def _charge_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    return about_charge(document), read_charge(document, is_refund=event.type == "charge.refunded")


# ---- checkouts and customers -----------------------------------------------------------------------------------------


def _checkout_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    claims = claims_of(document, extra=((document, "client_reference_id"),))
    about = About(reference(document, "customer"), reference(document, "subscription"), claims)
    return about, CheckoutDone(identifier(document, "id") or "", identifier_or_none(document, "payment_status"))


def _customer_event(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    customer_id = identifier(document, "id") or ""
    return About(customer_id=customer_id, claims=claims_of(document)), CustomerGone(customer_id)


def _named(event: StripeEvent, document: Mapping[str, Any]) -> tuple[About, Subject]:
    kind = identifier(document, "type")
    if kind not in thin.LISTS:
        raise Unreadable("related_object.type", f"one of {', '.join(thin.LISTS)}", kind)
    return About(), Named(identifier(document, "id") or "", kind)


Reader = Callable[[StripeEvent, Mapping[str, Any]], tuple[About, Subject]]

READERS: dict[str, Reader] = {
    **{
        f"invoice.{name}": _invoice_event
        for name in (
            "created",
            "finalized",
            "marked_uncollectible",
            "overdue",
            "paid",
            "payment_action_required",
            "payment_failed",
            "payment_succeeded",
            "sent",
            "updated",
            "voided",
        )
    },
    **{
        f"customer.subscription.{name}": _subscription_event
        for name in ("created", "deleted", "paused", "resumed", "trial_will_end", "updated")
    },
    **{
        f"charge.dispute.{name}": _dispute_event
        for name in ("closed", "created", "funds_reinstated", "funds_withdrawn", "updated")
    },
    **{f"charge.{name}": _charge_event for name in ("captured", "refunded", "succeeded", "updated")},
    **{
        f"checkout.session.{name}": _checkout_event
        for name in ("async_payment_failed", "async_payment_succeeded", "completed")
    },
    "customer.deleted": _customer_event,
}
