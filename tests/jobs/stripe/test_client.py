"""Asking Stripe: complete answers make a standing fresh, anything else leaves it stale and enforcement waiting."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from jobs.stripe.client import PAGES, PAUSE_SECONDS, StandingPoll, StandingUnknown
from storage import clock
from storage.gather import World
from storage.intents_claim import claim
from storage.intents_finish import finish
from storage.intents_types import Done
from storage.ledger import record
from storage.settings import Settings
from tests.doubles import stripe as double
from tests.doubles.stripe_api import KEY, StripeApi
from tests.storage.billing import CREATED, Billing


@pytest.fixture
def api() -> Iterator[StripeApi]:
    with StripeApi() as running:
        yield running


def settings_of(billing: Billing, api: StripeApi, **more: Any) -> Settings:
    return Settings(database_url=billing.url, stripe_api_key=KEY, stripe_api_base=api.url, test_clock=True, **more)


def poll_of(billing: Billing, api: StripeApi, **more: Any) -> StandingPoll:
    return StandingPoll(settings_of(billing, api), billing.database, **more)


def late_account(billing: Billing, **more: Any) -> UUID:
    account = billing.account("cus_1", **more)
    billing.take(double.invoice_event("payment_failed", "in_1", created=CREATED))
    return account


def fetched_at(billing: Billing, account: UUID) -> datetime | None:
    (row,) = billing.rows("SELECT standing_fetched_at AS at FROM accounts WHERE id = :id", id=account)
    at: datetime | None = row["at"]
    return at


def test_a_payment_whose_webhook_was_lost_is_found(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing)
    api.add(double.invoice("in_1", status="paid"))
    assert poll_of(billing, api).run(billing.policy) == 1
    view = billing.view(account)
    assert (view["overdue_invoices"], view["billing_status"]) == (0, "active")
    at = fetched_at(billing, account)
    assert at is not None
    assert datetime.now(UTC) - at < timedelta(minutes=1)


def test_what_stripe_confirms_stays_owed_since_the_same_attempt(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing)
    before = billing.view(account)
    audit = billing.count("audit")
    api.add(double.invoice("in_1"))
    assert poll_of(billing, api).run(billing.policy) == 1
    assert billing.view(account) == before
    assert billing.count("audit") == audit, "an answer that says nothing new leaves no line"


def test_a_late_subscription_and_its_plan_are_found(billing: Billing, api: StripeApi) -> None:
    account = billing.account("cus_1")
    api.add(
        double.subscription("sub_1", status="past_due", price="price_dev"),
        double.invoice("in_9", subscription="sub_1", next_payment_attempt=CREATED + 99),
    )
    poll_of(billing, api).refresh(billing.policy, account)
    view = billing.view(account)
    assert (view["subscription_status"], view["plan"], view["overdue_invoices"]) == ("past_due", "dev", 1)
    assert view["billing_status"] == "overdue_warning"


@pytest.mark.parametrize(
    ("fields", "late"),
    [
        ({}, 0),
        ({"next_payment_attempt": CREATED}, 1),
        ({"next_payment_attempt": CREATED, "attempted": False}, 0),
        ({"next_payment_attempt": CREATED, "cents": 0}, 0),
        ({"next_payment_attempt": CREATED, "status": "paid"}, 0),
        ({"next_payment_attempt": CREATED, "status": "draft"}, 0),
        ({"status": "uncollectible"}, 1),
    ],
)
def test_a_fetched_invoice_is_late_only_where_an_attempt_surely_failed(
    billing: Billing, api: StripeApi, fields: dict[str, Any], late: int
) -> None:
    account = billing.account("cus_1")
    api.add(double.invoice("in_9", **fields))
    poll_of(billing, api).refresh(billing.policy, account)
    assert billing.view(account)["overdue_invoices"] == late


def test_all_pages_are_read(billing: Billing, api: StripeApi) -> None:
    account = billing.account("cus_1")
    api.page = 3
    api.add(*[double.invoice(f"in_{number}", next_payment_attempt=CREATED) for number in range(10)])
    poll_of(billing, api).refresh(billing.policy, account)
    assert billing.view(account)["overdue_invoices"] == 10


def test_a_list_without_end_is_no_answer(billing: Billing, api: StripeApi) -> None:
    account = billing.account("cus_1")
    api.page = 1
    api.add(*[double.invoice(f"in_{number}", status="paid") for number in range(PAGES + 1)])
    with pytest.raises(StandingUnknown, match="pages"):
        poll_of(billing, api).refresh(billing.policy, account)


def test_what_the_list_leaves_out_is_asked_for_by_itself(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing, subscription="sub_1")
    api.add(double.invoice("in_1", status="void", customer="cus_moved"), double.subscription("sub_1", customer="cus_x"))
    poll_of(billing, api).refresh(billing.policy, account)
    view = billing.view(account)
    assert (view["overdue_invoices"], view["subscription_status"]) == (0, "active")


def test_another_accounts_objects_count_there(billing: Billing, api: StripeApi) -> None:
    one, other = billing.account("cus_1", subscription="sub_1"), billing.account("cus_1", subscription="sub_2")
    api.add(
        double.subscription("sub_1"),
        double.subscription("sub_2", status="past_due"),
        double.invoice("in_2", subscription="sub_2", next_payment_attempt=CREATED),
    )
    poll_of(billing, api).refresh(billing.policy, one)
    assert billing.view(one)["billing_status"] == "active"
    assert billing.view(other)["billing_status"] == "overdue_warning"
    assert fetched_at(billing, other) is None, "only the account that was asked about is fresh"


UNKNOWN: dict[str, dict[str, Any]] = {
    "unavailable": {"fail_with": 503},
    "broken": {"fail_with": 500},
    "too many requests": {"fail_with": 429},
    "forbidden": {"fail_with": 403},
    "not authorized": {"fail_with": 401},
    "no JSON": {"raw_body": b"<html>"},
    "no object": {"raw_body": b"[]"},
    "no list": {"raw_body": b'{"object": "list"}'},
    "a list of words": {"raw_body": b'{"object": "list", "data": ["x"], "has_more": false}'},
    "more after nothing": {"raw_body": b'{"object": "list", "data": [], "has_more": true}'},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_on_any_failure_the_standing_stays_as_stale_as_it_was(billing: Billing, api: StripeApi, name: str) -> None:
    account = late_account(billing)
    before = billing.view(account)
    for field, value in UNKNOWN[name].items():
        setattr(api, field, value)
    assert poll_of(billing, api).run(billing.policy) == 0
    assert billing.view(account) == before
    assert fetched_at(billing, account) is None
    assert [row["kind"] for row in billing.rows("SELECT kind FROM alerts")] == ["standing_stale"]


def test_half_an_answer_is_none(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing)
    api.add(double.invoice("in_1"), double.subscription("sub_1", status="hibernating"))
    with pytest.raises(StandingUnknown, match="hibernating"):
        poll_of(billing, api).refresh(billing.policy, account)
    assert fetched_at(billing, account) is None


def test_an_owed_invoice_that_stripe_does_not_know_makes_the_answer_incomplete(
    billing: Billing, api: StripeApi
) -> None:
    account = late_account(billing)
    with pytest.raises(StandingUnknown, match="in_1"):
        poll_of(billing, api).refresh(billing.policy, account)
    assert billing.view(account)["overdue_invoices"] == 1


def test_nobody_listens(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing)
    settings = replace(settings_of(billing, api), stripe_api_base="http://127.0.0.1:1")
    with pytest.raises(StandingUnknown):
        StandingPoll(settings, billing.database).refresh(billing.policy, account)


def test_an_answer_that_does_not_come_is_given_up(billing: Billing, api: StripeApi) -> None:
    account = late_account(billing)
    api.hangs = threading.Event()
    with pytest.raises(StandingUnknown):
        poll_of(billing, api, read_seconds=0.3).refresh(billing.policy, account)


def test_a_stripe_that_is_down_is_not_asked_every_second(billing: Billing, api: StripeApi) -> None:
    late_account(billing)
    now = [1000.0]
    poll = poll_of(billing, api, clock=lambda: now[0])
    api.fail_with = 503
    poll.run(billing.policy)
    asked = len(api.requests)
    poll.run(billing.policy)
    assert len(api.requests) == asked
    api.fail_with = 0
    api.add(double.invoice("in_1", status="paid"))
    now[0] += 61 + PAUSE_SECONDS
    assert poll.run(billing.policy) == 1


def test_without_a_key_nobody_is_asked(billing: Billing, api: StripeApi) -> None:
    late_account(billing)
    settings = replace(settings_of(billing, api), stripe_api_key="")
    assert StandingPoll(settings, billing.database).run(billing.policy) == 0
    assert api.requests == []


def test_a_suspension_waits_for_stripes_word_and_follows_it(billing: Billing, api: StripeApi) -> None:
    """The whole point: due, held by a stale standing, asked, and then decided on what Stripe says now."""
    settings = settings_of(billing, api)
    billing.terms = replace(billing.terms, world=World.of(settings))
    account = late_account(billing)
    ticks = iter(range(0, 10_000, 100))
    poll = StandingPoll(settings, billing.database, clock=lambda: float(next(ticks)))
    reach_final_warning(billing, settings, account)
    assert settle(billing, settings, account) == "final_warning"
    (row,) = billing.rows("SELECT waiting FROM accounts WHERE id = :id", id=account)
    assert [each["permit"] for each in row["waiting"]] == ["fresh_standing"]

    api.fail_with = 500
    assert poll.run(billing.policy) == 0
    assert settle(billing, settings, account) == "final_warning", "unknown means wait"

    api.fail_with = 0
    api.add(double.invoice("in_1"))
    assert poll.run(billing.policy) == 1
    assert billing.view(account)["billing_status"] == "suspended"


def test_servers_of_an_ended_plan_are_not_stopped_before_stripe_has_answered(billing: Billing, api: StripeApi) -> None:
    settings = settings_of(billing, api)
    billing.terms = replace(billing.terms, world=World.of(settings))
    account = billing.account("cus_1", subscription="sub_1")
    billing.take(double.subscription_event("deleted", "sub_1", created=CREATED, ended_at=CREATED))
    api.fail_with = 503
    for hours in (0, 100, 100):
        with billing.database.begin() as conn:
            clock.advance(conn, hours, settings)
        settle(billing, settings, account)
        deliver_open_notices(billing, World.of(settings))
        poll_of(billing, api).run(billing.policy)
    assert ended(billing, account) == "ended", "unknown means wait"
    assert "standing_stale" in [row["kind"] for row in billing.rows("SELECT kind FROM alerts")]
    api.fail_with = 0
    api.add(double.subscription("sub_1", status="canceled", ended_at=CREATED))
    assert poll_of(billing, api).run(billing.policy) == 1
    assert ended(billing, account) == "stopped"


def ended(billing: Billing, account: UUID) -> str:
    (row,) = billing.rows("SELECT states ->> 'ended' AS state FROM accounts WHERE id = :id", id=account)
    return str(row["state"])


def test_an_account_without_a_customer_at_stripe_is_not_asked_about_as_everybody(
    billing: Billing, api: StripeApi
) -> None:
    account = late_account(billing)
    with billing.database.begin() as conn:
        conn.exec_driver_sql("UPDATE accounts SET stripe_customer_id = NULL")
    api.add(double.invoice("in_1", status="paid"))
    poll_of(billing, api).refresh(billing.policy, account)
    assert api.requests == ["/v1/invoices/in_1"]
    assert billing.view(account)["billing_status"] == "active"


def test_a_suspension_that_was_due_is_called_off_by_a_payment_that_stripe_knows_of(
    billing: Billing, api: StripeApi
) -> None:
    settings = settings_of(billing, api)
    billing.terms = replace(billing.terms, world=World.of(settings))
    account = late_account(billing)
    reach_final_warning(billing, settings, account)
    api.add(double.invoice("in_1", status="paid"))
    assert poll_of(billing, api).run(billing.policy) == 1
    assert billing.view(account)["billing_status"] == "active"


def settle(billing: Billing, settings: Settings, account: UUID) -> str:
    with billing.database.begin() as conn:
        record(conn, billing.policy, account, world=World.of(settings))
    return str(billing.view(account)["billing_status"])


def reach_final_warning(billing: Billing, settings: Settings, account: UUID) -> None:
    """Climb to the last rung before a suspension, which is then due."""
    for hours in (0, 73, 60):
        with billing.database.begin() as conn:
            clock.advance(conn, hours, settings)
        settle(billing, settings, account)
        deliver_open_notices(billing, World.of(settings))


def deliver_open_notices(billing: Billing, world: World) -> None:
    """Carry out what is open, as a worker does."""
    for row in billing.rows("SELECT id FROM intents WHERE status = 'open' AND kind = 'notice'"):
        with billing.database.begin() as conn:
            claimed = claim(conn, billing.policy, row["id"], None, world=world)
        assert claimed is not None
        with billing.database.begin() as conn:
            finish(conn, billing.policy, claimed, Done(), world=world)
