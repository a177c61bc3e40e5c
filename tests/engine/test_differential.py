"""Model and executor agree: every state, every rule, every region of the facts that the rule reads, to the second."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.compiled import CompiledRule, compiled
from engine.executor import Subject
from engine.guards import atoms_of, facts_of
from engine.model import Atom, FactType, Guard, Machine, Policy, Rule, RuleKind, Value
from tests.factories import (
    START,
    at,
    atom,
    every,
    fact,
    hours,
    machine,
    negated,
    policy_of,
    rule,
    shipped_policy,
    small_policy,
    some,
)

SECOND = timedelta(seconds=1)
NOW = at(5000)
ROLES = (None, "admin", "worker", "customer")


def regions_of(policy: Policy, name: str, atoms: Iterable[Atom], anchors: Iterable[timedelta]) -> list[Value]:
    """Return a value from each region of the fact: null, and around every value that something compares it with."""
    values: dict[Value, None] = {None: None}
    declared = policy.facts.get(name)
    if declared is not None and declared.type is FactType.BOOL:
        values |= {True: None, False: None}
    for each in atoms:
        compared = each.value if isinstance(each.value, tuple) else (each.value,)
        for value in compared:
            if isinstance(value, bool) or value is None:
                continue
            if isinstance(value, int):
                values |= {value - 1: None, value: None, value + 1: None}
            elif isinstance(value, datetime):
                values |= {value - SECOND: None, value: None, value + SECOND: None}
            else:
                values |= {value: None, "something else": None}
    for duration in anchors:
        due = NOW - duration
        values |= {due - SECOND: None, due: None, due + SECOND: None}
    return list(values)


def regions(policy: Policy, rule_: CompiledRule) -> Iterator[dict[str, Value]]:
    """Yield facts from every combination of regions of what the rule reads."""
    atoms = list(atoms_of(rule_.rule.when))
    axes = []
    for name in rule_.reads:
        durations = [duration for anchor, duration in rule_.timers if anchor == name]
        if name == rule_.mark:
            durations.append(timedelta(0))
        axes.append(
            [(name, value) for value in regions_of(policy, name, [a for a in atoms if a.fact == name], durations)]
        )
    for chosen in itertools.product(*axes):
        yield dict(chosen)


def model_allows(
    rule_: CompiledRule, state: str, facts: dict[str, Value], told: datetime | None, role: str | None
) -> bool:
    """Say what decisions say: sources, mark, compiled condition, timers, promise, and the role of an event."""
    if state not in rule_.rule.sources or (rule_.mark is not None and facts.get(rule_.mark) is not None):
        return False
    if rule_.check is not None and not rule_.check(facts):
        return False
    if rule_.event is not None and (role is None or rule_.rule.by not in {None, role}):
        return False
    due = rule_.elapses_at(facts)
    return due is not None and due <= NOW and (told is None or told <= NOW)


def disagreements(policy: Policy, rule_: CompiledRule, machine_: Machine) -> tuple[list[str], int]:
    """Compare the two for one rule over everything; return where they differ, and how many points were compared."""
    executor = compiled(policy).executor
    found: list[str] = []
    points = 0
    roles = ROLES if rule_.event is not None else (None,)
    tolds = (None, NOW - SECOND, NOW, NOW + SECOND) if rule_.promised_by else (None,)
    for facts in regions(policy, rule_):
        for state, told, role in itertools.product(machine_.ladder, tolds, roles):
            subject = Subject(state, facts, NOW, told=told, role=role)
            points += 1
            expected = model_allows(rule_, state, facts, told, role)
            if executor.allows(rule_.rule, subject) is not expected:
                found.append(f"{rule_.name} from {state} with {facts}, told {told}, sent by {role}: model {expected}")
            elif expected:
                executor.fire(rule_.name, subject)
                if subject.state != (rule_.to or state):
                    found.append(f"{rule_.name} from {state} leads to {subject.state}")
    return found, points


def rules_of(policy: Policy) -> list[tuple[str, str]]:
    """Return the names of all rules with their machines."""
    return [(m.name, r.name) for m in policy.machines.values() for r in m.rules]


SMALL = small_policy()


@pytest.mark.parametrize(("machine_name", "rule_name"), rules_of(SMALL))
def test_they_agree_on_a_policy_written_by_hand(machine_name: str, rule_name: str) -> None:
    found, points = disagreements(SMALL, compiled(SMALL).rules[rule_name], SMALL.machines[machine_name])
    assert found == []
    assert points > 0


def test_they_agree_on_every_rule_of_the_policy_that_ships() -> None:
    policy = shipped_policy()
    total = 0
    for machine_name, rule_name in rules_of(policy):
        found, points = disagreements(policy, compiled(policy).rules[rule_name], policy.machines[machine_name])
        assert found == []
        total += points
    assert total > 20_000, "every state, every rule, every region"


# ---- policies that nobody would write --------------------------------------------------------------------------------

FLAGS = ("flag", "other")
ANCHORS = ("since", "stamp")
STATES = ("a", "b", "c", "d")

CONDITIONS: st.SearchStrategy[Guard] = st.recursive(
    st.one_of(
        st.builds(atom, st.just("count"), st.sampled_from(("eq", "ne", "lt", "lte", "gt", "gte")), st.integers(0, 2)),
        st.builds(
            atom, st.just("kind"), st.just("in"), st.lists(st.sampled_from(("x", "y", "z")), min_size=1).map(tuple)
        ),
        st.builds(atom, st.sampled_from(FLAGS), st.just("eq"), st.booleans()),
        st.builds(atom, st.sampled_from((*FLAGS, *ANCHORS, "count")), st.just("is_null"), st.booleans()),
        st.builds(atom, st.just("since"), st.sampled_from(("lt", "gte")), st.just(START)),
    ),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: every(*parts)),
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: some(*parts)),
        inner.map(negated),
    ),
    max_leaves=4,
)
TIMERS = st.dictionaries(st.sampled_from(ANCHORS), st.integers(0, 96).map(hours), max_size=2)


@st.composite
def rules(draw: st.DrawFn, name: str) -> Rule:
    """Draw one rule of the machine `m`: relief downwards, or pressure by one rung."""
    low = draw(st.integers(0, 2))
    if draw(st.booleans()):
        high = draw(st.integers(low + 1, 3))
        kind, source, to = RuleKind.RELIEF, STATES[high], STATES[low]
    else:
        kind, source, to = RuleKind.PRESSURE, STATES[low], STATES[low + 1]
    event = draw(st.sampled_from((None, None, "go")))
    return rule(
        "m", name, kind, (source,), to, when=draw(st.none() | CONDITIONS), after=draw(TIMERS), before=draw(TIMERS),
        event=event, by=draw(st.sampled_from((None, "admin", "worker"))) if event else None,
    )  # fmt: skip


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Draw a policy of one machine with a few rules."""
    drawn = [draw(rules(f"r{number}")) for number in range(draw(st.integers(1, 3)))]
    facts = (
        fact("count", FactType.INT),
        fact("kind", FactType.ENUM, values=("x", "y", "z")),
        *(fact(name, FactType.BOOL) for name in FLAGS),
        *(fact(name) for name in ANCHORS),
    )
    return policy_of(machine("m", STATES, drawn, facts=facts))


@settings(max_examples=25)
@given(policies())
def test_they_agree_on_policies_that_nobody_would_write(policy: Policy) -> None:
    for machine_name, rule_name in rules_of(policy):
        found, _ = disagreements(policy, compiled(policy).rules[rule_name], policy.machines[machine_name])
        assert found == []


def test_a_difference_would_be_found() -> None:
    """The comparison itself can fail: a model whose timer is a second off differs somewhere."""
    policy = small_policy()
    suspend = compiled(policy).rules["billing.suspend"]
    suspend.timers = tuple((anchor, duration - SECOND) for anchor, duration in suspend.timers)
    found, _ = disagreements(policy, suspend, policy.machines["billing"])
    assert found
    assert facts_of(suspend.rule.when)
