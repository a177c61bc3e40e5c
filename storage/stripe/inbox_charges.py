"""Whose a dispute is: it names a charge and nobody else, so charges are remembered with their customers.

Either may come first. A dispute whose charge is not known yet is parked, and taken when its charge is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import psycopg

from storage.ledger_write import arrays
from storage.stripe.event import StripeEvent
from storage.stripe.event_disputes import ChargeSeen, DisputeSeen

CHARGE_COLUMNS: Final = (
    ("id", "text"), ("stripe_customer_id", "text"), ("amount_cents", "bigint"), ("refunded_cents", "bigint"),
    ("currency", "text"),
)  # fmt: skip
_NAMES: Final = ", ".join(name for name, _ in CHARGE_COLUMNS)
_ARRAYS: Final = ", ".join(f"%({name})s::{kind}[]" for name, kind in CHARGE_COLUMNS)
CUSTOMERS: Final = "SELECT id, stripe_customer_id FROM charges WHERE id = ANY(%s)"
# What was given back only grows, whatever order the events come in.
WRITE_CHARGES: Final = f"""
INSERT INTO charges ({_NAMES}) SELECT * FROM unnest({_ARRAYS}) AS n({_NAMES})
ON CONFLICT (id) DO UPDATE SET refunded_cents = GREATEST(charges.refunded_cents, excluded.refunded_cents)
"""
PARKED_OF_CHARGES: Final = """
SELECT payload FROM stripe_events
WHERE status = 'parked' AND stripe_charge_id = ANY(%s) AND type LIKE 'charge.dispute.%%'
ORDER BY created_at, id LIMIT %s
"""
# Charges of parked disputes that nobody knows; Stripe can be asked whose they are.
UNKNOWN_CHARGES: Final = """
SELECT DISTINCT stripe_charge_id FROM stripe_events e
WHERE status = 'parked' AND type LIKE 'charge.dispute.%%'
  AND NOT EXISTS (SELECT FROM charges c WHERE c.id = e.stripe_charge_id) AND stripe_charge_id <> ALL(%s)
ORDER BY stripe_charge_id LIMIT %s
"""


def unknown_charges(pg: psycopg.Connection[Any], *, limit: int, but: list[str]) -> list[str]:
    """Return charges that disputes wait for, without those that were asked for in vain a moment ago."""
    return [charge_id for (charge_id,) in pg.execute(UNKNOWN_CHARGES, [but, limit])]


def with_customers(pg: psycopg.Connection[Any], events: Sequence[StripeEvent]) -> list[StripeEvent]:
    """Return the events, disputes with the customer of their charge where it is known by now."""
    wanted = {event.about.charge_id for event in events if _lacks_customer(event)}
    if not wanted:
        return list(events)
    known: dict[str, str] = dict(pg.execute(CUSTOMERS, [sorted(filter(None, wanted))]).fetchall())
    for charge in charges_of(events):
        known[charge.id] = charge.customer_id or ""
    return [_named(event, known) if _lacks_customer(event) else event for event in events]


def _lacks_customer(event: StripeEvent) -> bool:
    return isinstance(event.subject, DisputeSeen) and event.about.customer_id is None


def _named(event: StripeEvent, known: dict[str, str]) -> StripeEvent:
    customer_id = known.get(event.about.charge_id or "")
    return replace(event, about=replace(event.about, customer_id=customer_id)) if customer_id else event


def charges_of(events: Iterable[StripeEvent]) -> list[ChargeSeen]:
    """Return what is remembered of the charges in these events: those that have a customer."""
    seen = (event.subject for event in events)
    return [subject for subject in seen if isinstance(subject, ChargeSeen) and subject.customer_id]


def remember(pg: psycopg.Connection[Any], seen: Iterable[ChargeSeen]) -> None:
    """Write charges down, in the order of their ids: two groups with the same ones never wait crosswise."""
    by_id: dict[str, ChargeSeen] = {}
    for charge in seen:
        before = by_id.get(charge.id)
        if before is None or charge.refunded_cents > before.refunded_cents:
            by_id[charge.id] = charge
    rows = [
        (each.id, each.customer_id, each.amount_cents, each.refunded_cents, each.currency)
        for _, each in sorted(by_id.items())
    ]
    if rows:
        pg.execute(WRITE_CHARGES, arrays(CHARGE_COLUMNS, rows))
