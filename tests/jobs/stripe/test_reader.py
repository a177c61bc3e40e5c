"""Reading Stripe's list of events: bounded, from the newest back, and whatever goes wrong leaves the cursor."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs.stripe.client import StandingPoll
from jobs.stripe.reader import POLL_SECONDS, TOLD_AFTER_SECONDS, EventReader
from storage import clock, leases, policies
from storage.errors import FenceLost, SettingWrong
from storage.leases import Fence
from storage.settings import SHIPPED_POLICY, Settings
from storage.stripe import event_list
from storage.stripe.event_list import Cursor
from storage.stripe.inbox import TakenMeanwhile
from storage.stripe.inbox_session import InboxSession
from tests.doubles import stripe as shapes
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.storage.billing import CREATED, Billing, at
from tests.storage.billing import read as parsed


@dataclass
class Shop:
    """A deployment, Stripe, and what reads it. `seconds` is what Stripe's clock says; the reader's own is `beats`."""

    billing: Billing
    stripe: StripeDouble
    settings: Settings
    fence: Fence
    beats: float = 0.0

    def reader(self, **changes: Any) -> EventReader:
        """Make a reader."""
        settings = replace(self.settings, **changes)
        return EventReader(settings, self.billing.database, clock=lambda: self.beats)

    def read(self, reader: EventReader, **more: Any) -> int:
        """Let it look once."""
        return reader.run(self.billing.policy, self.fence, **more)

    def cursor(self) -> Cursor:
        """Return how far it has come."""
        with self.billing.database.begin() as conn:
            return event_list.cursor(conn)

    def tell(self, kind: str, document: dict[str, Any], created: int) -> None:
        """Let something happen at Stripe."""
        event_id = f"evt_{len(self.stripe.books.events)}"
        self.stripe.books.events.append(shapes.event(kind, document, created=created, event_id=event_id))

    def alerts(self) -> list[str]:
        """Return the kinds of what people were told."""
        return [row["kind"] for row in self.billing.rows("SELECT kind FROM alerts ORDER BY id")]


@pytest.fixture
def shop(database_url: str) -> Iterator[Shop]:
    billing = Billing(database_url)
    with StripeDouble(now=lambda: CREATED + 1_000) as stripe:
        settings = Settings(
            database_url=database_url, stripe_api_key=KEY, stripe_api_base=stripe.url, test_clock=True,
            stripe_mode="poll",
        )  # fmt: skip
        with billing.database.begin() as conn:
            fence = leases.acquire(conn, "controller", "test", 600)
        assert fence is not None
        yield Shop(billing, stripe, settings, fence)
    billing.database.close()


def later(shop: Shop) -> None:
    """Let the hour pass after which the list is read for gaps."""
    shop.beats += 20
    with shop.billing.database.begin() as conn:
        clock.advance(conn, 2, shop.settings)


def late(shop: Shop) -> UUID:
    account = shop.billing.account("cus_1")
    shop.tell("invoice.payment_failed", shapes.invoice("in_1"), CREATED)
    return account


def test_what_is_listed_is_taken_once_and_the_cursor_moves_to_the_newest(shop: Shop) -> None:
    account = late(shop)
    shop.tell("customer.created", {"id": "cus_9", "object": "customer"}, CREATED + 5)
    reader = shop.reader()
    assert shop.read(reader) == 1
    assert shop.billing.view(account)["billing_status"] == "overdue_warning"
    assert shop.cursor().read_to == at(CREATED + 5)
    (row,) = shop.billing.rows("SELECT type, came_by, status FROM stripe_events")
    assert row == {"type": "invoice.payment_failed", "came_by": "reader", "status": "applied"}
    trace = shop.billing.trace()
    assert shop.read(reader, force=True) == 0
    assert shop.billing.trace() == trace, "what is read twice changes nothing"


def test_it_asks_from_where_it_was_and_a_little_before(shop: Shop) -> None:
    late(shop)
    reader = shop.reader()
    shop.read(reader)
    shop.stripe.requests.clear()
    shop.read(reader, force=True)
    ((_, path, asked),) = shop.stripe.requests
    assert (path, asked["created"]["gte"]) == ("/v1/events", str(CREATED - 60))


def test_payment_is_known_before_the_failure_that_it_cured(shop: Shop) -> None:
    account = late(shop)
    for number in range(100):
        shop.tell("customer.created", {"id": f"cus_{number}", "object": "customer"}, CREATED + 1)
    shop.tell("invoice.paid", shapes.invoice("in_1", status="paid"), CREATED + 2)
    shop.read(shop.reader())
    assert shop.billing.view(account)["billing_status"] == "active"
    assert shop.billing.count("intents") == 0, "nobody is warned of what is paid"


def test_failure_on_the_way_leaves_the_cursor_and_the_next_reading_takes_the_rest(shop: Shop) -> None:
    late(shop)
    for number in range(250):
        shop.tell("invoice.paid", shapes.invoice(f"in_x{number}", status="paid"), CREATED + 1 + number)
    reader = shop.reader()

    def breaks() -> None:
        shop.stripe.fail_with = 503

    assert shop.read(reader, between=breaks) == 0
    assert shop.billing.count("stripe_events") == 100
    assert shop.cursor().read_to is None
    shop.stripe.fail_with = 0
    assert shop.read(reader) == 0, "it waits a little before it asks again"
    shop.beats += 20
    assert shop.read(reader) == 151
    assert shop.cursor().read_to == at(CREATED + 250)
    assert shop.alerts() == []


def test_a_long_list_takes_several_turns(shop: Shop) -> None:
    for number in range(620):
        shop.tell("customer.created", {"id": f"cus_{number}", "object": "customer"}, CREATED + number)
    late(shop)
    shop.stripe.books.events.insert(0, shop.stripe.books.events.pop())
    reader = shop.reader()
    assert shop.read(reader) == 0
    under_way = reader.reading
    assert under_way is not None
    assert shop.cursor().read_to is None
    assert shop.read(reader) == 1
    assert under_way.is_done
    assert shop.cursor().read_to == at(CREATED + 619)


def test_an_event_of_the_future_does_not_keep_those_of_today_from_being_read(shop: Shop) -> None:
    late(shop)
    shop.tell("customer.created", {"id": "cus_9", "object": "customer"}, CREATED + 10 * 365 * 86_400)
    reader = shop.reader()
    shop.read(reader)
    cursor = shop.cursor()
    assert cursor.read_to is not None
    assert cursor.read_to <= cursor.now


def test_an_event_that_cannot_be_read_harms_itself_alone_and_is_told(shop: Shop) -> None:
    account = late(shop)
    shop.stripe.books.events.append({"id": "evt_odd", "object": "event", "type": "invoice.paid", "created": CREATED})
    reader = shop.reader()
    assert shop.read(reader) == 1
    assert shop.billing.view(account)["billing_status"] == "overdue_warning"
    assert shop.cursor().read_to is None
    assert shop.alerts() == ["webhook_failed"]
    shop.stripe.books.events.pop()
    shop.beats += 20
    shop.read(reader)
    assert shop.cursor().read_to == at(CREATED)


def test_who_leads_no_more_writes_nothing(shop: Shop) -> None:
    late(shop)
    with pytest.raises(FenceLost):
        shop.reader().run(shop.billing.policy, Fence("controller", shop.fence.token + 1))
    assert shop.billing.count("stripe_events") == 0
    assert shop.cursor().read_to is None


@pytest.mark.parametrize(
    ("mode", "minutes", "asked"),
    [("webhook", 59, 0), ("webhook", 60, 1), ("poll", 0, 1), ("both", 0, 1)],
)
def test_with_webhooks_the_list_is_read_each_hour_and_else_all_the_time(
    shop: Shop, mode: Any, minutes: int, asked: int
) -> None:
    reader = shop.reader(stripe_mode=mode)
    shop.read(reader)
    shop.stripe.requests.clear()
    shop.beats += POLL_SECONDS
    with shop.billing.database.begin() as conn:
        clock.advance(conn, minutes / 60, shop.settings)
    shop.read(reader)
    assert len(shop.stripe.requests) == asked


def test_a_stripe_that_stays_away_is_told_and_not_asked_all_the_time(shop: Shop) -> None:
    reader = shop.reader()
    shop.stripe.fail_with = 500
    for seconds in (0, 1, 20, TOLD_AFTER_SECONDS):
        assert shop.alerts() == []
        shop.beats += seconds
        shop.read(reader, force=True)
    assert shop.alerts() == ["events_unread"]
    assert len(shop.stripe.requests) == 3, "it waits a little after each failure"


def test_without_a_key_nothing_is_read_and_polling_is_refused(shop: Shop) -> None:
    assert shop.read(shop.reader(stripe_api_key="", stripe_mode="webhook")) == 0
    assert shop.stripe.requests == []
    with pytest.raises(SettingWrong, match="STRIPE_API_KEY"):
        shop.reader(stripe_api_key="")


@pytest.mark.parametrize(("mode", "told"), [("webhook", ["webhook_silent"]), ("poll", [])])
def test_people_are_told_when_no_webhook_brought_what_was_found(shop: Shop, mode: Any, told: list[str]) -> None:
    late(shop)
    reader = shop.reader(stripe_mode=mode)
    shop.read(reader)
    assert shop.alerts() == [], "what was before us could not come"
    shop.tell("invoice.paid", shapes.invoice("in_1", status="paid"), CREATED + 50)
    later(shop)
    shop.read(reader)
    assert shop.alerts() == told


def test_a_webhook_that_came_is_noted_and_then_nobody_is_told(shop: Shop) -> None:
    reader = shop.reader(stripe_mode="webhook")
    shop.read(reader)
    late(shop)
    with shop.billing.database.begin() as conn:
        event_list.webhook_came(conn)
        event_list.webhook_came(conn)
    assert shop.cursor().webhook_at is not None
    later(shop)
    assert shop.read(reader) == 1
    assert shop.alerts() == []


def test_webhooks_and_the_reader_at_once_take_each_event_once(shop: Shop) -> None:
    accounts = [shop.billing.account(f"cus_{number}") for number in range(3)]
    for number in range(90):
        failed = shapes.invoice(f"in_{number}", customer=f"cus_{number % 3}")
        shop.tell("invoice.payment_failed", failed, CREATED + number)
    events = list(shop.stripe.books.events)
    terms = shop.billing.terms

    def webhooks() -> None:
        session = InboxSession(shop.billing.database, terms)
        for first in range(0, len(events), 6):
            group = [parsed(each) for each in events[first : first + 6]]
            while True:
                try:
                    session.take(group)
                    break
                except TakenMeanwhile:
                    continue
        session.close()

    policies.deploy_folder(shop.billing.database.engine, SHIPPED_POLICY, {}, by="test")
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(webhooks)
        reader = shop.reader(stripe_mode="both")
        shop.read(reader)
        coming.result(60)
    shop.beats += 20
    shop.read(reader)
    assert shop.billing.rows("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM stripe_events") == [
        {"n": 90, "ids": 90}
    ]
    assert [shop.billing.view(account)["overdue_invoices"] for account in accounts] == [30] * 3
    assert len(shop.billing.rows("SELECT 1 FROM audit WHERE kind = 'evidence'")) == 90
    assert shop.billing.count("intents") == 3
    assert shop.cursor().read_to == at(CREATED + 89)


def test_what_no_event_tells_any_more_is_found_by_asking_about_each_account(shop: Shop) -> None:
    """Down for longer than events are listed: the paid invoice and the ended subscription show in the objects alone."""
    paid, strange = late(shop), shop.billing.account("cus_2")
    reader, poll = shop.reader(stripe_mode="webhook"), StandingPoll(shop.settings, shop.billing.database)
    shop.read(reader)
    with shop.billing.database.begin() as conn:
        clock.advance(conn, 24 * 40, shop.settings)
    shop.stripe.books.events.clear()
    shop.stripe.books.objects["in_1"] = shapes.invoice("in_1", status="paid")
    shop.stripe.books.objects["sub_2"] = shapes.subscription("sub_2", customer="cus_2", status="canceled")
    shop.beats += POLL_SECONDS
    assert shop.read(reader) == 0
    assert reader.has_ended_deep()
    assert not reader.has_ended_deep()
    poll.walk()
    while poll.walks:
        poll.run(shop.billing.policy, shop.fence)
    assert shop.billing.view(paid)["billing_status"] == "active"
    assert shop.billing.view(strange)["subscription_status"] == "canceled"


def test_accounts_that_stripe_does_not_answer_about_do_not_keep_the_walk(shop: Shop) -> None:
    for number in range(12):
        shop.billing.account(f"cus_{number}")
    poll = StandingPoll(shop.settings, shop.billing.database)
    odd = shapes.subscription("sub_odd", customer="cus_3", status="hibernating")
    shop.stripe.books.objects["sub_odd"] = odd
    poll.walk()
    looks = 0
    while poll.walks:
        poll.run(shop.billing.policy, shop.fence)
        looks += 1
    assert looks <= 4
    fresh = shop.billing.rows("SELECT stripe_customer_id FROM accounts WHERE standing_fetched_at IS NULL")
    assert fresh == [{"stripe_customer_id": "cus_3"}]
    assert json.dumps(shop.alerts()) == '["standing_stale"]'


def test_gap_is_whatever_is_older_than_what_stripe_lists() -> None:
    now = at(CREATED)
    for days, has_gap in ((28, False), (29, False), (29.1, True)):
        read_at = now - timedelta(days=days)
        assert Cursor(read_at, read_at, read_at, None, None, now).has_gap == has_gap
    assert Cursor(None, None, None, None, None, now).has_gap
