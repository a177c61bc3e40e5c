"""Whose an event is: by subscription, by our ids, by the only account of its Stripe customer; else it waits."""

from __future__ import annotations

import itertools
import uuid

import pytest
from sqlalchemy import text

from storage.stripe.inbox import retry_parked, take
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, at, failed, read

# ---- whose it is -----------------------------------------------------------------------------------------------------


def test_a_subscription_names_the_account_before_anything_else(billing: Billing) -> None:
    other = billing.account("cus_1")
    account = billing.account("cus_1", subscription="sub_1")
    billing.take(failed(subscription="sub_1", metadata={"accountId": str(other)}))
    assert (billing.view(account)["overdue_invoices"], billing.view(other)["overdue_invoices"]) == (1, 0)


def test_metadata_names_an_account_or_the_only_one_of_a_customer(billing: Billing) -> None:
    person = billing.customer()
    account, _ = billing.account("cus_shared", customer=person), billing.account("cus_shared")
    billing.take(failed("A", customer="cus_shared", metadata={"userId": str(person)}))
    billing.take(failed("B", customer="cus_shared", metadata={"accountId": str(account)}))
    assert billing.view(account)["overdue_invoices"] == 2


def test_a_customer_with_two_accounts_has_the_paid_one_left_alone(billing: Billing) -> None:
    person = billing.customer()
    late = billing.account("cus_1", customer=person, subscription="sub_late")
    good = billing.account("cus_1", customer=person, subscription="sub_good")
    billing.take(failed(subscription="sub_late"), double.subscription_event("updated", "sub_good", created=CREATED))
    assert billing.view(late)["billing_status"] == "overdue_warning"
    assert billing.view(good)["billing_status"] == "active"


def test_what_could_be_two_accounts_is_parked_with_the_reason(billing: Billing) -> None:
    for _ in range(2):
        billing.account("cus_1")
    assert billing.statuses(failed()) == ["parked"]
    (row,) = billing.rows("SELECT reason FROM stripe_events")
    assert row["reason"].startswith("2 accounts belong to")


@pytest.mark.parametrize("by", ["customer", "subscription", "user"])
def test_an_event_of_an_unknown_account_is_parked_and_applied_when_it_becomes_known(billing: Billing, by: str) -> None:
    person = billing.customer()
    claims = {"user": {"userId": str(person)}}.get(by)
    event = failed(subscription="sub_1", metadata=claims)
    assert billing.statuses(event) == ["parked"]
    assert billing.statuses(event) == ["duplicate"]
    account = billing.account(
        "cus_1" if by == "customer" else "cus_other",
        customer=person,
        subscription="sub_1" if by == "subscription" else None,
    )
    assert billing.view(account)["billing_status"] == "overdue_warning"
    (row,) = billing.rows("SELECT status, account_id, reason FROM stripe_events")
    assert (row["status"], row["account_id"], row["reason"]) == ("applied", account, None)
    assert billing.statuses(event) == ["duplicate"]


def test_parked_events_of_others_stay_parked(billing: Billing) -> None:
    billing.take(failed("A", customer="cus_1"), failed("B", customer="cus_2"))
    billing.account("cus_1")
    assert [
        row["object_id"] for row in billing.rows("SELECT object_id FROM stripe_events WHERE status = 'parked'")
    ] == ["B"]


def test_an_account_made_in_the_same_moment_is_found_by_the_retry(billing: Billing) -> None:
    """The account's transaction and the event's do not see each other: neither unparks it."""
    event = failed()
    with billing.database.begin() as slow:
        assert [taken.status for taken in take(slow, billing.policy, [read(event)], terms=billing.terms)] == ["parked"]
        account = billing.account("cus_1")
    assert billing.view(account)["overdue_invoices"] == 0
    with billing.database.begin() as conn:
        (taken,) = retry_parked(conn, billing.policy, terms=billing.terms)
    assert (taken.status, billing.view(account)["overdue_invoices"]) == ("applied", 1)
    with billing.database.begin() as conn:
        assert retry_parked(conn, billing.policy, terms=billing.terms) == []


def test_an_account_takes_its_subscription_back_from_another_of_the_customer(billing: Billing) -> None:
    person = billing.customer()
    first = billing.account("cus_1", customer=person, subscription="sub_old")
    billing.take(
        double.subscription_event("created", "sub_new", created=CREATED, status="past_due"),
        failed("in_new", subscription="sub_new"),
    )
    assert billing.view(first)["overdue_invoices"] == 1
    second = billing.account("cus_1", customer=person, subscription="sub_new")
    assert billing.view(first)["billing_status"] == "active"
    assert billing.view(second)["billing_status"] == "overdue_warning"
    assert billing.view(second)["subscription_status"] == "past_due"


def test_a_subscription_linked_in_the_same_moment_is_taken_back_by_its_next_event(billing: Billing) -> None:
    first, second = billing.account("cus_1"), billing.account("cus_2")
    billing.take(failed("in_1", subscription="sub_1"))
    with billing.database.begin() as conn:
        conn.execute(text("UPDATE accounts SET stripe_subscription_id = 'sub_1' WHERE id = :id"), {"id": second})
    billing.take(failed("in_1", CREATED + 9, subscription="sub_1"))
    assert (billing.view(first)["overdue_invoices"], billing.view(second)["overdue_invoices"]) == (0, 1)
    assert billing.view(second)["past_due_since"] == at(CREATED)
    assert billing.view(first)["billing_status"] == "active"


def test_a_checkout_links_its_subscription_whenever_it_comes(billing: Billing) -> None:
    for number, order in enumerate(itertools.permutations(range(3))):
        customer, subscription = f"cus_{number}", f"sub_{number}"
        account = billing.account(f"cus_account_{number}")
        events = [
            double.checkout_event(
                created=CREATED, customer=customer, subscription_id=subscription, client_reference_id=str(account)
            ),
            double.subscription_event("created", subscription, created=CREATED, customer=customer, price="price_dev"),
            failed(f"in_{number}", CREATED + 5, customer=customer, subscription=subscription),
        ]
        for index in order:
            billing.take(events[index])
        view = billing.view(account)
        assert (view["plan"], view["subscription_status"], view["overdue_invoices"]) == ("dev", "active", 1)
        (row,) = billing.rows("SELECT stripe_subscription_id AS id FROM accounts WHERE id = :id", id=account)
        assert row["id"] == subscription
    assert billing.rows("SELECT 1 FROM stripe_events WHERE status <> 'applied'") == []


def test_of_two_checkouts_the_newest_counts_in_either_order(billing: Billing) -> None:
    for number, order in enumerate(((0, 1), (1, 0))):
        account = billing.account(f"cus_{number}")
        events = [
            double.checkout_event(
                created=CREATED + index,
                customer=f"cus_{number}",
                subscription_id=f"sub_{number}_{index}",
                metadata={"accountId": str(account)},
            )
            for index in range(2)
        ]
        for index in order:
            billing.take(events[index])
        (row,) = billing.rows("SELECT stripe_subscription_id AS id FROM accounts WHERE id = :id", id=account)
        assert row["id"] == f"sub_{number}_1"


def test_a_checkout_cannot_take_another_accounts_subscription(billing: Billing) -> None:
    billing.account("cus_1", subscription="sub_1")
    thief = billing.account("cus_2")
    event = double.checkout_event(
        created=CREATED, customer="cus_2", subscription_id="sub_1", client_reference_id=str(thief)
    )
    assert billing.statuses(event) == ["quarantined"]
    assert billing.rows("SELECT 1 FROM subscriptions") == []


def test_ids_of_ours_that_nobody_has_are_no_fault(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(failed(metadata={"userId": str(uuid.uuid4()), "accountId": "' OR 1=1 --"}))
    assert billing.view(account)["overdue_invoices"] == 1
