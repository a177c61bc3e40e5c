"""The mirror and the standing are functions of the set of sightings, whatever their order and number."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Place, Plan
from engine.model import Standing as StandingPolicy
from storage.stripe.event import (
    INVOICE_RANKS,
    SUBSCRIPTION_RANKS,
    InvoiceSeen,
    SubscriptionSeen,
)
from storage.stripe.event_fields import About
from storage.stripe.evidence_mirror import (
    FETCH_MARGIN,
    InvoiceRow,
    Sighting,
    SubscriptionRow,
    fetched_at,
    fold_invoice,
    fold_subscription,
    late_since,
    plan_of,
    unseen_subscription,
)
from storage.stripe.evidence_standing import Standing, standing_of

HERE = Place("standing.yaml", 1, 1)
ACCOUNT = uuid.UUID(int=1)
START = datetime(2026, 3, 1, 8, tzinfo=UTC)
POLICY = StandingPolicy(
    owed_invoice_statuses=("open", "uncollectible"),
    late_subscription_statuses=("past_due", "unpaid"),
    active_subscription_statuses=("active", "trialing", "past_due", "unpaid", "paused"),
    plans={
        "game": Plan("game", ("price_game", "game-monthly"), 10, HERE),
        "dev": Plan("dev", ("price_dev",), 3, HERE),
    },
    facts={},
    predicates={},
)


def at(seconds: int) -> datetime:
    return START + timedelta(seconds=seconds)


def invoice(
    seconds: int, status: str = "open", cents: int = 1500, *, failed: bool = False, named: str = "in_1", event: str = ""
) -> Sighting:
    seen = InvoiceSeen(named, status, cents, "usd", None, failed)
    return Sighting(ACCOUNT, at(seconds), event or f"evt_{named}_{seconds}_{status}", About("cus_1"), seen)


def subscription(
    seconds: int,
    status: str = "active",
    *,
    price: str = "price_game",
    named: str = "sub_1",
    event: str = "",
    **more: Any,
) -> Sighting:
    seen = SubscriptionSeen(named, status, (price,), None, more.get("ended_at"), None, more.get("created_at"))
    return Sighting(ACCOUNT, at(seconds), event or f"evt_{named}_{seconds}_{status}", About("cus_1", named), seen)


def folded(*sightings: Sighting) -> tuple[dict[str, InvoiceRow], dict[str, SubscriptionRow]]:
    invoices: dict[str, InvoiceRow] = {}
    subscriptions: dict[str, SubscriptionRow] = {}
    for each in sightings:
        object_id = each.subject.id
        if isinstance(each.subject, InvoiceSeen):
            invoices[object_id] = fold_invoice(invoices.get(object_id), each)
        else:
            subscriptions[object_id] = fold_subscription(subscriptions.get(object_id), each, POLICY)
    return invoices, subscriptions


def standing(*sightings: Sighting, linked: str | None = None) -> Standing:
    invoices, subscriptions = folded(*sightings)
    return standing_of(POLICY, linked, invoices.values(), subscriptions.values())


# ---- what is late ----------------------------------------------------------------------------------------------------


def test_a_failed_attempt_on_an_open_invoice_is_late_from_that_attempt() -> None:
    found = standing(invoice(10, failed=True))
    assert (found.overdue_invoices, found.past_due_since) == (1, at(10))


@pytest.mark.parametrize(
    ("name", "sightings"),
    {
        "open without a failed attempt": [invoice(10)],
        "nothing remains": [invoice(10, failed=True), invoice(20, cents=0)],
        "paid": [invoice(10, failed=True), invoice(20, "paid", 0)],
        "void": [invoice(10, failed=True), invoice(20, "void", 0)],
        "a draft": [invoice(10, "draft")],
        "written off without any attempt": [invoice(10, "uncollectible")],
        "a credit note of more than it asked": [invoice(10, failed=True), invoice(20, cents=-5)],
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_owed_is_not_late(name: str, sightings: list[Sighting]) -> None:
    assert standing(*sightings).overdue_invoices == 0
    assert standing(*sightings).past_due_since is None


def test_an_uncollectible_invoice_that_failed_stays_owed() -> None:
    found = standing(invoice(10, failed=True), invoice(20, "uncollectible"))
    assert (found.overdue_invoices, found.past_due_since) == (1, at(10))


def test_paying_one_of_two_invoices_leaves_the_account_late_since_the_other() -> None:
    found = standing(
        invoice(10, failed=True, named="A"), invoice(20, failed=True, named="B"), invoice(30, "paid", 0, named="A")
    )
    assert (found.overdue_invoices, found.past_due_since) == (1, at(20))


def test_a_second_failed_attempt_does_not_move_the_anchor() -> None:
    assert standing(invoice(10, failed=True), invoice(90, failed=True)).past_due_since == at(10)


def test_the_first_attempt_counts_also_when_it_is_told_last() -> None:
    assert standing(invoice(90, failed=True), invoice(10, failed=True)).past_due_since == at(10)


def test_a_late_subscription_without_an_invoice_counts_from_when_it_became_late() -> None:
    found = standing(subscription(5, "active"), subscription(10, "past_due"), subscription(40, "unpaid"))
    assert (found.overdue_invoices, found.past_due_since) == (0, at(10))


def test_a_late_subscription_with_an_overdue_invoice_counts_from_the_invoice() -> None:
    found = standing(subscription(5, "past_due"), invoice(10, failed=True))
    assert found.past_due_since == at(10)


@pytest.mark.parametrize("status", ["paused", "incomplete", "incomplete_expired", "trialing", "active", "canceled"])
def test_these_statuses_alone_are_never_late(status: str) -> None:
    assert standing(subscription(10, status)).past_due_since is None


def test_a_recovery_that_is_told_late_starts_the_delinquency_anew() -> None:
    late, again, recovered = subscription(10, "past_due"), subscription(30, "past_due"), subscription(20, "active")
    for order in itertools.permutations([late, again, recovered]):
        assert standing(*order).past_due_since == at(30)


def test_late_statuses_that_the_policy_does_not_count_break_the_chain() -> None:
    _, rows = folded(subscription(10, "unpaid"), subscription(20, "past_due"), subscription(30, "unpaid"))
    assert late_since(rows["sub_1"], ("unpaid",)) == at(30)
    assert late_since(rows["sub_1"], ("unpaid", "past_due")) == at(10)
    assert late_since(rows["sub_1"], ()) is None


# ---- ties ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "believed"),
    [
        ("draft", "open", "open"),
        ("open", "paid", "paid"),
        ("open", "void", "void"),
        ("open", "uncollectible", "uncollectible"),
        ("uncollectible", "paid", "paid"),
        ("uncollectible", "void", "void"),
    ],
)
def test_within_a_second_the_later_stage_of_an_invoice_is_believed(one: str, other: str, believed: str) -> None:
    for order in ((one, other), (other, one)):
        rows, _ = folded(*[invoice(10, status) for status in order])
        assert rows["in_1"].status == believed


def test_within_a_second_the_smaller_debt_is_believed() -> None:
    for order in ((900, 100), (100, 900)):
        rows, _ = folded(*[invoice(10, cents=cents, event=f"e{cents}") for cents in order])
        assert rows["in_1"].amount_remaining_cents == 100


@pytest.mark.parametrize(
    ("one", "other", "believed"),
    [
        ("active", "past_due", "active"),
        ("past_due", "unpaid", "past_due"),
        ("active", "canceled", "canceled"),
        ("unpaid", "canceled", "canceled"),
        ("incomplete", "active", "active"),
        ("incomplete", "incomplete_expired", "incomplete_expired"),
        ("trialing", "active", "active"),
        ("paused", "past_due", "paused"),
    ],
)
def test_within_a_second_what_is_over_wins_then_what_harms_less(one: str, other: str, believed: str) -> None:
    for order in ((one, other), (other, one)):
        _, rows = folded(*[subscription(10, status) for status in order])
        assert rows["sub_1"].status == believed
        assert bool(rows["sub_1"].late_statuses) is (believed in ("past_due", "unpaid"))


# ---- the subscription that speaks for the account --------------------------------------------------------------------


def test_another_subscription_that_ends_does_not_end_the_accounts() -> None:
    own, other = subscription(10, "active"), subscription(50, "canceled", named="sub_2", ended_at=at(50))
    for linked in ("sub_1", None):
        found = standing(own, other, linked=linked)
        assert (found.subscription_status, found.has_active_plan) == ("active", True)
        assert found.subscription_ended_at is None


def test_who_comes_back_with_a_new_subscription_is_not_held_to_the_old_one() -> None:
    old, new = (
        subscription(10, "canceled", ended_at=at(10)),
        subscription(50, "active", named="sub_2", price="price_dev"),
    )
    found = standing(old, new, linked="sub_1")
    assert (found.subscription_status, found.plan, found.has_active_plan) == ("active", "dev", True)


def test_the_linked_subscription_speaks_while_it_lives() -> None:
    own, other = subscription(10, "past_due"), subscription(50, "active", named="sub_2")
    assert standing(own, other, linked="sub_1").subscription_status == "past_due"
    assert standing(own, other, linked="sub_2").subscription_status == "active"


def test_a_cancelled_subscription_has_ended_and_no_plan_is_active() -> None:
    found = standing(subscription(5), subscription(10, "canceled", ended_at=at(99)), linked="sub_1")
    assert (found.subscription_status, found.has_active_plan, found.subscription_ended_at) == (
        "canceled",
        False,
        at(99),
    )
    assert found.plan == "game"


def test_a_subscription_known_by_a_checkout_alone_says_nothing_yet() -> None:
    found = standing_of(POLICY, "sub_1", [], [unseen_subscription("sub_1", ACCOUNT, "cus_1")])
    assert found == Standing(0, None, "none", None, None, None)


@pytest.mark.parametrize(
    ("prices", "name", "plan"),
    [
        (("price_game",), None, "game"),
        (("game-monthly",), None, "game"),
        (("price_dev", "price_game"), None, "game"),
        (("price_addon", "price_dev"), None, "dev"),
        (("price_dev",), "game", "dev"),
        (("price_new",), "game", "game"),
        (("price_new",), "gold", None),
        ((), None, None),
    ],
)
def test_a_plan_is_known_by_price_then_by_name(prices: tuple[str, ...], name: str | None, plan: str | None) -> None:
    assert plan_of(POLICY, prices, name) == plan


def test_an_unknown_price_keeps_the_plan_in_any_order() -> None:
    events = [subscription(1, price="price_dev"), subscription(2), subscription(3, "past_due", price="price_new")]
    for order in itertools.permutations(events):
        found = standing(*order)
        assert (found.plan, found.subscription_status) == ("game", "past_due")


# ---- fetches ---------------------------------------------------------------------------------------------------------


def fetched(sighting: Sighting, began: int) -> Sighting:
    return replace(sighting, at=fetched_at(sighting.subject, at(began)), event_id="")


def test_a_payment_told_after_a_fetch_that_missed_it_still_counts() -> None:
    unpaid = fetched(invoice(0), 100)
    assert unpaid.at == at(100) - FETCH_MARGIN
    failed, paid = invoice(10, failed=True), invoice(99, "paid", 0)
    for order in itertools.permutations([failed, unpaid, paid]):
        assert standing(*order).overdue_invoices == 0


def test_a_fetched_payment_counts_at_once() -> None:
    assert standing(invoice(99, failed=True), fetched(invoice(0, "paid", 0), 100)).overdue_invoices == 0


def test_a_fetch_outweighs_what_is_older() -> None:
    assert (
        standing(subscription(10), fetched(subscription(0, "canceled", ended_at=at(50)), 100)).has_active_plan is False
    )


# ---- any order, any number -------------------------------------------------------------------------------------------

SECONDS = st.integers(0, 6)
INVOICES = st.builds(
    lambda seconds, status, cents, failed, named, event: invoice(
        seconds, status, cents, failed=failed and status != "draft" and cents > 0, named=named, event=event
    ),
    SECONDS,
    st.sampled_from(sorted(INVOICE_RANKS)),
    st.sampled_from([-1, 0, 1, 1500]),
    st.booleans(),
    st.sampled_from(["A", "B"]),
    st.integers(0, 10**6).map(lambda n: f"evt_{n}"),
)
SUBSCRIPTIONS = st.builds(
    lambda seconds, status, price, named, event: subscription(
        seconds, status, price=price, named=named, event=event, ended_at=at(seconds), created_at=at(len(named))
    ),
    SECONDS,
    st.sampled_from(sorted(SUBSCRIPTION_RANKS)),
    st.sampled_from(["price_game", "price_dev", "price_new"]),
    st.sampled_from(["S", "TT"]),
    st.integers(0, 10**6).map(lambda n: f"evt_{n}"),
)


@given(
    st.lists(st.one_of(INVOICES, SUBSCRIPTIONS), max_size=9, unique_by=lambda each: each.event_id),
    st.data(),
    st.sampled_from([None, "S", "TT"]),
)
def test_any_order_and_any_duplicates_end_the_same(
    sightings: list[Sighting], data: st.DataObject, linked: str | None
) -> None:
    copies = data.draw(st.lists(st.sampled_from(sightings), max_size=5)) if sightings else []
    shuffled = data.draw(st.permutations(sightings + copies))
    assert folded(*shuffled) == folded(*sightings)
    assert standing(*shuffled, linked=linked) == standing(*sightings, linked=linked)


def late_since_in_one_go(sightings: list[Sighting]) -> datetime | None:
    """Sort first, then walk: what the fold has to come to."""
    ordered = sorted(sightings, key=lambda s: (s.at, SUBSCRIPTION_RANKS[s.subject.status]))
    since = None
    for second, group in itertools.groupby(ordered, key=lambda s: s.at):
        late = list(group)[-1].subject.status in ("past_due", "unpaid")
        since = (since or second) if late else None
    return since


@given(
    st.lists(
        SUBSCRIPTIONS.filter(lambda s: s.subject.id == "S"), min_size=1, max_size=8, unique_by=lambda s: s.event_id
    )
)
def test_late_since_is_the_start_of_the_last_unbroken_run(sightings: list[Sighting]) -> None:
    _, rows = folded(*sightings)
    assert late_since(rows["S"], ("past_due", "unpaid")) == late_since_in_one_go(sightings)
