"""What holds of every timeline: random evidence, holds, commands, outages of the post and of ourselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decide import settle
from engine.model import Policy, Value
from engine.snapshot import Snapshot
from tests.engine.life import RUNNING, TIMELINES, Action, live
from tests.factories import START, hours, shipped_policy, small_policy, snapshot_of

POLICIES: dict[str, Callable[[], Policy]] = {"written by hand": small_policy, "shipped": shipped_policy}


@cache
def policy_called(name: str) -> Policy:
    """Return the policy; tests take its name, as hypothesis writes out all arguments of what fails."""
    return POLICIES[name]()


def knowing(snapshot: Snapshot, facts: dict[str, Value]) -> Snapshot:
    """Return the snapshot with this evidence."""
    return replace(snapshot, facts={**snapshot.facts, **facts})


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=50)
@given(TIMELINES)
def test_whatever_happens_no_guarantee_breaks(name: str, timeline: list[Action]) -> None:
    life = live(policy_called(name), timeline)
    life.paid()
    assert life.snapshot.states["billing"] == "active", "payment wins in the end, whatever was before"


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=30)
@given(TIMELINES)
def test_a_customer_who_keeps_owing_is_suspended_in_the_end(name: str, timeline: list[Action]) -> None:
    """Nothing gets stuck: with the post working and nothing in the way, the ladder is climbed."""
    life = live(policy_called(name), [action for action in timeline if action[0] not in {"post", "command"}])
    life.hold([])
    life.snapshot = replace(life.snapshot, servers=RUNNING)
    life.permit(True)
    life.exempt(False)
    life.late(0)
    life.live_on(40)
    assert life.snapshot.states["billing"] == "retained"


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=40)
@given(
    st.permutations(range(4)), st.integers(0, 3), st.sampled_from(("active", "past_due", "unpaid", "canceled")),
    st.integers(0, 300),
)  # fmt: skip
def test_the_order_in_which_evidence_arrives_does_not_change_where_an_account_ends(
    name: str, order: list[int], invoices: int, subscription: str, ago: int
) -> None:
    policy, since = policy_called(name), START - hours(ago)
    pieces: list[dict[str, Value]] = [
        {"overdue_invoices": invoices},
        {"past_due_since": since if invoices or subscription in {"past_due", "unpaid"} else None},
        {"subscription": subscription, "subscription_ended_at": since if subscription == "canceled" else None},
        {"has_active_plan": subscription != "canceled"},
    ]

    def ending(order: list[int]) -> tuple[dict[str, str], dict[str, Value]]:
        snapshot = snapshot_of(policy)
        for index in order:
            snapshot = settle(policy, knowing(snapshot, pieces[index]), START).snapshot
        return dict(snapshot.states), known(snapshot)

    assert ending(order) == ending([0, 1, 2, 3])


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=30)
@given(st.lists(st.sampled_from(("fail a", "fail b", "pay a", "pay b")), min_size=1, max_size=8))
def test_a_debt_that_is_seen_step_by_step_ends_where_one_look_at_the_end_would(name: str, events: list[str]) -> None:
    policy = policy_called(name)
    unpaid: set[str] = set()
    stepwise = snapshot_of(policy)
    facts: dict[str, Value] = {}
    for event in events:
        verb, invoice = event.split()
        unpaid = unpaid | {invoice} if verb == "fail" else unpaid - {invoice}
        facts = {"overdue_invoices": len(unpaid), "past_due_since": START if unpaid else None}
        stepwise = settle(policy, knowing(stepwise, facts), START).snapshot
    once = settle(policy, knowing(snapshot_of(policy), facts), START).snapshot
    assert stepwise.states == once.states
    assert known(stepwise) == known(once)


def known(snapshot: Snapshot) -> dict[str, Value]:
    """Return the facts that are not null."""
    return {name: value for name, value in snapshot.facts.items() if value is not None}
