"""Any order, number and grouping of the same events ends the same; what comes at once neither collides nor is lost."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from storage.gather import World
from storage.stripe.inbox import take
from tests.doubles import stripe as double
from tests.storage.billing import CREATED, Billing, at, failed, paid, read

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
    orders = list(itertools.permutations(range(5)))
    accounts = [billing.account(f"cus_{number}", subscription=f"sub_{number}") for number in range(len(orders))]
    events = [five(number) for number in range(len(orders))]
    for turn in range(5):  # each account gets its events one by one, all of them side by side
        billing.take(*(events[number][order[turn]] for number, order in enumerate(orders)))
    ends = set()
    for account in accounts:
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


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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
