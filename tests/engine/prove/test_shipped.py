"""The shipped policy keeps its guarantees, and each is lost by a policy that breaks it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.model import Policy, Rule, RuleKind, Timer
from engine.prove.judge import Judgement, Verdict, judge
from engine.timeline.play import play
from tests.engine.prove.monitors import breaches_of
from tests.engine.prove.mutants import BREAKING, MUTANTS, mutated
from tests.factories import shipped_policy

CENTURY = timedelta(days=36_500)


def judged(policy: Policy, name: str) -> Judgement:
    return judge(policy, next(g for g in policy.guarantees if g.name == name))


@pytest.mark.parametrize("name", [g.name for g in shipped_policy().guarantees])
def test_the_shipped_policy_keeps(name: str) -> None:
    assert judged(shipped_policy(), name).verdict is Verdict.HOLDS


@pytest.mark.parametrize("name", MUTANTS)
def test_a_policy_that_breaks_it_is_found_and_replays_to_the_same_end(name: str) -> None:
    policy = mutated(*MUTANTS[name])
    found = judged(policy, name if name in BREAKING else "promised")
    assert found.verdict is Verdict.BROKEN, found
    assert found.where is not None
    if found.timeline is None:
        return  # seen by looking, at this place; no time passes
    last = found.steps[-1]
    moments = play(policy, found.timeline, found.timeline.start + CENTURY if last.move.kind == "wait" else None)
    reached = moments[-1].snapshot.states
    assert {machine: reached[machine] for machine in last.states} == dict(last.states)
    if last.move.kind != "wait":
        at_last = [*(step.because for step in moments[-2].steps + moments[-1].steps), *moments[-1].notices]
        assert set(last.move.names) <= set(at_last), at_last
    assert breaches_of(policy, found.guarantee, found.timeline) != []


def test_a_rule_that_skips_a_rung_is_found_even_where_no_check_was_made() -> None:
    policy = shipped_policy()
    billing = policy.machines["billing"]
    skipping = tuple(replace(r, to="suspended") if r.id == "warn_finally" else r for r in billing.pressure)
    machines = {**policy.machines, "billing": replace(billing, pressure=skipping)}
    found = judged(replace(policy, machines=machines), "late_never_skips_a_rung")
    assert found.verdict is Verdict.BROKEN
    assert "2 rungs" in found.why


@pytest.mark.parametrize(("hours", "verdict"), [(47, Verdict.BROKEN), (49, Verdict.NOT_PROVEN)])
def test_rungs_that_may_follow_each_other_for_ever_are_no_progress(hours: int, verdict: Verdict) -> None:
    """Relief that comes before suspension is due goes round for ever; where it comes later, permits decide."""
    policy = shipped_policy()
    billing = policy.machines["billing"]
    place = billing.place
    timer = Timer("final_warning_sent_at", timedelta(hours=hours), place)
    round_ = Rule("round", "billing", RuleKind.RELIEF, ("final_warning",), place, to="overdue_warning", after=(timer,))
    machines = {**policy.machines, "billing": replace(billing, relief=(*billing.relief, round_))}
    found = judged(replace(policy, machines=machines), "debts_get_to_an_end")
    assert found.verdict is verdict
    assert "may follow each other for ever" in found.why


def test_every_shipped_guarantee_is_broken_by_some_policy() -> None:
    names = {guarantee.name for guarantee in shipped_policy().guarantees}
    assert names == {*BREAKING, "late_never_skips_a_rung"}


def test_a_bound_is_never_taken_for_a_proof() -> None:
    policy = shipped_policy()
    guarantee = next(g for g in policy.guarantees if g.name == "no_suspension_without_warning")
    assert judge(policy, guarantee, most_states=20).verdict is Verdict.NOT_PROVEN
