"""The shipped policy keeps its guarantees, and each is lost by a policy that breaks it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine.load import bundle, load_texts
from engine.model import Policy
from engine.prove.counterexample import story
from engine.prove.judge import Judgement, Verdict, judge
from engine.prove.replay import timeline_of
from engine.timeline import play

SHIPPED = Path(__file__).resolve().parents[3] / "policy"

Change = tuple[str, str, str]  # file, what is written there, what breaks the guarantee

BREAKING: dict[str, tuple[Change, ...]] = {
    "no_suspension_without_warning": (
        (
            "billing.yaml",
            "after: {past_due_since: suspend_after, final_warning_sent_at: notice_before_suspension}",
            (
                "after: {past_due_since: suspend_after, final_warning_sent_at: warning_before_final, "
                "warning_sent_at: notice_before_suspension}"
            ),
        ),
    ),
    "no_final_warning_without_a_first": (
        (
            "billing.yaml",
            "after: {past_due_since: final_warning_after, warning_sent_at: warning_before_final}",
            "after: {past_due_since: final_warning_after, warning_sent_at: warning_after}",
        ),
    ),
    "no_stop_after_the_end_without_notice": (
        (
            "ended.yaml",
            "after: {subscription_ended_at: stop_after, ended_notice_sent_at: notice_before_stop}",
            "after: {subscription_ended_at: stop_after, ended_notice_sent_at: 24h}",
        ),
        ("ended.yaml", "after: {ended_stopped_at: keep_stopped}", "after: {ended_stopped_at: notice_before_stop}"),
        ("ended.yaml", "  keep_stopped:       {default: 72h}\n", ""),
    ),
    "nothing_owed_no_pressure": (
        (
            "billing.yaml",
            "{id: late, from: active, to: past_due, when: owing}",
            "{id: late, from: active, to: past_due, when: {any: [owing, {fact: exempt, eq: true}]}}",
        ),
        (
            "billing.yaml",
            "    when: nothing_owed\n  - id: paid\n",
            "    when: {all: [nothing_owed, {fact: exempt, eq: false}]}\n  - id: paid\n",
        ),
    ),
    "payment_wins": (
        (
            "billing.yaml",
            "    when: nothing_owed\n    do: [{restore_access",
            "    when: {all: [nothing_owed, {fact: subscription, ne: canceled}]}\n    do: [{restore_access",
        ),
    ),
    "suspended_never_runs": (("repairs.yaml", "do: shutdown_suspended_server, level: always", "do: nothing"),),
    "one_notice_per_round": (
        (
            "billing.yaml",
            "do: [{mark_server_retained: each server}]",
            "do: [{mark_server_retained: each server}, send_suspended_notice]",
        ),
    ),
    "billing_destroys_nothing": (
        (
            "abuse.yaml",
            "{shutdown_suspended_server: each server}]",
            "{shutdown_suspended_server: each server}, {prune_backups: each server}]",
        ),
    ),
    "deletion_is_only_asked_for_after_retention": (
        (
            "billing.yaml",
            "after: {retention_until: 0h, retention_warned_at: retention_notice}",
            "after: {suspended_at: 0h, retention_warned_at: retention_notice}",
        ),
        ("billing.yaml", "before: {retention_until: retention_notice}", "before: {retention_until: 10d}"),
    ),
}


def mutated(*changes: Change) -> Policy:
    """Return the shipped policy with texts replaced; each must stand there exactly once."""
    texts = bundle(SHIPPED)
    for file, old, new in changes:
        assert texts[file].count(old) == 1, f"{file} holds {texts[file].count(old)} times: {old}"
        texts[file] = texts[file].replace(old, new)
    return load_texts(texts)


def judged(policy: Policy, name: str) -> Judgement:
    return judge(policy, next(g for g in policy.guarantees if g.name == name))


@pytest.mark.parametrize("name", [g.name for g in load_texts(bundle(SHIPPED)).guarantees])
def test_the_shipped_policy_keeps(name: str) -> None:
    assert judged(load_texts(bundle(SHIPPED)), name).verdict is Verdict.HOLDS


@pytest.mark.parametrize("name", BREAKING)
def test_a_policy_that_breaks_it_is_found_and_replays_to_the_same_end(name: str) -> None:
    policy = mutated(*BREAKING[name])
    found = judged(policy, name)
    assert found.verdict is Verdict.BROKEN, found
    assert found.where is not None
    if found.space is None:
        return  # seen by looking, at this place; no time passes
    steps = story(found.space, found.path, found.broken)
    moments = play(policy, timeline_of(found.space, steps))
    fired = [step.because for moment in moments for step in moment.steps]
    assert fired[-1] in steps[-1].move.names, (fired, [step.move.names for step in steps])
    reached = moments[-1].snapshot.states
    assert {machine: reached[machine] for machine in steps[-1].states} == dict(steps[-1].states)


def test_a_rule_that_skips_a_rung_is_found_even_where_no_check_was_made() -> None:
    policy = load_texts(bundle(SHIPPED))
    billing = policy.machines["billing"]
    skipping = tuple(replace(r, to="suspended") if r.id == "warn_finally" else r for r in billing.pressure)
    machines = {**policy.machines, "billing": replace(billing, pressure=skipping)}
    found = judged(replace(policy, machines=machines), "late_never_skips_a_rung")
    assert found.verdict is Verdict.BROKEN
    assert "2 rungs" in found.why


def test_every_shipped_guarantee_is_broken_by_some_policy() -> None:
    names = {guarantee.name for guarantee in load_texts(bundle(SHIPPED)).guarantees}
    assert names == {*BREAKING, "late_never_skips_a_rung"}


def test_a_bound_is_never_taken_for_a_proof() -> None:
    policy = load_texts(bundle(SHIPPED))
    guarantee = next(g for g in policy.guarantees if g.name == "no_suspension_without_warning")
    assert judge(policy, guarantee, most_states=20).verdict is Verdict.NOT_PROVEN
