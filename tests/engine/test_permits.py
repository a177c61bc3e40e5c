"""What may delay pressure: holds, services, brakes and safe points. What is not known does not permit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.decide import settle
from engine.snapshot import Hold, ServerFacts, Waiting
from tests.factories import (
    START,
    at,
    small_policy,
)
from tests.story import Story, late_customer_after

POLICY = small_policy()


@pytest.mark.parametrize("answer", [False, None])
@pytest.mark.parametrize("permit", ["fresh_standing", "suspension_brake"])
def test_a_permit_that_is_not_known_does_not_permit(permit: str, answer: bool | None) -> None:
    story = late_customer_after(119)
    story.permit(**{permit: answer})
    story.until(130)
    assert story.state() == "final_warning"
    assert story.last.waiting == (Waiting("billing.suspend", permit, None),)
    assert story.last.due_at == at(120), "due in the past, and `waiting` says what holds it"
    story.permit(**{permit: True})
    assert story.state() == "suspended"


def test_a_permit_that_nobody_answered_does_not_permit() -> None:
    story = late_customer_after(119)
    story.snapshot = replace(story.snapshot, permits={})
    story.until(130)
    assert story.state() == "final_warning"
    assert [each.permit for each in story.last.waiting] == ["fresh_standing"]


def test_a_brake_is_asked_for_last_and_counted_once_a_step() -> None:
    story = late_customer_after(119)
    story.permit(suspension_brake=None, fresh_standing=None)
    story.until(120)
    assert [each.permit for each in story.last.waiting] == ["fresh_standing"]
    story.permit(fresh_standing=True)
    assert [each.permit for each in story.last.waiting] == ["suspension_brake"]
    assert story.last.brakes == ()
    settlement = settle(
        POLICY, replace(story.snapshot, permits={"suspension_brake": True, "fresh_standing": True}), at(120)
    )
    assert settlement.brakes == ("suspension_brake",)


def test_a_server_in_the_middle_of_something_is_a_safe_point_that_suspension_waits_for() -> None:
    story = late_customer_after(119)
    busy = (ServerFacts("s1", "running", "running"), ServerFacts("s2", "backing_up", "running"))
    story.snapshot = replace(story.snapshot, servers=busy)
    story.until(121)
    assert story.last.waiting == (Waiting("billing.suspend", "safe_point", None),)
    story.snapshot = replace(story.snapshot, servers=(busy[0], replace(busy[1], lifecycle="running")))
    story.settle()
    assert story.state() == "suspended"


def test_a_hold_says_until_when_it_blocks() -> None:
    story = Story(POLICY)
    story.hold(Hold("extension", at(5)), Hold("extension", at(9)))
    story.evidence(overdue_invoices=1, past_due_since=START)
    assert story.state() == "active"
    assert story.last.waiting == (Waiting("billing.late", "no_hold", at(9)),)
    assert story.last.due_at == START
    story.hold(Hold("extension", at(5)), Hold("processor_outage", None))
    assert story.last.waiting == (Waiting("billing.late", "no_hold", None),)
    story.now = at(9)
    story.hold(Hold("extension", at(9)))
    assert story.state() == "overdue_warning", "a hold ends at its instant"


def test_relief_asks_no_permit() -> None:
    story = late_customer_after(130)
    story.snapshot = replace(story.snapshot, permits={}, holds=(Hold("processor_outage", None),))
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"
