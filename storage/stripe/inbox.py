"""Takes Stripe events in: event rows, the mirror, standing, decisions, audit and intents in one transaction.

A group of events is one transaction of the caller's, and a duplicate changes nothing. What cannot be placed is parked
and taken when its account becomes known; what cannot be understood is quarantined. Both are kept and shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from engine.model import Policy
from storage import policies
from storage.database import raw
from storage.errors import NoPolicy
from storage.stripe.event import StripeEvent
from storage.stripe.inbox_group import PARKED_AT_ONCE, Group, Taken, TakenMeanwhile, Terms, read_again

__all__ = ["Taken", "TakenMeanwhile", "Terms", "retry_parked", "take", "unpark"]

PARKED_OF_KNOWN: Final = """
SELECT payload FROM stripe_events e WHERE status = 'parked' AND received_at >= %(since)s AND type NOT LIKE 'v1.%%' AND (
    EXISTS (SELECT FROM accounts a WHERE a.stripe_subscription_id = e.stripe_subscription_id)
    OR EXISTS (SELECT FROM subscriptions s WHERE s.id = e.stripe_subscription_id)
    OR EXISTS (SELECT FROM stripe_invoices i WHERE i.id = e.object_id)
    OR EXISTS (SELECT FROM disputes d WHERE d.id = e.object_id)
    OR EXISTS (SELECT FROM accounts a WHERE a.id = ANY(e.claims))
    OR (SELECT count(*) FROM accounts a WHERE a.customer_id = ANY(e.claims)) = 1
    OR (SELECT count(*) FROM accounts a WHERE a.stripe_customer_id = e.stripe_customer_id) = 1
    OR (SELECT count(*) FROM accounts a JOIN charges c USING (stripe_customer_id) WHERE c.id = e.stripe_charge_id) = 1
    OR e.type = 'customer.deleted' AND EXISTS (SELECT FROM accounts a WHERE a.stripe_customer_id = e.stripe_customer_id)
) ORDER BY created_at, id LIMIT %(limit)s
"""


def take(conn: Connection, policy: Policy, events: Sequence[StripeEvent], *, terms: Terms) -> list[Taken]:
    """Take a group of events in, in the order given; all of it or nothing.

    conn: inside a transaction with nothing locked yet. Raises OwnerMoved and TakenMeanwhile, which trying again cures.
    """
    return Group(conn, policy, terms).take(events)


def unpark(conn: Connection, account_id: UUID, *, terms: Terms, policy: Policy | None = None) -> list[Taken]:
    """Take what waited for an account to become known, and what other accounts hold of its subscription."""
    try:
        policy = policy or policies.in_force(conn)
    except NoPolicy:
        return []
    return Group(conn, policy, terms).welcome(account_id)


def retry_parked(
    conn: Connection,
    policy: Policy,
    *,
    terms: Terms,
    since: datetime | None = None,
    limit: int = PARKED_AT_ONCE,
) -> list[Taken]:
    """Take parked events whose account has become known in the meantime; since: only those received after it.

    An account that was made in the very moment in which its event was parked is found here.
    """
    given = {"since": since or "-infinity", "limit": limit}
    events = read_again(raw(conn).execute(PARKED_OF_KNOWN, given))
    taken = take(conn, policy, events, terms=terms) if events else []
    return [each for each in taken if each.status == "applied"]
