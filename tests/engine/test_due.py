"""When rules are due: the latest of their timers, forwards and backwards, and never while an anchor is null."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from engine.due import ALWAYS, rule_due
from engine.snapshot import NoticeState, NoticeStatus
from tests.factories import START, at, hours, small_policy, snapshot_of

POLICY = small_policy()


def test_a_rule_is_due_when_the_last_of_its_timers_has_elapsed() -> None:
    snapshot = snapshot_of(POLICY, past_due_since=START, final_warning_sent_at=at(72))
    assert rule_due(POLICY, "billing.suspend", snapshot) == at(120)
    late = snapshot_of(POLICY, past_due_since=START, final_warning_sent_at=at(73))
    assert rule_due(POLICY, "billing.suspend", late) == at(121)


def test_it_counts_from_its_anchor_and_not_from_when_anybody_looked() -> None:
    snapshot = snapshot_of(POLICY, past_due_since=START - timedelta(days=300), warning_sent_at=START)
    assert rule_due(POLICY, POLICY.rule("billing.warn_finally"), snapshot) == at(24)


def test_before_counts_backwards() -> None:
    snapshot = snapshot_of(POLICY, retention_until=at(500))
    assert rule_due(POLICY, "billing.warn_retention", snapshot) == at(428)


def test_a_null_anchor_makes_a_rule_never_due() -> None:
    assert rule_due(POLICY, "billing.suspend", snapshot_of(POLICY, past_due_since=START)) is None


def test_a_stamp_that_stands_in_answers_what_if() -> None:
    snapshot = snapshot_of(POLICY, past_due_since=START)
    assert rule_due(POLICY, "billing.suspend", snapshot, {"final_warning_sent_at": at(80)}) == at(128)
    assert "final_warning_sent_at" not in snapshot.facts


def test_a_rule_that_waits_for_no_time_is_always_due() -> None:
    assert rule_due(POLICY, "billing.late", snapshot_of(POLICY)) == ALWAYS


def test_a_date_that_was_told_counts_whatever_the_timers_say() -> None:
    snapshot = snapshot_of(POLICY, past_due_since=START, final_warning_sent_at=at(72))
    told = NoticeState(1, 1, NoticeStatus.DELIVERED, at(72), at(300), "billing")
    assert rule_due(POLICY, "billing.suspend", replace(snapshot, notices={"send_final_warning": told})) == at(300)
    floor = replace(told, promise_at=None, floor_at=at(400), status=NoticeStatus.OPEN)
    assert rule_due(POLICY, "billing.suspend", replace(snapshot, notices={"send_final_warning": floor})) == at(400)
    warned = {**snapshot.facts, "warning_sent_at": START}
    other = replace(snapshot, facts=warned, notices={"send_final_warning": told})
    assert rule_due(POLICY, "billing.block_backups", other) == START + hours(72), "it binds the rule that it told of"
