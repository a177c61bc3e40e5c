"""Thin event notifications: they name an object and do not hold it. Read here in the shape of an event that does.

One is kept parked until its object was fetched (`jobs.stripe.thin`); then its row holds the whole event, and goes the
way of all others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, text

OBJECT: Final = "v2.core.event"
PREFIX: Final = "v1."  # of a type whose object is one of the API that this reads
TO_FETCH: Final = "the object that it names is to be fetched"
FETCHED: Final = "its object is fetched, and no account is known for it yet"
NO_KEY: Final = "it names an object and does not hold it, and without STRIPE_API_KEY none can be fetched"

# Which list each object lives in. What a notification says of its address is not asked: it could name any.
LISTS: Final = {
    "invoice": "invoices",
    "subscription": "subscriptions",
    "customer": "customers",
    "charge": "charges",
    "dispute": "disputes",
    "checkout.session": "checkout/sessions",
}

WAITING: Final = text(
    """
    SELECT id, payload FROM stripe_events
    WHERE status = 'parked' AND type LIKE 'v1.%' ORDER BY created_at DESC, id LIMIT :limit
    """
)
FILL: Final = text(
    """
    UPDATE stripe_events SET type = :type, payload = :payload, reason = :reason, object_id = :object_id,
           stripe_customer_id = :customer, stripe_subscription_id = :subscription, stripe_charge_id = :charge,
           claims = CAST(:claims AS uuid[])
    WHERE id = :id AND status = 'parked' AND type LIKE 'v1.%'
    """
)
GIVE_UP: Final = text(
    "UPDATE stripe_events SET status = 'quarantined', reason = :reason "
    "WHERE id = :id AND status = 'parked' AND type LIKE 'v1.%'"
)


def as_event(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a notification in the shape of an event whose object is only named; anything else as it is."""
    if document.get("object") != OBJECT:
        return document
    related = document.get("related_object")
    return {
        "id": document.get("id"),
        "type": document.get("type"),
        "created": _seconds(document.get("created")),
        "livemode": document.get("livemode"),
        "data": {"object": related if isinstance(related, dict) else {}},
    }


def filled(payload: str, found: Mapping[str, Any], version: str) -> bytes:
    """Return the whole event of a notification, with the object that was fetched."""
    thin = as_event(json.loads(payload))
    whole = {
        **thin,
        "object": "event",
        "type": str(thin["type"]).removeprefix(PREFIX),
        "api_version": version,
        "data": {"object": found},
    }
    return json.dumps(whole, separators=(",", ":")).encode()


def waiting(conn: Connection, limit: int) -> Sequence[tuple[str, str]]:
    """Return id and payload of notifications whose object is to be fetched, the newest first."""
    return [(row.id, row.payload) for row in conn.execute(WAITING, {"limit": limit})]


def _seconds(value: object) -> object:
    """Return an instant as seconds since 1970; what is none is left for the reader of events to refuse."""
    if not isinstance(value, str):
        return value
    try:
        return int(datetime.fromisoformat(value).timestamp())
    except (ValueError, OverflowError):
        return value
