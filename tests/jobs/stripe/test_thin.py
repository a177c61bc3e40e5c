"""Thin notifications: kept until their object was fetched, then taken as the whole events that they stand for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from uuid import UUID

import pytest

from jobs.stripe.thin import PAUSE_SECONDS, ThinFetcher
from storage import leases
from storage.errors import FenceLost
from storage.gather import World
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe.inbox import retry_parked
from tests.doubles import stripe as shapes
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.storage.billing import CREATED, Billing


@dataclass
class Shop:
    """A deployment that takes notifications, and Stripe."""

    billing: Billing
    stripe: StripeDouble
    fetcher: ThinFetcher
    fence: Fence
    beats: list[float]

    def run(self) -> int:
        """Let it look once."""
        return self.fetcher.run(self.billing.policy, self.fence)

    def know(self, **objects: dict[str, object]) -> None:
        """Let Stripe know objects, by their ids."""
        self.stripe.books.objects.update(objects)

    def events(self) -> list[tuple[str, str]]:
        """Return type and status of every event, the oldest first."""
        rows = self.billing.rows("SELECT type, status FROM stripe_events ORDER BY created_at, id")
        return [(row["type"], row["status"]) for row in rows]


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    billing = Billing(database_url)
    billing.terms = replace(billing.terms, world=World(stripe_key=True))
    with StripeDouble() as stripe:
        settings = Settings(database_url=database_url, stripe_api_key=KEY, stripe_api_base=stripe.url)
        with billing.database.begin() as conn:
            fence = leases.acquire(conn, "controller", "test", 600)
        assert fence is not None
        beats = [0.0]
        yield Shop(billing, stripe, ThinFetcher(settings, billing.database, clock=lambda: beats[0]), fence, beats)
    billing.database.close()


def failed(created: int = CREATED, **more: str) -> shapes.Event:
    return shapes.notification("v1.invoice.payment_failed", "in_1", "invoice", created=created, **more)  # type: ignore[arg-type]


def late(shop: Shop) -> UUID:
    account = shop.billing.account("cus_1")
    shop.know(in_1=shapes.invoice("in_1"))
    assert shop.billing.statuses(failed(event_id="evt_1")) == ["parked"]
    return account


def test_what_is_named_is_fetched_and_taken_as_a_whole_event_once(shop: Shop) -> None:
    account = late(shop)
    assert shop.billing.view(account)["billing_status"] == "active"
    assert shop.run() == 1
    view = shop.billing.view(account)
    assert (view["billing_status"], view["past_due_since"].timestamp()) == ("overdue_warning", CREATED)
    assert shop.events() == [("invoice.payment_failed", "applied")]
    assert shop.billing.statuses(failed(event_id="evt_1")) == ["duplicate"]
    assert shop.run() == 0


def test_what_was_paid_before_it_was_fetched_is_never_late(shop: Shop) -> None:
    account = late(shop)
    shop.know(in_1=shapes.invoice("in_1", status="paid"))
    shop.billing.take(shapes.notification("v1.invoice.paid", "in_1", "invoice", created=CREATED + 9))
    assert shop.run() == 2
    assert shop.billing.view(account)["billing_status"] == "active"
    assert shop.billing.count("intents") == 0


@pytest.mark.parametrize("kind", ["subscription", "customer"])
def test_other_objects_are_found_where_they_live(shop: Shop, kind: str) -> None:
    account = shop.billing.account("cus_1", subscription="sub_1")
    ended = shapes.subscription("sub_1", status="canceled", ended_at=CREATED)
    shop.know(sub_1=ended, cus_1={"id": "cus_1", "object": "customer"})
    types = {"subscription": "v1.customer.subscription.deleted", "customer": "v1.customer.deleted"}
    named = {"subscription": "sub_1", "customer": "cus_1"}[kind]
    shop.billing.take(shapes.notification(types[kind], named, kind, created=CREATED))
    assert shop.run() == 1
    assert shop.events() == [(types[kind].removeprefix("v1."), "applied")]
    assert shop.billing.view(account)["subscription_status"] == ("canceled" if kind == "subscription" else "none")


def test_while_stripe_does_not_answer_it_waits(shop: Shop) -> None:
    account = late(shop)
    shop.stripe.fail_with = 503
    assert shop.run() == 0
    shop.stripe.fail_with = 0
    assert shop.run() == 0, "it is not asked at once again"
    shop.beats[0] += PAUSE_SECONDS
    assert shop.run() == 1
    assert shop.billing.view(account)["billing_status"] == "overdue_warning"


def test_what_stripe_does_not_know_or_nobody_can_read_is_left_to_a_person(shop: Shop) -> None:
    shop.know(sub_1=shapes.subscription("sub_1", status="hibernating"))
    shop.billing.take(
        failed(), shapes.notification("v1.customer.subscription.updated", "sub_1", "subscription", created=CREATED)
    )
    assert shop.run() == 2
    assert [status for _, status in shop.events()] == ["quarantined", "quarantined"]
    assert shop.run() == 0
    told = shop.billing.rows("SELECT kind FROM alerts")
    assert [row["kind"] for row in told] == ["event_quarantined"] * 2


def test_of_an_unknown_account_it_is_parked_whole_and_taken_when_that_is_made(shop: Shop) -> None:
    shop.know(in_1=shapes.invoice("in_1"))
    shop.billing.take(failed())
    assert shop.run() == 1
    assert shop.run() == 0
    assert shop.events() == [("invoice.payment_failed", "parked")]
    account = shop.billing.account("cus_1")
    with shop.billing.database.begin() as conn:
        retry_parked(conn, shop.billing.policy, terms=shop.billing.terms)
    assert shop.billing.view(account)["billing_status"] == "overdue_warning"


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (shapes.notification("v2.core.account.updated", "acct_1", "account", created=CREATED), "ignored"),
        (shapes.notification("v1.payout.paid", "po_1", "payout", created=CREATED), "ignored"),
        (shapes.notification("v1.invoice.paid", "px_1", "pixie", created=CREATED), "quarantined"),
        ({**shapes.notification("v1.invoice.paid", "in_1", "invoice", created=1), "related_object": 7}, "quarantined"),
        (shapes.notification("v1.invoice.paid", "../../x", "invoice", created=CREATED), "parked"),
    ],
)
def test_what_is_not_read_here_is_ignored_and_what_is_odd_is_kept(shop: Shop, event: shapes.Event, status: str) -> None:
    assert shop.billing.statuses(event) == [status]
    shop.run()
    assert all(path.startswith("/v1/invoices/..%2F") for _, path, _ in shop.stripe.requests)


def test_without_a_key_it_is_kept_and_told(shop: Shop) -> None:
    shop.billing.terms = replace(shop.billing.terms, world=World())
    assert shop.billing.statuses(failed()) == ["parked"]
    (row,) = shop.billing.rows("SELECT kind, text FROM alerts")
    assert (row["kind"], "STRIPE_API_KEY" in row["text"]) == ("event_parked", True)


def test_who_leads_no_more_writes_nothing(shop: Shop) -> None:
    late(shop)
    with pytest.raises(FenceLost):
        shop.fetcher.run(shop.billing.policy, Fence("controller", shop.fence.token + 1))
    assert shop.events() == [("v1.invoice.payment_failed", "parked")]
