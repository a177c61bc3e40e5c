"""Events come in: one row and one effect each; what is not applied is kept with its reason."""

from __future__ import annotations

import pytest

from storage.stripe.inbox import Terms
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, at, failed, paid, read

# ---- one event -------------------------------------------------------------------------------------------------------


def test_a_failed_payment_makes_the_account_late_and_asks_for_the_warning(billing: Billing) -> None:
    account = billing.account()
    (taken,) = billing.take(failed(event_id="evt_1"))
    assert taken.status == "applied"
    assert [each.intent for each in taken.intents] == ["send_billing_warning"]
    view = billing.view(account)
    assert (view["overdue_invoices"], view["past_due_since"]) == (1, at(CREATED))
    assert (view["last_stripe_event_id"], view["last_billing_event_at"]) == ("evt_1", at(CREATED))
    assert view["billing_status"] == "overdue_warning"
    (row,) = billing.rows("SELECT * FROM stripe_events")
    assert (row["status"], row["account_id"], row["livemode"], row["api_version"]) == (
        "applied", account, False, double.API_VERSION,
    )  # fmt: skip
    assert row["applied_at"] is not None
    assert read(failed(event_id="evt_1")).payload == row["payload"]


def test_the_audit_says_which_event_did_what(billing: Billing) -> None:
    account = billing.account()
    billing.take(failed(event_id="evt_1"))
    with billing.database.begin() as conn:
        from storage import audit

        story = [(row["kind"], row["action"], row["actor"]) for row in audit.read(conn, account)]
    assert story[1:] == [
        ("evidence", "invoice.payment_failed", "stripe"),
        ("transition", "late", "stripe"),
        ("transition", "warn", "stripe"),
    ]


def test_a_duplicate_changes_nothing(billing: Billing) -> None:
    billing.account()
    event = failed(event_id="evt_1")
    billing.take(event)
    before = billing.trace()
    assert billing.statuses(event, event) == ["duplicate", "duplicate"]
    assert billing.trace() == before


def test_two_copies_in_one_group_are_one_event(billing: Billing) -> None:
    billing.account()
    event = failed(event_id="evt_1")
    assert billing.statuses(event, event, event) == ["applied", "duplicate", "duplicate"]
    assert billing.count("stripe_events") == 1


def test_two_events_of_one_invoice_in_one_group_both_count(billing: Billing) -> None:
    account = billing.account()
    first, second = failed(created=CREATED), failed(created=CREATED + 50)
    assert billing.statuses(second, first) == ["applied", "applied"]
    view = billing.view(account)
    assert (view["overdue_invoices"], view["past_due_since"]) == (1, at(CREATED))
    assert view["last_stripe_event_id"] == second["id"]
    assert len(billing.rows("SELECT 1 FROM audit WHERE kind = 'evidence'")) == 2


def test_a_failure_and_its_payment_in_one_group_leave_the_account_active(billing: Billing) -> None:
    account = billing.account()
    for group in ((failed("A"), paid("A")), (paid("B"), failed("B"))):
        billing.take(*group)
        assert billing.view(account)["billing_status"] == "active"
    assert billing.count("intents") == 0


def test_paid_and_payment_succeeded_are_one_restoration_and_one_mail(billing: Billing) -> None:
    account = billing.account()
    billing.take(failed())
    billing.take(paid(created=CREATED + 100))
    billing.take(double.invoice_event("payment_succeeded", "in_1", created=CREATED + 100))
    assert billing.view(account)["billing_status"] == "active"
    kinds = [row["intent"] for row in billing.rows("SELECT intent FROM intents ORDER BY intent")]
    assert kinds == ["send_billing_warning", "send_restored_notice"]


@pytest.mark.parametrize("shape", ["old", "new"])
def test_both_payload_shapes_end_the_same(billing: Billing, shape: double.Shape) -> None:
    account = billing.account("cus_1", subscription="sub_1")
    billing.take(failed(customer="cus_x", subscription="sub_1", shape=shape))
    billing.take(double.subscription_event("updated", "sub_1", created=CREATED, status="past_due", shape=shape))
    view = billing.view(account)
    assert (view["billing_status"], view["subscription_status"]) == ("overdue_warning", "past_due")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("created", "incomplete"),
        ("created", "trialing"),
        ("updated", "active"),
        ("updated", "past_due"),
        ("updated", "unpaid"),
        ("updated", "incomplete_expired"),
        ("paused", "paused"),
        ("resumed", "active"),
        ("deleted", "canceled"),
    ],
)
def test_the_status_and_the_plan_follow_the_subscription(billing: Billing, kind: str, status: str) -> None:
    account = billing.account(plan="dev")
    billing.take(double.subscription_event(kind, "sub_1", created=CREATED, status=status, ended_at=None))
    view = billing.view(account)
    assert (view["subscription_status"], view["plan"]) == (status, "game")
    assert view["has_active_plan"] is (status in ("active", "trialing", "past_due", "unpaid", "paused"))
    assert (view["subscription_ended_at"] is not None) is (status == "canceled")


def test_a_plan_set_by_an_admin_is_active_until_a_subscription_says_otherwise(billing: Billing) -> None:
    account = billing.account(plan="dev")
    billing.take(failed())
    assert billing.view(account)["has_active_plan"] is True
    assert billing.view(account)["plan"] == "dev"
    billing.take(double.subscription_event("deleted", "sub_1", created=CREATED))
    assert billing.view(account)["has_active_plan"] is False


def test_an_unknown_price_changes_the_status_keeps_the_plan_and_alerts(billing: Billing) -> None:
    account = billing.account(plan="dev")
    event = double.subscription_event("updated", "sub_1", created=CREATED, status="past_due", price="price_gold")
    billing.take(event)
    view = billing.view(account)
    assert (view["subscription_status"], view["plan"]) == ("past_due", "dev")
    (alert,) = billing.rows("SELECT * FROM alerts")
    assert (alert["kind"], alert["account_id"]) == ("unknown_price", account)
    assert "price_gold" in alert["text"]


def test_an_event_may_be_older_than_the_account(billing: Billing) -> None:
    account = billing.account()
    billing.take(failed(created=1_000_000_000))
    assert billing.view(account)["past_due_since"] == at(1_000_000_000)


def test_a_deleted_customer_alerts_and_changes_nothing_else(billing: Billing) -> None:
    one, other = billing.account("cus_1"), billing.account("cus_1")
    billing.take(failed(metadata={"accountId": str(one)}))
    before = billing.view(one)
    assert billing.statuses(double.customer_deleted_event("cus_1", created=CREATED - 5)) == ["applied"]
    assert billing.view(one) == before
    alerts = billing.rows("SELECT kind, account_id FROM alerts WHERE kind = 'customer_deleted'")
    assert {row["account_id"] for row in alerts} == {one, other}


# ---- what is not applied ---------------------------------------------------------------------------------------------


def test_an_unknown_status_is_quarantined_and_alerts(billing: Billing) -> None:
    account = billing.account()
    before = billing.view(account)
    event = double.subscription_event("updated", "sub_1", created=CREATED, status="hibernating")
    assert billing.statuses(event) == ["quarantined"]
    assert billing.statuses(event) == ["duplicate"]
    assert billing.view(account) == before
    (row,) = billing.rows("SELECT status, reason FROM stripe_events")
    assert (row["status"], "hibernating" in row["reason"]) == ("quarantined", True)
    assert [alert["kind"] for alert in billing.rows("SELECT kind FROM alerts")] == ["event_quarantined"]


def test_a_quarantined_event_that_is_sent_again_is_applied_once_it_is_understood(billing: Billing) -> None:
    account = billing.account()
    event = double.subscription_event("updated", "sub_1", created=CREATED, status="hibernating")
    assert billing.statuses(event) == ["quarantined"]
    event["data"]["object"]["status"] = "past_due"  # as if this version had learned the word
    assert billing.statuses(event) == ["applied"]
    assert billing.statuses(event) == ["duplicate"]
    assert billing.view(account)["subscription_status"] == "past_due"
    (row,) = billing.rows("SELECT status, reason FROM stripe_events")
    assert (row["status"], row["reason"]) == ("applied", None)


def test_other_types_are_recorded_as_ignored(billing: Billing) -> None:
    billing.account()
    assert billing.statuses(double.event("customer.updated", {"id": "cus_1"}, created=CREATED)) == ["ignored"]
    (row,) = billing.rows("SELECT status, reason, account_id FROM stripe_events")
    assert (row["status"], row["account_id"]) == ("ignored", None)
    assert row["reason"]


@pytest.mark.parametrize(
    ("key_is_live", "event_is_live", "status"),
    [(None, True, "applied"), (None, False, "applied"), (True, True, "applied"), (False, False, "applied"),
     (True, False, "ignored"), (False, True, "ignored")],
)  # fmt: skip
def test_events_of_the_other_mode_are_ignored_with_a_record(
    billing: Billing, key_is_live: bool | None, event_is_live: bool, status: str
) -> None:
    account = billing.account()
    billing.terms = Terms(live=key_is_live)
    assert billing.statuses(failed(livemode=event_is_live)) == [status]
    assert billing.view(account)["overdue_invoices"] == (1 if status == "applied" else 0)
    assert billing.count("stripe_events") == 1


def test_another_api_version_is_read_and_shown_once(billing: Billing) -> None:
    account = billing.account()
    billing.take(failed(api_version="2020-08-27"), failed("in_2", api_version="2020-08-27"))
    billing.take(failed("in_3", api_version="2020-08-27"))
    assert billing.view(account)["overdue_invoices"] == 3
    (alert,) = billing.rows("SELECT * FROM alerts")
    assert (alert["kind"], "2020-08-27" in alert["text"]) == ("api_version_differs", True)
