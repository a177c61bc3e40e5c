"""Writes down what Stripe answered when it was asked: the same mirror and the same rules as for events.

A fetch is one more sighting of each object, as of when it began. Only a complete answer makes a standing fresh.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy, Value
from engine.model_permits import PermitKind
from storage import clock
from storage.audit import AuditNote
from storage.database import raw
from storage.errors import UnknownAccount
from storage.gather import World
from storage.leases import Fence
from storage.ledger import record_many
from storage.stripe.event import InvoiceSeen, Mirrored, StripeEvent
from storage.stripe.event_disputes import DisputeSeen
from storage.stripe.event_fields import About
from storage.stripe.evidence import Sought, lock_and_read
from storage.stripe.evidence_mirror import Sighting, fetched_at
from storage.stripe.evidence_standing import Standing
from storage.stripe.inbox_owners import owner_of

ACTOR: Final = "stripe"
STANDING: Final = "standing"
# A late account is asked about now and then even while nothing is due: the webhook of its payment may have been lost.
LATE_EVERY: Final = timedelta(hours=1)

# What waits for an answer is looked at again within a minute (`storage.ledger_batch.LOOK_AGAIN`), so the index that the
# sweep reads finds it.
SOON: Final = timedelta(minutes=2)

WAITING: Final = text("""
SELECT id FROM accounts
WHERE due_at IS NOT NULL AND GREATEST(due_at, held_until) <= :soon AND due_at <= :now
  AND waiting @> ANY(CAST(:permits AS jsonb[])) AND (standing_fetched_at IS NULL OR standing_fetched_at <= :stale)
ORDER BY due_at, id LIMIT :limit
""")
# Reads every account, so it is asked once a minute at most.
LATE: Final = text("""
SELECT id FROM accounts
WHERE billing_status <> 'active' AND (standing_fetched_at IS NULL OR standing_fetched_at <= :stale)
ORDER BY standing_fetched_at NULLS FIRST, id LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Asking:
    """What Stripe has to be asked about one account, and since when the answer counts."""

    account_id: UUID
    customers: tuple[str, ...]
    subscription_id: str | None
    owed_invoices: tuple[str, ...]
    """Invoices that the mirror holds to be owed: an answer without them is not complete."""
    began_at: datetime
    disputes: tuple[str, ...] = ()
    """Disputes that the mirror holds to be open or lost; no list of Stripe's is narrowed to a customer's."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A complete answer."""

    asking: Asking
    objects: tuple[tuple[About, Mirrored], ...]


def waiting_accounts(conn: Connection, policy: Policy, limit: int) -> list[UUID]:
    """Find accounts with a due rule that waits for a fresh standing, the longest due first."""
    now = clock.now(conn)
    permits = [each for each in policy.permits.values() if each.kind is PermitKind.SERVICE and each.service == STANDING]
    if not permits:
        return []
    ages = [permit.younger_than for permit in permits if permit.younger_than is not None]
    given = {
        "now": now,
        "soon": now + SOON,
        "stale": now - min(ages, default=timedelta(0)),
        "permits": [f'[{{"permit": "{permit.name}"}}]' for permit in permits],
        "limit": limit,
    }
    return list(conn.execute(WAITING, given).scalars())


def late_accounts(conn: Connection, limit: int) -> list[UUID]:
    """Find late accounts that Stripe was not asked about for an hour: a webhook of theirs may have been lost."""
    stale = clock.now(conn) - LATE_EVERY
    return list(conn.execute(LATE, {"stale": stale, "limit": limit}).scalars())


def asking_about(conn: Connection, policy: Policy, account_id: UUID) -> Asking:
    """Return what to ask about an account. Raises UnknownAccount."""
    find = text("SELECT stripe_customer_id, stripe_subscription_id FROM accounts WHERE id = :id")
    row = conn.execute(find, {"id": account_id}).one_or_none()
    if row is None:
        raise UnknownAccount(account_id)
    customers = conn.execute(
        text(
            "SELECT DISTINCT stripe_customer_id FROM subscriptions WHERE account_id = :id AND stripe_customer_id <> ''"
        ),
        {"id": account_id},
    ).scalars()
    owed = conn.execute(
        text(
            "SELECT id FROM stripe_invoices "
            "WHERE account_id = :id AND status = ANY(:owed) AND amount_remaining_cents > 0"
        ),
        {"id": account_id, "owed": list(policy.standing.owed_invoice_statuses)},
    ).scalars()
    statuses = [*policy.standing.open_dispute_statuses, *policy.standing.lost_dispute_statuses]
    disputed = conn.execute(
        text("SELECT id FROM disputes WHERE account_id = :id AND settled_at IS NULL AND status = ANY(:statuses)"),
        {"id": account_id, "statuses": statuses},
    ).scalars()
    # Whoever has no customer there is not asked about as nobody: that would list everybody's.
    names = tuple(dict.fromkeys(name for name in (row[0], *sorted(customers)) if name))
    return Asking(account_id, names, row[1], tuple(sorted(owed)), clock.now(conn), tuple(sorted(disputed)))


def record_fetched(
    conn: Connection, policy: Policy, fetched: Fetched, *, world: World, fence: Fence | None = None
) -> frozenset[UUID]:
    """Fold a complete answer into the mirror, mark the standing fresh, and decide, in one transaction.

    Returns the accounts whose standing is another than was known. Objects of the same Stripe customer that are another
    account's count there. Raises OwnerMoved and FenceLost.
    """
    asking = fetched.asking
    abouts = [about for about, _ in fetched.objects]
    mirror = lock_and_read(
        raw(conn),
        policy,
        Sought(
            customers=frozenset(asking.customers),
            subscriptions=frozenset(about.subscription_id for about in abouts if about.subscription_id),
            claims=frozenset({asking.account_id, *(claim for about in abouts for claim in about.claims)}),
            invoices=frozenset(subject.id for _, subject in fetched.objects if isinstance(subject, InvoiceSeen)),
            disputes=frozenset(subject.id for _, subject in fetched.objects if isinstance(subject, DisputeSeen)),
        ),
    )
    before = {account_id: mirror.standing(account_id) for account_id in mirror.accounts}
    for about, subject in fetched.objects:
        owner = owner_of(mirror, _as_event(about, subject, asking.began_at))
        for account_id in owner.accounts:
            mirror.see(Sighting(account_id, fetched_at(subject, asking.began_at), "", about, subject))
    account = mirror.accounts[asking.account_id]
    if account.standing_fetched_at is None or account.standing_fetched_at < asking.began_at:
        account.standing_fetched_at = asking.began_at
    mirror.touched[asking.account_id] = None
    standings = mirror.write(raw(conn))
    # An answer that says what is known already leaves no line: late accounts are asked about every hour.
    notes = {
        account_id: _note(standing) for account_id, standing in standings.items() if standing != before[account_id]
    }
    record_many(conn, policy, sorted(mirror.touched), actor=ACTOR, evidence=notes, fence=fence, world=world)
    return frozenset(notes)


def _note(standing: Standing) -> AuditNote:
    facts: dict[str, Value] = {
        "overdue_invoices": standing.overdue_invoices,
        "past_due_since": standing.past_due_since,
        "subscription": standing.subscription_status,
        "plan": standing.plan,
        **standing.rare,
    }
    return AuditNote("evidence", "standing_fetched", ACTOR, because="Stripe was asked", facts=facts)


def _as_event(about: About, subject: Mirrored, at: datetime) -> StripeEvent:
    """Ask for the owner of a fetched object as if an event had shown it."""
    return StripeEvent("", "", at, None, None, "", subject.id, about, subject)
