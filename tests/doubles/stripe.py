"""What Stripe sends: events in the old and the new payload shape, and the header that signs them.

Written from Stripe's documentation, with nothing of Forbear in it, so that a misreading there shows here.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import time
from datetime import UTC, datetime
from typing import Any, Literal

SECRET = "whsec_of_the_tests"
API_VERSION = "2026-10-28.endive"
Shape = Literal["old", "new"]
Event = dict[str, Any]

_numbers = itertools.count(1)


def signature(body: bytes, secret: str = SECRET, at_seconds: float | None = None) -> str:
    """Return a Stripe-Signature header for a body."""
    stamp = int(time.time() if at_seconds is None else at_seconds)
    return f"t={stamp},v1={digest(body, secret, stamp)}"


def digest(body: bytes, secret: str, stamp: int) -> str:
    """Return the hex digest that a signature holds."""
    return hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()


def body_of(event: Any) -> bytes:
    """Return the bytes that Stripe would send."""
    return json.dumps(event, indent=2).encode()


def event(
    kind: str,
    document: Any,
    *,
    created: int,
    event_id: str | None = None,
    livemode: bool = False,
    api_version: str | None = API_VERSION,
) -> Event:
    """Wrap an object the way Stripe does."""
    return {
        "id": event_id or f"evt_{next(_numbers)}",
        "object": "event",
        "api_version": api_version,
        "created": created,
        "data": {"object": document},
        "livemode": livemode,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def notification(
    kind: str, object_id: str, object_type: str, *, created: int, event_id: str | None = None, livemode: bool = False
) -> Event:
    """Return a thin notification: it names an object, in the newer API's shape, and does not hold it."""
    number = event_id or f"evt_test_{next(_numbers)}"
    at = datetime.fromtimestamp(created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lists = {"checkout.session": "checkout/sessions"}
    return {
        "id": number,
        "object": "v2.core.event",
        "type": kind,
        "livemode": livemode,
        "created": at,
        "context": None,
        "related_object": {
            "id": object_id,
            "type": object_type,
            "url": f"/v1/{lists.get(object_type, f'{object_type}s')}/{object_id}",
        },
    }


def invoice(
    invoice_id: str,
    *,
    customer: str | None = "cus_1",
    status: str | None = "open",
    cents: int = 1500,
    paid_cents: int | None = None,
    subscription: str | None = None,
    shape: Shape = "new",
    metadata: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return an invoice object. `cents` is what it asked for; a paid or void one has nothing remaining."""
    paid = paid_cents if paid_cents is not None else cents if status == "paid" else 0
    document: dict[str, Any] = {
        "id": invoice_id,
        "object": "invoice",
        "customer": customer,
        "status": status,
        "number": None if status == "draft" else f"{invoice_id.removeprefix('in_')[:8].upper()}-0001",
        "currency": "usd",
        "amount_due": cents,
        "amount_paid": paid,
        "amount_remaining": 0 if status == "void" else cents - paid,
        "attempted": status != "draft",
        "attempt_count": 0 if status == "draft" else 1,
        "next_payment_attempt": None,
        "hosted_invoice_url": f"https://invoice.stripe.example/{invoice_id}",
        "metadata": {},
    }
    if shape == "new":
        details = {"subscription": subscription, "metadata": metadata or {}}
        document["parent"] = {"type": "subscription_details", "subscription_details": details} if subscription else None
        if subscription is None and metadata:
            document["metadata"] = metadata
    else:
        document["subscription"] = subscription
        document["metadata"] = metadata or {}
    return {**document, **more}


def invoice_event(kind: str, invoice_id: str, *, created: int, event_id: str | None = None, **more: Any) -> Event:
    """Return `invoice.KIND` with the status that this kind has, unless told otherwise."""
    statuses = {
        "created": "draft",
        "paid": "paid",
        "payment_succeeded": "paid",
        "voided": "void",
        "marked_uncollectible": "uncollectible",
    }
    envelope = {key: more.pop(key) for key in ("livemode", "api_version") if key in more}
    document = invoice(invoice_id, **{"status": statuses.get(kind, "open"), **more})
    return event(f"invoice.{kind}", document, created=created, event_id=event_id, **envelope)


def subscription(
    subscription_id: str,
    *,
    customer: str | None = "cus_1",
    status: str | None = "active",
    price: str | None = "price_game",
    lookup_key: str | None = None,
    period_end: int | None = None,
    shape: Shape = "new",
    metadata: dict[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Return a subscription object; the end of its period is on the items in the new shape, on top in the old one."""
    item: dict[str, Any] = {
        "id": f"si_{subscription_id}",
        "object": "subscription_item",
        "price": {"id": price, "object": "price", "lookup_key": lookup_key, "metadata": {}},
        "plan": {"id": price, "object": "plan"},
    }
    document: dict[str, Any] = {
        "id": subscription_id,
        "object": "subscription",
        "customer": customer,
        "status": status,
        "items": {"object": "list", "data": [item], "has_more": False},
        "canceled_at": None,
        "ended_at": None,
        "cancel_at_period_end": False,
        "metadata": metadata or {},
    }
    if shape == "new":
        item["current_period_end"] = period_end
    else:
        document["current_period_end"] = period_end
        document["plan"] = item["plan"]
    return {**document, **more}


def subscription_event(
    kind: str, subscription_id: str, *, created: int, event_id: str | None = None, **more: Any
) -> Event:
    """Return `customer.subscription.KIND` with the status that this kind has, unless told otherwise."""
    statuses = {"deleted": "canceled", "paused": "paused"}
    envelope = {key: more.pop(key) for key in ("livemode", "api_version") if key in more}
    document = subscription(subscription_id, **{"status": statuses.get(kind, "active"), **more})
    return event(f"customer.subscription.{kind}", document, created=created, event_id=event_id, **envelope)


def checkout_event(
    *,
    created: int,
    customer: str | None,
    subscription_id: str | None = None,
    client_reference_id: str | None = None,
    metadata: dict[str, Any] | None = None,
    event_id: str | None = None,
) -> Event:
    """Return `checkout.session.completed`."""
    document: dict[str, Any] = {
        "id": f"cs_{next(_numbers)}",
        "object": "checkout.session",
        "mode": "subscription" if subscription_id else "payment",
        "status": "complete",
        "payment_status": "paid",
        "customer": customer,
        "subscription": subscription_id,
        "client_reference_id": client_reference_id,
        "metadata": metadata or {},
    }
    return event("checkout.session.completed", document, created=created, event_id=event_id)


def customer_deleted_event(customer: str, *, created: int, event_id: str | None = None) -> Event:
    """Return `customer.deleted`."""
    document: dict[str, Any] = {"id": customer, "object": "customer", "email": None, "deleted": True, "metadata": {}}
    return event("customer.deleted", document, created=created, event_id=event_id)


def charge_event(
    kind: str,
    charge_id: str,
    *,
    created: int,
    customer: str | None = "cus_1",
    cents: int = 1500,
    refunded_cents: int = 0,
    event_id: str | None = None,
    **more: Any,
) -> Event:
    """Return `charge.KIND`. Since March 2025 a charge names no invoice."""
    document: dict[str, Any] = {
        "id": charge_id,
        "object": "charge",
        "amount": cents,
        "amount_refunded": refunded_cents,
        "refunded": refunded_cents == cents,
        "currency": "usd",
        "customer": customer,
        "payment_intent": f"pi_{charge_id}",
        "status": "succeeded",
        "paid": True,
        "disputed": False,
        "metadata": {},
        **more,
    }
    return event(f"charge.{kind}", document, created=created, event_id=event_id)


def dispute(dispute_id: str, *, charge: str | None = "ch_1", status: str | None, created: int, **more: Any) -> Event:
    """Return a dispute object: it names a charge, and no customer."""
    return {
        "id": dispute_id,
        "object": "dispute",
        "amount": 1500,
        "currency": "usd",
        "charge": charge,
        "payment_intent": f"pi_{charge}",
        "created": created,
        "reason": "fraudulent",
        "status": status,
        "is_charge_refundable": False,
        "evidence_details": {"due_by": created + 9 * 86_400, "has_evidence": False, "past_due": False},
        "metadata": {},
        **more,
    }


def dispute_event(
    kind: str, dispute_id: str, *, created: int, opened: int | None = None, event_id: str | None = None, **more: Any
) -> Event:
    """Return `charge.dispute.KIND` with the status that this kind has, unless told otherwise."""
    statuses = {"closed": "lost", "updated": "under_review", "funds_reinstated": "won"}
    status = more.pop("status", statuses.get(kind, "needs_response"))
    document = dispute(dispute_id, status=status, created=opened or created, **more)
    return event(f"charge.dispute.{kind}", document, created=created, event_id=event_id)
