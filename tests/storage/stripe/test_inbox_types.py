"""Further types of Stripe's events: each is a fact, or is set aside with the reason why."""

from __future__ import annotations

import itertools
import time
from typing import Any
from uuid import UUID

import pytest

from storage.gather import snapshots
from storage.stripe.event import READERS
from storage.stripe.inbox_ignored import NOTHING, REASONS
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, at, failed, paid

DAY = 86_400


def states(billing: Billing, account: UUID) -> dict[str, str]:
    with billing.database.begin() as conn:
        return dict(snapshots(conn, billing.policy, [account])[account].states)


def notices(billing: Billing, account: UUID) -> list[str]:
    """Return the notices that were asked for, in order."""
    find = "SELECT intent FROM intents WHERE account_id = :id AND kind = 'notice' ORDER BY created_at, intent"
    return [row["intent"] for row in billing.rows(find, id=account)]


# ---- a payment that a bank wants confirmed ---------------------------------------------------------------------------


def asked(created: int = CREATED, **more: Any) -> double.Event:
    return double.invoice_event("payment_action_required", "in_1", created=created, **more)


def test_a_payment_to_confirm_is_told_once_and_is_no_debt(billing: Billing) -> None:
    account = billing.account("cus_1")
    billing.take(asked())
    billing.take(asked(CREATED + 50))
    assert notices(billing, account) == ["send_confirmation_notice"]
    found = states(billing, account)
    assert (found["confirmation"], found["billing"]) == ("asked", "active")
    assert billing.view(account)["overdue_invoices"] == 0


def test_every_order_of_asking_failing_and_paying_ends_the_same(billing: Billing) -> None:
    orders = list(itertools.permutations(range(3)))
    accounts = [billing.account(f"cus_{number}") for number in range(len(orders))]
    for number, order in enumerate(orders):
        about: dict[str, Any] = {"customer": f"cus_{number}"}
        events = [
            double.invoice_event("payment_action_required", f"in_{number}", created=CREATED, **about),
            failed(f"in_{number}", CREATED + 5, **about),
            paid(f"in_{number}", CREATED + 9, **about),
        ]
        for index in order:
            billing.take(events[index])
    ends = {tuple(sorted(states(billing, account).items())) for account in accounts}
    assert len(ends) == 1
    assert dict(ends.pop())["confirmation"] == "none"


@pytest.mark.parametrize("after", [{"status": "paid"}, {"status": "void"}, {"status": "open", "paid_cents": 1500}])
def test_nothing_is_to_confirm_of_what_is_not_open(billing: Billing, after: dict[str, Any]) -> None:
    account = billing.account("cus_1")
    billing.take(asked(), double.invoice_event("updated", "in_1", created=CREATED + 1, **after))
    assert states(billing, account)["confirmation"] == "none"


# ---- trials and pauses -----------------------------------------------------------------------------------------------


def test_the_end_of_a_trial_is_told_once_whatever_tells_of_it(billing: Billing) -> None:
    account = billing.account("cus_1", subscription="sub_1")
    now = int(time.time())
    trial: dict[str, Any] = {"status": "trialing", "trial_end": now + 2 * DAY}
    assert (
        billing.statuses(
            double.subscription_event("updated", "sub_1", created=now, **trial),
            double.subscription_event("trial_will_end", "sub_1", created=now, **trial),
        )
        == ["applied"] * 2
    )
    billing.take(double.subscription_event("trial_will_end", "sub_1", created=now + 1, **trial))
    assert notices(billing, account) == ["send_trial_ending_notice"]
    billing.take(
        double.subscription_event("updated", "sub_1", created=now + 2, status="active", trial_end=now + 2 * DAY)
    )
    assert states(billing, account)["trial"] == "none"


def test_a_trial_with_time_left_is_not_told_of(billing: Billing) -> None:
    account = billing.account("cus_1", subscription="sub_1")
    now = int(time.time())
    billing.take(
        double.subscription_event("created", "sub_1", created=now, status="trialing", trial_end=now + 14 * DAY)
    )
    assert (states(billing, account)["trial"], notices(billing, account)) == ("none", [])


@pytest.mark.parametrize(
    ("more", "pause", "resumes"),
    [
        ({"status": "paused"}, "no_payment_method", None),
        ({"status": "active", "pause_collection": {"behavior": "void", "resumes_at": CREATED + DAY}}, "void", DAY),
        (
            {"status": "active", "pause_collection": {"behavior": "keep_as_draft", "resumes_at": None}},
            "keep_as_draft",
            None,
        ),
        ({"status": "active", "pause_collection": None}, None, None),
        ({"status": "active", "pause_collection": {"behavior": 7}}, None, None),
    ],
)
def test_a_pause_is_kept_with_its_reason(
    billing: Billing, more: dict[str, Any], pause: str | None, resumes: int | None
) -> None:
    account = billing.account("cus_1", subscription="sub_1")
    billing.take(double.subscription_event("paused", "sub_1", created=CREATED, **more))
    (row,) = billing.rows("SELECT pause, resumes_at FROM subscriptions")
    assert (row["pause"], row["resumes_at"]) == (pause, None if resumes is None else at(CREATED + resumes))
    assert states(billing, account)["billing"] == "active"
    billing.take(double.subscription_event("resumed", "sub_1", created=CREATED + 1))
    (row,) = billing.rows("SELECT pause FROM subscriptions")
    assert row["pause"] is None


# ---- payments that take days -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["completed", "async_payment_succeeded", "async_payment_failed"])
def test_a_checkout_links_its_subscription_however_its_payment_goes(billing: Billing, kind: str) -> None:
    account = billing.account("cus_1")
    event = double.checkout_event(
        created=CREATED, customer="cus_1", subscription_id="sub_1", client_reference_id=str(account)
    )
    event["type"] = f"checkout.session.{kind}"
    event["data"]["object"]["payment_status"] = "unpaid"
    assert billing.statuses(event) == ["applied"]
    (row,) = billing.rows("SELECT stripe_subscription_id FROM accounts")
    assert row["stripe_subscription_id"] == "sub_1"
    told = billing.rows("SELECT canonical FROM audit WHERE account_id = :id", id=account)
    assert any('"payment_status":"unpaid"' in each["canonical"] for each in told)


# ---- what changes nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "reason"), [*REASONS.items(), ("payout.paid", NOTHING)])
def test_what_changes_nothing_is_kept_with_its_reason(billing: Billing, kind: str, reason: str) -> None:
    assert kind not in READERS
    assert billing.statuses(double.event(kind, {"id": "x_1", "object": "x"}, created=CREATED)) == ["ignored"]
    (row,) = billing.rows("SELECT status, reason FROM stripe_events")
    assert (row["status"], row["reason"]) == ("ignored", reason)
