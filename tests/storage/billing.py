"""A deployment of one test: a migrated database, a policy, customers with accounts, and events that come in."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import text

from engine.load import load_policy
from engine.model import Policy
from storage.accounts import create_account, create_customer
from storage.database import Database
from storage.settings import SHIPPED_POLICY, Settings
from storage.stripe.event import StripeEvent, parse
from storage.stripe.inbox import Taken, Terms, take
from tests.doubles import stripe as double

CREATED = 1_780_000_000
STANDING_FIELDS = (
    "subscription_status, plan, has_active_plan, overdue_invoices, past_due_since, subscription_ended_at, "
    "last_billing_event_at, last_stripe_event_id, billing_status"
)
_numbers = itertools.count(1)


@cache
def billing_policy() -> Policy:
    """Return the policy that ships."""
    return load_policy(SHIPPED_POLICY)


def read(event: Mapping[str, Any]) -> StripeEvent:
    """Parse an event as it would come in."""
    return parse(double.body_of(event))


def at(seconds: int) -> datetime:
    """Return an event's `created` as an instant."""
    return datetime.fromtimestamp(seconds, UTC)


def failed(invoice: str = "in_1", created: int = CREATED, **more: Any) -> double.Event:
    """Return a failed payment."""
    return double.invoice_event("payment_failed", invoice, created=created, **more)


def paid(invoice: str = "in_1", created: int = CREATED + 100, **more: Any) -> double.Event:
    """Return the payment of the same invoice."""
    return double.invoice_event("paid", invoice, created=created, **more)


@dataclass
class Billing:
    """What a test talks to."""

    url: str
    policy: Policy = field(default_factory=billing_policy)
    terms: Terms = field(default_factory=Terms)

    def __post_init__(self) -> None:
        self.database = Database(Settings(database_url=self.url))

    def customer(self) -> UUID:
        """Make a customer."""
        number = next(_numbers)
        with self.database.begin() as conn:
            return create_customer(conn, f"c{number}@example.org", f"Customer {number}").id

    def account(
        self,
        stripe_customer: str = "cus_1",
        *,
        customer: UUID | None = None,
        subscription: str | None = None,
        plan: str = "game",
    ) -> UUID:
        """Make an account."""
        owner = customer or self.customer()
        with self.database.begin() as conn:
            return create_account(
                conn,
                self.policy,
                owner,
                stripe_customer_id=stripe_customer,
                plan=plan,
                stripe_subscription_id=subscription,
            )

    def take(self, *events: Mapping[str, Any]) -> list[Taken]:
        """Take events in as one group."""
        with self.database.begin() as conn:
            return take(conn, self.policy, [read(event) for event in events], terms=self.terms)

    def statuses(self, *events: Mapping[str, Any]) -> list[str]:
        """Take events in as one group; return what became of each."""
        return [taken.status for taken in self.take(*events)]

    def view(self, account_id: UUID) -> dict[str, Any]:
        """Return an account's standing and state."""
        return dict(self.rows(f"SELECT {STANDING_FIELDS} FROM accounts WHERE id = :id", id=account_id)[0])

    def rows(self, statement: str, **given: Any) -> Sequence[Mapping[str, Any]]:
        """Run a query."""
        with self.database.begin() as conn:
            return [dict(row) for row in conn.execute(text(statement), given).mappings()]

    def count(self, table: str) -> int:
        """Count a table's rows."""
        return int(self.rows(f"SELECT count(*) AS n FROM {table}")[0]["n"])

    def trace(self) -> dict[str, Any]:
        """Return everything that events may change, to compare before and after."""
        mirror = ("stripe_invoices", "subscriptions", "stripe_events")
        tables = ("accounts", *mirror, "intents", "audit", "alerts", "servers")
        return {table: sorted(map(str, self.rows(f"SELECT * FROM {table}"))) for table in tables}
