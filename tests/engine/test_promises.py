"""Dates that were told: never broken, voided when they move later, told again once nothing holds."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.decide import settle
from engine.delivered import claimed, ended, issued_again, stamped
from engine.due import held, promise_date, rule_due
from engine.errors import EngineError
from engine.model import Machine, Policy, Timer
from engine.snapshot import Hold, NoticeStatus, StepKind
from tests.factories import HERE, START, at, hours, small_policy
from tests.story import Story

POLICY = small_policy()
FINAL = "send_final_warning"


def warned_finally(policy: Policy = POLICY) -> Story:
    """Return an account with a final warning delivered at 72 h that promises 120 h."""
    story = Story(policy)
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.until(72)
    assert story.promised() == at(120)
    return story


def with_timer(policy: Policy, rule_name: str, **timers: float) -> Policy:
    """Return the policy with other durations, in hours, in one rule's `after`."""
    machine_name, _, rule_id = rule_name.partition(".")
    machine: Machine = policy.machines[machine_name]
    after = tuple(Timer(anchor, hours(count), HERE) for anchor, count in timers.items())
    pressure = tuple(replace(r, after=after) if r.id == rule_id else r for r in machine.pressure)
    return replace(policy, machines={**policy.machines, machine_name: replace(machine, pressure=pressure)})


def test_a_late_delivery_moves_the_suspension_and_not_the_promise() -> None:
    story = Story(POLICY, post=False)
    story.post = True
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.until(71)
    story.post = False
    story.until(72)
    snapshot = claimed(POLICY, story.snapshot, FINAL, 1, at(72))
    assert snapshot.notices[FINAL].promise_at == at(120)
    snapshot = stamped(POLICY, snapshot, FINAL, 1, 1, at(72.5))
    settlement = settle(POLICY, snapshot, at(120))
    assert settlement.steps == ()
    assert settlement.due_at == at(120.5), "the notice keeps its time from when it was delivered"
    assert settle(POLICY, snapshot, at(120.5)).snapshot.states["billing"] == "suspended"


def test_a_policy_that_became_faster_keeps_what_was_told() -> None:
    story = warned_finally()
    story.policy = with_timer(POLICY, "billing.suspend", past_due_since=73, final_warning_sent_at=1)
    story.until(119)
    assert story.state() == "final_warning"
    story.until(120)
    assert story.state() == "suspended"


def test_a_policy_that_became_slower_voids_what_was_told_and_tells_the_new_date() -> None:
    story = warned_finally()
    story.until(80)
    story.policy = with_timer(POLICY, "billing.suspend", past_due_since=200, final_warning_sent_at=48)
    story.settle()
    assert [step.kind for step in settle(story.policy, warned_finally().snapshot, at(80)).steps] == [
        StepKind.VOID,
        StepKind.REISSUE,
    ]
    assert story.promised() == at(200)
    assert story.snapshot.notices[FINAL].round == 2
    assert "send_hold_changed_notice" not in story.notices()
    story.until(199)
    assert story.state() == "final_warning"
    story.until(200)
    assert story.state() == "suspended"


def test_a_policy_that_forgets_the_promise_still_keeps_it() -> None:
    story = warned_finally()
    faster = with_timer(POLICY, "billing.suspend", past_due_since=73, final_warning_sent_at=1)
    silent = {**faster.intents, FINAL: replace(faster.intents[FINAL], promises=None)}
    story.policy = replace(faster, intents=silent)
    story.until(119)
    assert story.state() == "final_warning"
    story.until(120)
    assert story.state() == "suspended"


def test_evidence_that_moves_the_date_later_voids_the_promise() -> None:
    story = warned_finally()
    story.until(80)
    story.evidence(past_due_since=at(40))
    assert story.promised() == at(160)
    assert story.notices().count(FINAL) == 2


def test_evidence_that_moves_the_date_earlier_does_not() -> None:
    story = warned_finally()
    story.evidence(past_due_since=START - timedelta(days=100))
    assert story.promised() == at(120)
    story.until(119)
    assert story.state() == "final_warning"


def test_a_later_round_never_tells_an_earlier_date() -> None:
    story = warned_finally()
    story.until(73)
    story.evidence(past_due_since=at(72))
    assert story.promised() == at(192)
    story.until(74)
    story.evidence(past_due_since=at(100))
    assert story.promised() == at(220)
    story.evidence(past_due_since=START)
    story.hold(Hold("extension", at(221)))
    story.until(80)
    story.hold()
    assert story.promised() == at(220), "192 h and 128 h were possible; 220 h was told"
    story.until(219)
    assert story.state() == "final_warning"
    story.until(220)
    assert story.state() == "suspended"


@pytest.mark.parametrize(("end", "promised"), [(119, 120), (120, 120), (121, None)])
def test_a_hold_that_ends_by_the_promised_date_leaves_it_standing(end: float, promised: float | None) -> None:
    story = warned_finally()
    story.until(80)
    story.hold(Hold("extension", at(end)))
    assert story.promised() == (at(promised) if promised is not None else None)


def test_an_unbounded_hold_voids_the_promise_only_when_its_date_comes() -> None:
    story = warned_finally()
    story.until(80)
    story.hold(Hold("processor_outage", None))
    assert story.promised() == at(120)
    assert story.last.due_at == at(120)
    story.until(119)
    assert story.promised() == at(120)
    story.until(120)
    assert story.state() == "final_warning"
    assert story.promised() is None
    assert story.notices()[-1] == "send_hold_changed_notice"
    assert story.until(121).due_at is None
    story.until(300)
    story.hold()
    assert story.notices()[-1] == FINAL
    assert story.promised() == at(348)


def test_an_unbounded_hold_that_ends_before_the_date_changes_nothing() -> None:
    story = warned_finally()
    story.hold(Hold("processor_outage", None))
    story.until(100)
    story.hold()
    assert story.notices().count(FINAL) == 1
    story.until(120)
    assert story.state() == "suspended"


def test_a_hold_of_another_kind_voids_nothing() -> None:
    story = warned_finally()
    story.hold(Hold("somebody_is_on_holiday", None))
    assert story.promised() == at(120)
    story.until(120)
    assert story.state() == "suspended"


def test_one_hold_is_told_once_however_often_the_account_is_settled() -> None:
    story = warned_finally()
    story.post = False
    story.hold(Hold("extension", at(200)))
    story.hold(Hold("extension", at(210)))
    story.settle()
    changed = [asked for _, asked in story.asked if asked.intent == "send_hold_changed_notice"]
    assert [asked.round for asked in changed] == [1]


def test_each_further_hold_is_told_in_a_round_of_its_own() -> None:
    story = warned_finally()
    story.hold(Hold("extension", at(200)))
    story.until(200)
    story.hold(Hold("extension", at(400)))
    changed = [asked.round for _, asked in story.asked if asked.intent == "send_hold_changed_notice"]
    assert changed == [1, 2]
    story.until(400)
    assert story.promised() == at(448)


def test_no_promising_notice_is_sent_while_a_hold_could_move_its_date() -> None:
    story = Story(POLICY, post=False)
    snapshot = replace(story.snapshot, holds=(Hold("extension", at(10)),))
    assert held(POLICY, FINAL, snapshot, at(9))
    assert not held(POLICY, FINAL, snapshot, at(10))
    assert held(POLICY, FINAL, replace(snapshot, holds=(Hold("processor_outage", None),)), at(10_000))
    assert not held(POLICY, "send_billing_warning", snapshot, at(9))


def test_the_date_of_a_claim_is_the_rules_own_with_the_notice_taken_as_delivered_then() -> None:
    story = warned_finally()
    assert promise_date(POLICY, FINAL, story.snapshot, at(60)) == at(120)
    assert promise_date(POLICY, FINAL, story.snapshot, at(72)) == at(120)
    assert promise_date(POLICY, FINAL, story.snapshot, at(73)) == at(121)
    held_until = replace(story.snapshot, holds=(Hold("extension", at(500)),))
    assert promise_date(POLICY, FINAL, held_until, at(73)) == at(500)
    unknown = replace(story.snapshot, facts={**story.snapshot.facts, "past_due_since": None})
    assert promise_date(POLICY, FINAL, unknown, at(73)) is None
    assert promise_date(POLICY, "send_billing_warning", story.snapshot, at(73)) is None


def test_a_second_claim_of_the_same_round_never_tells_an_earlier_date() -> None:
    story = warned_finally()
    story.post = False
    story.evidence(past_due_since=at(60))
    first = claimed(POLICY, story.snapshot, FINAL, 2, at(73))
    assert first.notices[FINAL].promise_at == at(180)
    moved = replace(first, facts={**first.facts, "past_due_since": START})
    assert claimed(POLICY, moved, FINAL, 2, at(74)).notices[FINAL].promise_at == at(180)


def test_a_delivery_of_a_replaced_round_or_an_ended_episode_stamps_nothing() -> None:
    story = warned_finally()
    story.post = False
    story.evidence(past_due_since=at(60))
    assert stamped(POLICY, story.snapshot, FINAL, 1, 1, at(80)) is story.snapshot
    story.evidence(overdue_invoices=0)
    assert stamped(POLICY, story.snapshot, FINAL, 1, 2, at(81)) is story.snapshot


def test_a_delivery_that_is_reported_twice_stamps_once() -> None:
    story = warned_finally()
    assert stamped(POLICY, story.snapshot, FINAL, 1, 1, at(90)) is story.snapshot
    assert story.snapshot.facts["final_warning_sent_at"] == at(72)


@pytest.mark.parametrize("status", [NoticeStatus.UNKNOWN, NoticeStatus.FAILED])
def test_a_round_that_is_unknown_or_failed_is_followed_by_another_only_when_a_person_says_so(
    status: NoticeStatus,
) -> None:
    story = warned_finally()
    story.post = False
    story.evidence(past_due_since=at(60))
    story.snapshot = ended(story.snapshot, FINAL, 1, 2, status)
    story.until(24 * 365)
    assert story.state() == "final_warning"
    assert story.snapshot.notices[FINAL].round == 2
    story.snapshot, asked = issued_again(POLICY, story.snapshot, FINAL, story.now)
    assert (asked.intent, asked.round) == (FINAL, 3)
    assert story.snapshot.notices[FINAL].status is NoticeStatus.OPEN


def test_late_word_that_an_unknown_notice_was_delivered_counts() -> None:
    story = warned_finally()
    story.post = False
    story.evidence(past_due_since=at(60))
    story.snapshot = claimed(POLICY, story.snapshot, FINAL, 2, at(73))
    story.snapshot = ended(story.snapshot, FINAL, 1, 2, NoticeStatus.UNKNOWN)
    story.snapshot = stamped(POLICY, story.snapshot, FINAL, 1, 2, at(73))
    assert story.snapshot.facts["final_warning_sent_at"] == at(73)
    story.until(180)
    assert story.state() == "suspended"


def test_a_person_cannot_repeat_a_notice_that_was_delivered() -> None:
    story = warned_finally()
    with pytest.raises(EngineError, match="no unknown or failed round"):
        issued_again(POLICY, story.snapshot, FINAL, story.now)


def test_the_retention_date_that_was_told_binds_the_request_to_delete() -> None:
    story = warned_finally()
    story.until(24 * 40)
    told = story.promised("send_retention_warning")
    assert told == at(120 + 14 * 24)
    assert rule_due(POLICY, "billing.ask_deletion", story.snapshot) == told


def test_a_voided_promise_is_not_told_again_to_one_who_paid() -> None:
    story = warned_finally()
    story.hold(Hold("extension", at(200)))
    story.evidence(overdue_invoices=0)
    story.until(300)
    assert story.notices()[-1] == "send_restored_notice"
    assert story.notices().count(FINAL) == 1
