"""Proofs held against random walks for as long as it takes, on the shipped policy and on random changes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from engine.errors import EngineError
from engine.model import Ask, Atom, IntentKind, Machine, Not, Origin, Policy, Rule
from engine.prove.judge import Verdict, judge
from tests.engine.prove.monitors import breaches_of
from tests.engine.prove.mutants import HARMLESS, MUTANTS
from tests.engine.prove.test_walk import breaches, policy_called, strays

CHANGED = 150  # random changes of the shipped policy
STAMPS = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)


@pytest.mark.timeout(3600)
def test_no_walk_breaks_the_shipped_policy() -> None:
    assert breaches(policy_called("shipped"), seed=11, walks=3000, length=60) == {}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["shipped", *HARMLESS, *MUTANTS])
def test_whatever_a_walk_meets_was_explored(name: str) -> None:
    assert strays(policy_called(name), seed=12, walks=1000 if name == "shipped" else 100, length=60) == {}


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(CHANGED))
def test_a_random_change_is_judged_as_walks_find_it(seed: int) -> None:
    """What a walk breaks is not proved; what is called broken is broken by its replay; what is met was explored."""
    policy = changed(policy_called("shipped"), Random(seed))
    try:
        found = breaches(policy, seed, walks=60, length=40)
        unexplored = strays(policy, seed, walks=10, length=40)
    except EngineError:
        return  # refused, or without an end: nothing is decided under it
    assert unexplored == {}
    for guarantee in policy.guarantees:
        judged = judge(policy, guarantee)
        assert judged.verdict is not Verdict.HOLDS or guarantee.name not in found, found[guarantee.name]
        if judged.verdict is Verdict.BROKEN and judged.timeline is not None:
            assert breaches_of(policy, guarantee, judged.timeline), guarantee.name


def changed(policy: Policy, random: Random) -> Policy:
    """Return the policy with one to three changes of its rules."""
    for _ in range(random.randint(1, 3)):
        machine = random.choice([m for m in policy.account_machines if m.name != "abuse"])
        rule = random.choice(machine.rules)
        changes: tuple[Callable[[Policy, Machine, Rule, Random], Rule], ...] = (
            _without_timer, _with_other_timer, _with_other_timer, _with_other_anchor, _without_guard, _with_other_guard,
            _without_ask, _with_other_ask, _without_permits, _by_itself,
        )  # fmt: skip
        other = random.choice(changes)(policy, machine, rule, random)
        machine = replace(
            machine,
            relief=tuple(other if each is rule else each for each in machine.relief),
            pressure=tuple(other if each is rule else each for each in machine.pressure),
        )
        policy = replace(policy, machines={**policy.machines, machine.name: machine})
    return policy


def _without_timer(_policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    kept = list(rule.after)
    if kept:
        kept.remove(random.choice(kept))
    return replace(rule, after=tuple(kept))


def _with_other_timer(_policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    span = timedelta(hours=random.choice((0, 1, 23, 24, 47, 48, 71, 500)))
    chosen = random.choice(rule.after) if rule.after else None
    return replace(rule, after=tuple(replace(t, duration=span) if t is chosen else t for t in rule.after))


def _with_other_anchor(policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    stamps = [fact.name for m in policy.account_machines for fact in m.facts.values() if fact.origin in STAMPS]
    chosen = random.choice(rule.after) if rule.after else None
    anchor = random.choice(stamps)
    if any(timer.anchor == anchor for timer in rule.after):
        return rule
    return replace(rule, after=tuple(replace(t, anchor=anchor) if t is chosen else t for t in rule.after))


def _without_guard(_policy: Policy, _machine: Machine, rule: Rule, _random: Random) -> Rule:
    return replace(rule, when=None) if rule.after or rule.event else rule


def _with_other_guard(policy: Policy, machine: Machine, rule: Rule, random: Random) -> Rule:
    stamps = [fact.name for m in policy.account_machines for fact in m.facts.values() if fact.origin in STAMPS]
    guards = [each.when for each in machine.rules if each.when is not None]
    guards += [Atom(random.choice(stamps), "is_null", random.random() < 0.5, rule.place)]
    guards += [Not(rule.when, rule.place)] if rule.when is not None else []
    return replace(rule, when=random.choice(guards))


def _without_ask(_policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    return replace(rule, do=tuple(ask for ask in rule.do if random.random() < 0.5))


def _with_other_ask(policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    notices = [intent.name for intent in policy.intents.values() if intent.kind is IntentKind.NOTICE]
    return replace(rule, do=(*rule.do, Ask(random.choice(notices), False, rule.place)))


def _without_permits(_policy: Policy, _machine: Machine, rule: Rule, random: Random) -> Rule:
    return replace(rule, needs=tuple(name for name in rule.needs if random.random() < 0.5))


def _by_itself(_policy: Policy, _machine: Machine, rule: Rule, _random: Random) -> Rule:
    return replace(rule, event=None, by=None) if rule.after else rule
