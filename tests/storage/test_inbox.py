"""Events come in: one row and one effect each, the same end in every order, parked and unparked, all or nothing."""

from __future__ import annotations

import itertools
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from storage.gather import World
from storage.inbox import Terms, retry_parked, take
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, read


@pytest.fixture
def billing(database_url: str) -> Iterator[Billing]:
    made = Billing(database_url)
    yield made
    made.database.close()


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def failed(invoice: str = "in_1", created: int = CREATED, **more: Any) -> double.Event:
    return double.invoice_event("payment_failed", invoice, created=created, **more)


def paid(invoice: str = "in_1", created: int = CREATED + 100, **more: Any) -> double.Event:
    return double.invoice_event("paid", invoice, created=created, **more)


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


# ---- any order, any grouping -----------------------------------------------------------------------------------------


def five(number: int) -> list[double.Event]:
    customer, subscription = f"cus_{number}", f"sub_{number}"
    about: dict[str, Any] = {"customer": customer}
    return [
        double.subscription_event("updated", subscription, created=CREATED, status="past_due", **about),
        failed(f"A{number}", CREATED + 1, **about, shape="old"),
        failed(f"B{number}", CREATED + 2, **about, subscription=subscription),
        paid(f"A{number}", CREATED + 3, **about),
        double.subscription_event("updated", subscription, created=CREATED + 4, **about),
    ]


def test_all_120_orders_of_five_events_end_the_same(billing: Billing) -> None:
    ends = set()
    for number, order in enumerate(itertools.permutations(range(5))):
        account = billing.account(f"cus_{number}", subscription=f"sub_{number}")
        events = five(number)
        for index in order:
            billing.take(events[index])
        view = billing.view(account)
        ends.add((*[view[name] for name in view if name != "last_stripe_event_id"],))
    assert len(ends) == 1
    status, plan, active, overdue, since, *_, rung = ends.pop()
    assert (status, plan, active, overdue, since, rung) == (
        "active", "game", True, 1, at(CREATED + 2), "overdue_warning",
    )  # fmt: skip


EVENTS = st.one_of(
    st.builds(
        lambda kind, invoice, created, status, cents: (kind, invoice, created, {"status": status, "cents": cents}),
        st.sampled_from(["payment_failed", "paid", "voided", "marked_uncollectible", "updated", "finalized"]),
        st.sampled_from(["A", "B"]),
        st.integers(0, 4),
        st.sampled_from(["draft", "open", "paid", "void", "uncollectible"]),
        st.sampled_from([0, 1500]),
    ),
    st.builds(
        lambda kind, subscription, created, status, price: (
            f"subscription.{kind}", subscription, created, {"status": status, "price": price},
        ),
        st.sampled_from(["created", "updated", "deleted", "paused", "resumed"]),
        st.sampled_from(["S", "T"]),
        st.integers(0, 4),
        st.sampled_from(["incomplete", "trialing", "active", "past_due", "unpaid", "paused", "canceled"]),
        st.sampled_from(["price_game", "price_dev", "price_new"]),
    ),
)  # fmt: skip


def built(number: int, index: int, drawn: tuple[str, str, int, dict[str, Any]]) -> double.Event:
    kind, name, created, more = drawn
    build = double.subscription_event if kind.startswith("subscription.") else double.invoice_event
    return build(
        kind.removeprefix("subscription."),
        f"{name}{number}",
        created=CREATED + created,
        event_id=f"evt_{number}_{index}",
        customer=f"cus_{number}",
        **more,
    )


_stories = itertools.count(1000)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(EVENTS, min_size=1, max_size=7), data=st.data())
def test_any_order_duplication_and_grouping_ends_the_same(
    billing: Billing, drawn: list[tuple[str, str, int, dict[str, Any]]], data: st.DataObject
) -> None:
    ends = []
    for straight in (True, False):
        number = next(_stories)
        account = billing.account(f"cus_{number}")
        indexes = list(range(len(drawn)))
        if not straight:
            indexes = data.draw(st.permutations(indexes + data.draw(st.lists(st.sampled_from(indexes), max_size=3))))
        events = [built(number, index, drawn[index]) for index in indexes]
        while events:
            size = 1 if straight else data.draw(st.integers(1, len(events)))
            billing.take(*events[:size])
            events = events[size:]
        view = billing.view(account)
        view["last_stripe_event_id"] = view["last_stripe_event_id"].rpartition("_")[2]
        ends.append(view)
    assert ends[0] == ends[1]


# ---- at once, and all or nothing -------------------------------------------------------------------------------------


def test_fifty_copies_at_once_are_one_row_and_one_effect(billing: Billing) -> None:
    account = billing.account()
    event = failed(event_id="evt_same")
    gate = threading.Barrier(8)

    def deliver(number: int) -> str:
        if number < 8:
            gate.wait(20)
        return billing.statuses(event)[0]

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(deliver, range(50)))
    assert statuses == ["applied"] + ["duplicate"] * 49
    assert billing.count("stripe_events") == 1
    assert len(billing.rows("SELECT 1 FROM audit WHERE kind = 'transition'")) == 2
    assert billing.count("intents") == 1
    assert billing.view(account)["overdue_invoices"] == 1


def test_groups_that_share_accounts_in_other_orders_neither_deadlock_nor_lose(billing: Billing) -> None:
    accounts = [billing.account(f"cus_{number}") for number in range(6)]

    def deliver(worker: int) -> None:
        for turn in range(5):
            order = range(6) if worker % 2 else range(5, -1, -1)
            group = [failed(f"in_{worker}_{turn}_{n}", CREATED + turn, customer=f"cus_{n}") for n in order]
            billing.take(*group)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(deliver, range(4)))
    assert [billing.view(account)["overdue_invoices"] for account in accounts] == [20] * 6


def test_a_payment_committed_while_a_decision_waits_for_its_lock_is_seen(billing: Billing) -> None:
    account = billing.account()
    billing.take(failed("A"))
    waiting = threading.Event()

    def later() -> list[str]:
        waiting.set()
        return billing.statuses(failed("B", CREATED + 5))

    with ThreadPoolExecutor(1) as pool:
        with billing.database.begin() as conn:
            take(conn, billing.policy, [read(paid("A", CREATED + 9))], terms=billing.terms)
            future = pool.submit(later)
            waiting.wait(10)
            wait_until_blocked(billing)
        assert future.result(20) == ["applied"]
    view = billing.view(account)
    assert (view["overdue_invoices"], view["past_due_since"]) == (1, at(CREATED + 5))


def wait_until_blocked(billing: Billing) -> None:
    for _ in range(1000):
        if billing.rows(
            "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits for a lock")


def test_a_failure_anywhere_leaves_nothing_of_the_group(billing: Billing) -> None:
    billing.account()
    before = billing.trace()

    class Crash(Exception):
        pass

    def crashing() -> None:
        with billing.database.begin() as conn:
            take(conn, billing.policy, [read(failed("A")), read(failed("B"))], terms=billing.terms)
            raise Crash

    with pytest.raises(Crash):
        crashing()
    assert billing.trace() == before


def test_a_contradiction_within_a_second_asks_for_a_fetch_where_stripe_can_be_asked(billing: Billing) -> None:
    account = billing.account()
    with billing.database.begin() as conn:
        conn.execute(text("UPDATE accounts SET standing_fetched_at = now()"))
    billing.terms = replace(billing.terms, world=World(stripe_key=True))
    billing.take(double.subscription_event("updated", "sub_1", created=CREATED, price="price_game"))
    assert billing.rows("SELECT 1 FROM accounts WHERE standing_fetched_at IS NULL") == []
    billing.take(double.subscription_event("updated", "sub_1", created=CREATED, price="price_dev"))
    assert billing.rows("SELECT id FROM accounts WHERE standing_fetched_at IS NULL") == [{"id": account}]
