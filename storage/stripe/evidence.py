"""Keeps the mirror of Stripe and the standing columns of accounts: read under lock, fold, write back.

Which row follows from which sightings is `storage.stripe.evidence_mirror`'s, which standing from which rows
`storage.stripe.evidence_standing`'s. Here is PostgreSQL, in few round trips, because every webhook passes through.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import attrgetter
from typing import Any, Final
from uuid import UUID

import psycopg

from engine.model import OVERDUE, Policy, Value
from storage.errors import StorageError
from storage.ledger_write import arrays
from storage.stripe.event import InvoiceSeen
from storage.stripe.event_disputes import DisputeSeen
from storage.stripe.evidence_disputes import (
    DISPUTE_COLUMNS,
    DISPUTE_VALUES,
    READ_DISPUTES,
    WRITE_DISPUTES,
    DisputeRow,
    fold_dispute,
)
from storage.stripe.evidence_mirror import (
    InvoiceRow,
    Sighting,
    SubscriptionRow,
    contradict,
    fold_invoice,
    fold_subscription,
    unseen_subscription,
)
from storage.stripe.evidence_standing import Standing, standing_of

INVOICE_COLUMNS: Final = (
    ("id", "text"), ("account_id", "uuid"), ("stripe_customer_id", "text"), ("stripe_subscription_id", "text"),
    ("status", "text"), ("number", "text"), ("amount_remaining_cents", "bigint"), ("currency", "text"),
    ("first_failed_at", "timestamptz"),
    ("hosted_invoice_url", "text"), ("evidence_at", "timestamptz"), ("evidence_event_id", "text"),
    ("settles_dispute", "text"), ("confirmation_asked_at", "timestamptz"),
)  # fmt: skip
SUBSCRIPTION_COLUMNS: Final = (
    "id", "account_id", "stripe_customer_id", "status", "prices", "plan_name", "known_plan", "known_plan_at",
    "known_plan_event_id", "started_at", "ended_at", "current_period_end", "evidence_at", "evidence_event_id",
    "not_late_at", "late_statuses", "trial_ends_at", "pause", "resumes_at",
)  # fmt: skip
STANDING_COLUMNS: Final = (
    ("id", "uuid"), ("stripe_subscription_id", "text"), ("subscription_status", "text"), ("plan", "text"),
    ("has_active_plan", "boolean"), ("overdue_invoices", "bigint"), ("past_due_since", "timestamptz"),
    ("subscription_ended_at", "timestamptz"), ("last_billing_event_at", "timestamptz"),
    ("last_stripe_event_id", "text"), ("standing_fetched_at", "timestamptz"),
    ("rare_facts", "jsonb"),
)  # fmt: skip


_INVOICE_VALUES: Final = attrgetter(*(name for name, _ in INVOICE_COLUMNS))
_SUBSCRIPTION_VALUES: Final = attrgetter(*SUBSCRIPTION_COLUMNS)


def _names(columns: Iterable[tuple[str, str]]) -> str:
    return ", ".join(name for name, _ in columns)


def _unnest(columns: Sequence[tuple[str, str]]) -> str:
    return f"unnest({', '.join(f'%({name})s::{kind}[]' for name, kind in columns)}) AS n({_names(columns)})"


# Every account that the evidence may concern, so that who owns it is decided under the lock. Sorted: two groups that
# share accounts wait for each other instead of deadlocking. The subselects are indexed one by one.
LOCK: Final = """
SELECT id, customer_id, stripe_customer_id, stripe_subscription_id, plan, has_active_plan, last_billing_event_at,
       last_stripe_event_id, standing_fetched_at
FROM accounts WHERE id IN (
    SELECT id FROM accounts WHERE stripe_customer_id = ANY(%(customers)s)
    UNION SELECT id FROM accounts WHERE stripe_subscription_id = ANY(%(subscriptions)s)
    UNION SELECT id FROM accounts WHERE id = ANY(%(claims)s)
    UNION SELECT id FROM accounts WHERE customer_id = ANY(%(claims)s)
    UNION SELECT account_id FROM subscriptions WHERE id = ANY(%(subscriptions)s)
    UNION SELECT account_id FROM subscriptions WHERE stripe_customer_id = ANY(%(customers)s)
    UNION SELECT account_id FROM stripe_invoices WHERE id = ANY(%(invoices)s)
    UNION SELECT account_id FROM disputes WHERE id = ANY(%(disputes)s)
) ORDER BY id FOR NO KEY UPDATE
"""
READ_INVOICES: Final = f"""
SELECT {_names(INVOICE_COLUMNS)} FROM stripe_invoices
WHERE account_id = ANY(%(accounts)s)
  AND (id = ANY(%(invoices)s) OR status = ANY(%(owed)s) OR settles_dispute IS NOT NULL)
"""
# Since when invoices that we issued ourselves are overdue: as much evidence as Stripe's. Where they stand is
# `storage.ledger_invoices`', which lets accounts be decided anew when that changes.
READ_OURS: Final = (
    "SELECT b.account_id, s.state_since FROM invoice_accounts b JOIN invoice_states s ON s.invoice_id = b.invoice_id "
    f"WHERE b.account_id = ANY(%(accounts)s) AND s.state = '{OVERDUE}'"
)
READ_SUBSCRIPTIONS: Final = (
    f"SELECT {', '.join(SUBSCRIPTION_COLUMNS)} FROM subscriptions WHERE account_id = ANY(%(accounts)s)"
)
WRITE_INVOICES: Final = f"""
INSERT INTO stripe_invoices ({_names(INVOICE_COLUMNS)}) SELECT * FROM {_unnest(INVOICE_COLUMNS)}
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name, _ in INVOICE_COLUMNS[2:])}
WHERE stripe_invoices.account_id = excluded.account_id
"""
WRITE_SUBSCRIPTION: Final = f"""
INSERT INTO subscriptions ({", ".join(SUBSCRIPTION_COLUMNS)}) VALUES ({", ".join(["%s"] * len(SUBSCRIPTION_COLUMNS))})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in SUBSCRIPTION_COLUMNS[2:])}
WHERE subscriptions.account_id = excluded.account_id
"""
WRITE_STANDING: Final = f"""
UPDATE accounts a SET {", ".join(f"{name} = n.{name}" for name, _ in STANDING_COLUMNS[1:])}
FROM {_unnest(STANDING_COLUMNS)} WHERE a.id = n.id
"""
ADOPT_SUBSCRIPTION: Final = "UPDATE subscriptions SET account_id = %s WHERE id = %s"
ADOPT_INVOICES: Final = (
    "UPDATE stripe_invoices SET account_id = %s WHERE stripe_subscription_id = %s AND account_id = ANY(%s)"
)


class OwnerMoved(StorageError):
    """A row of the mirror changed hands while it was looked up; trying again finds its owner."""

    def __init__(self, object_id: str) -> None:
        self.object_id = object_id
        super().__init__(f"`{object_id}` changed hands meanwhile; nothing was written, try again")


@dataclass(frozen=True, slots=True)
class Sought:
    """What the accounts to lock are found by."""

    customers: frozenset[str] = frozenset()
    subscriptions: frozenset[str] = frozenset()
    claims: frozenset[UUID] = frozenset()
    invoices: frozenset[str] = frozenset()
    disputes: frozenset[str] = frozenset()


@dataclass(slots=True)
class AccountRow:
    """The columns of one locked account that evidence reads or writes."""

    id: UUID
    customer_id: UUID
    stripe_customer_id: str
    stripe_subscription_id: str | None
    plan: str | None
    has_active_plan: bool
    last_billing_event_at: datetime | None
    last_stripe_event_id: str | None
    standing_fetched_at: datetime | None


@dataclass(slots=True)
class Mirror:
    """The locked accounts and their mirrored objects as read under the lock, then as folded. Changed in place."""

    policy: Policy
    accounts: dict[UUID, AccountRow] = field(default_factory=dict)
    invoices: dict[str, InvoiceRow] = field(default_factory=dict)
    subscriptions: dict[str, SubscriptionRow] = field(default_factory=dict)
    disputes: dict[str, DisputeRow] = field(default_factory=dict)
    ours_overdue: list[tuple[UUID, datetime]] = field(default_factory=list)
    touched: dict[UUID, None] = field(default_factory=dict)
    adopted: dict[str, UUID] = field(default_factory=dict)
    undecided: set[UUID] = field(default_factory=set)
    _standing_rows: list[tuple[Any, ...]] = field(default_factory=list)
    _sent: list[tuple[str, int, psycopg.Cursor[Any]]] = field(default_factory=list)
    _changed_invoices: set[str] = field(default_factory=set)
    _changed_subscriptions: set[str] = field(default_factory=set)
    _changed_disputes: set[str] = field(default_factory=set)

    def see(self, sighting: Sighting) -> None:
        """Fold one sighting into its row. The account that owns the row is locked."""
        self.touched[sighting.account_id] = None
        object_id = sighting.subject.id
        before: InvoiceRow | SubscriptionRow | None
        if isinstance(sighting.subject, DisputeSeen):
            self._see_dispute(object_id, sighting)
            return
        if isinstance(sighting.subject, InvoiceSeen):
            before = self.invoices.get(object_id)
            invoice = self.invoices[object_id] = fold_invoice(before, sighting)
            if invoice != before:
                self._changed_invoices.add(object_id)
        else:
            before = self.subscriptions.get(object_id)
            subscription = fold_subscription(before, sighting, self.policy.standing)
            self.subscriptions[object_id] = subscription
            if subscription != before:
                self._changed_subscriptions.add(object_id)
        if before is not None and contradict(before, sighting):
            self.undecided.add(sighting.account_id)

    def _see_dispute(self, dispute_id: str, sighting: Sighting) -> None:
        before = self.disputes.get(dispute_id)
        dispute = self.disputes[dispute_id] = fold_dispute(before, sighting)
        if dispute != before:
            self._changed_disputes.add(dispute_id)

    def credit(self, account_id: UUID, at: datetime, event_id: str) -> None:
        """Note an event on its account; the newest one shows, whichever came last."""
        self.touched[account_id] = None
        account = self.accounts[account_id]
        newest = account.last_billing_event_at
        if newest is None or (at, event_id) > (newest, account.last_stripe_event_id or ""):
            account.last_billing_event_at, account.last_stripe_event_id = at, event_id

    def adopt(self, subscription_id: str, account_id: UUID) -> None:
        """Give a subscription and its invoices to the account that is now known to be theirs."""
        row = self.subscriptions.get(subscription_id)
        theirs = [x for x in self.invoices.values() if x.stripe_subscription_id == subscription_id]
        former = {x.account_id for x in (row, *theirs) if x is not None} - {account_id}
        if not former:
            return
        self.adopted[subscription_id] = account_id
        self.touched.update(dict.fromkeys((account_id, *sorted(former))))
        if row is not None:
            self.subscriptions[subscription_id] = replace(row, account_id=account_id)
        for invoice in theirs:
            self.invoices[invoice.id] = replace(invoice, account_id=account_id)

    def put_unseen(self, subscription_id: str, account_id: UUID, customer_id: str | None) -> None:
        """Add a subscription that nothing but its owner is known of; any evidence is newer."""
        self.subscriptions[subscription_id] = unseen_subscription(subscription_id, account_id, customer_id)
        self._changed_subscriptions.add(subscription_id)

    def standing(self, account_id: UUID) -> Standing:
        """Return what follows for an account."""
        return standing_of(
            self.policy.standing,
            self.accounts[account_id].stripe_subscription_id,
            [row for row in self.invoices.values() if row.account_id == account_id],
            [row for row in self.subscriptions.values() if row.account_id == account_id],
            [row for row in self.disputes.values() if row.account_id == account_id],
            ours_overdue=[since for owner, since in self.ours_overdue if owner == account_id],
        )

    def settle(self) -> dict[UUID, Standing]:
        """Return the standing that follows for every account that was touched. Nothing may be folded after it."""
        standings = {account_id: self.standing(account_id) for account_id in self.touched}
        self._standing_rows = [self._standing_values(*each) for each in standings.items()]
        return standings

    def send(self, pg: psycopg.Connection[Any]) -> None:
        """Send what changed, within a pipeline of the caller's; `check` after its end."""
        for subscription_id, account_id in self.adopted.items():
            pg.execute(ADOPT_SUBSCRIPTION, [account_id, subscription_id])
            pg.execute(ADOPT_INVOICES, [account_id, subscription_id, list(self.accounts)])
        for subscription_id in sorted(self._changed_subscriptions):
            values = _subscription_values(self.subscriptions[subscription_id])
            self._sent.append((subscription_id, 1, pg.execute(WRITE_SUBSCRIPTION, values)))
        invoices = [self.invoices[object_id] for object_id in sorted(self._changed_invoices)]
        if invoices:
            given = arrays(INVOICE_COLUMNS, [_INVOICE_VALUES(row) for row in invoices])
            self._sent.append((invoices[0].id, len(invoices), pg.execute(WRITE_INVOICES, given)))
        disputes = [self.disputes[object_id] for object_id in sorted(self._changed_disputes)]
        if disputes:
            given = arrays(DISPUTE_COLUMNS, [DISPUTE_VALUES(row) for row in disputes])
            self._sent.append((disputes[0].id, len(disputes), pg.execute(WRITE_DISPUTES, given)))
        if self._standing_rows:
            pg.execute(WRITE_STANDING, arrays(STANDING_COLUMNS, self._standing_rows))

    def check(self) -> None:
        """Make sure that every row was written. Raises OwnerMoved."""
        for object_id, rows, cursor in self._sent:
            if cursor.rowcount != rows:
                raise OwnerMoved(object_id)

    def write(self, pg: psycopg.Connection[Any]) -> dict[UUID, Standing]:
        """Settle, send and check by itself."""
        standings = self.settle()
        with pg.pipeline():
            self.send(pg)
        self.check()
        return standings

    def _standing_values(self, account_id: UUID, standing: Standing) -> tuple[Any, ...]:
        account = self.accounts[account_id]
        account.plan = standing.plan or account.plan
        if standing.has_active_plan is not None:
            account.has_active_plan = standing.has_active_plan
        return (
            account_id,
            account.stripe_subscription_id,
            standing.subscription_status,
            account.plan,
            account.has_active_plan,
            standing.overdue_invoices,
            standing.past_due_since,
            standing.subscription_ended_at,
            account.last_billing_event_at,
            account.last_stripe_event_id,
            account.standing_fetched_at,
            json.dumps(standing.rare, default=_written),
        )


def lock_and_read(
    pg: psycopg.Connection[Any], policy: Policy, sought: Sought, *, more: Sequence[Question] = ()
) -> Mirror:
    """Lock every account that may be concerned, then read what is mirrored of them, in two round trips.

    more: further questions that are asked after the lock, in the second round trip.
    """
    invoices = list(sought.invoices)
    given = {
        "customers": list(sought.customers),
        "subscriptions": list(sought.subscriptions),
        "claims": list(sought.claims),
        "invoices": invoices,
        "disputes": list(sought.disputes),
    }
    with pg.pipeline():  # so that BEGIN goes along with it
        found = pg.execute(LOCK, given)
    mirror = Mirror(policy, {row[0]: AccountRow(*row) for row in found})
    read(pg, mirror, invoices, more=more)
    return mirror


def read(pg: psycopg.Connection[Any], mirror: Mirror, invoices: list[str], *, more: Sequence[Question] = ()) -> None:
    """Fill the mirror of accounts that are locked already: what is owed, the invoices named, all else."""
    owed = list(mirror.policy.standing.owed_invoice_statuses)
    given = {"accounts": list(mirror.accounts), "invoices": invoices, "owed": owed}
    with pg.pipeline():
        for question in more:
            question.ask(pg)
        if mirror.accounts:
            seen_invoices = pg.execute(READ_INVOICES, given)
            seen_subscriptions = pg.execute(READ_SUBSCRIPTIONS, given)
            seen_disputes = pg.execute(READ_DISPUTES, given)
            ours = pg.execute(READ_OURS, given)
    if mirror.accounts:
        mirror.invoices = {row[0]: InvoiceRow(*row) for row in seen_invoices}
        mirror.subscriptions = {row[0]: _subscription_row(row) for row in seen_subscriptions}
        mirror.disputes = {row[0]: DisputeRow(*row) for row in seen_disputes}
        mirror.ours_overdue = list(ours)


@dataclass(slots=True)
class Question:
    """A statement that rides in somebody else's round trip."""

    statement: str
    given: Mapping[str, Any]
    answer: psycopg.Cursor[Any] | None = None

    def ask(self, pg: psycopg.Connection[Any]) -> None:
        """Send it."""
        self.answer = pg.execute(self.statement, self.given)

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what came back."""
        assert self.answer is not None
        return self.answer.fetchall()


def _written(value: Value) -> str:
    assert isinstance(value, datetime)
    return value.isoformat()


def _subscription_row(row: tuple[Any, ...]) -> SubscriptionRow:
    values = list(row)
    values[4] = tuple(values[4])
    return SubscriptionRow(*values)


def _subscription_values(row: SubscriptionRow) -> list[Any]:
    values = list(_SUBSCRIPTION_VALUES(row))
    values[4], values[15] = list(row.prices), json.dumps(dict(row.late_statuses))
    return values
