"""Accounts that two policies decide differently: played through both from the day on which something goes wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from itertools import islice

from engine.compare.guards import Facts, valuations, write_facts
from engine.errors import EngineError
from engine.model import FactType, Origin, Policy, Value
from engine.timeline.play import START, Item, Player, Timeline
from engine.timeline.text import write_offset

SAME = "every account that was played through both gets there at the same time: something else decides when"
LONG = timedelta(days=90)
MOST_LIVES = 64  # of one machine: more would say nothing new
GIVEN = frozenset({Origin.STANDING, Origin.ADMIN, Origin.SETTINGS})


class Examples:
    """Finds for a rule an account for which it fires at another time, or only under one of the policies."""

    def __init__(self, old: Policy, new: Policy) -> None:
        self.old = old
        self.new = new
        self._lives: dict[str, list[tuple[Facts, Mapping[str, timedelta], Mapping[str, timedelta]]]] = {}

    def of(self, rule: str) -> str:
        """Return such an account in words; empty when time alone never leads to the rule."""
        machine = rule.partition(".")[0]
        lives = self._lives.get(machine)
        if lives is None:
            lives = self._lives[machine] = [
                (facts, _firings(self.old, facts), _firings(self.new, facts)) for facts in self._troubles(machine)
            ]
        found = [(facts, one.get(rule), two.get(rule)) for facts, one, two in lives if one.get(rule) != two.get(rule)]
        if not found:
            return SAME if any(rule in one for _, one, _ in lives) else ""
        facts, before, after = min(found, key=lambda each: (each[1] is None or each[2] is None, len(each[0])))
        return f"an account with {write_facts(facts)} from day 0: {_said(before)} before, {_said(after)} now"

    def _troubles(self, machine: str) -> Iterator[Facts]:
        guards = [
            rule.when
            for policy in (self.old, self.new)
            if machine in policy.machines
            for rule in policy.machines[machine].pressure
        ]
        for facts in islice(valuations(self.old, self.new, guards) or (), MOST_LIVES):
            given = {name: value for name, value in facts.items() if self._is_given(name)}
            if given:
                yield given

    def _is_given(self, name: str) -> bool:
        facts = [policy.facts[name] for policy in (self.old, self.new) if name in policy.facts]
        return all(fact.origin in GIVEN for fact in facts)


def _firings(policy: Policy, facts: Facts) -> dict[str, timedelta]:
    """Return when each rule fires first in the life of an account that gets these facts on day 0."""
    given: dict[str, Value] = {
        fact.name: START
        for fact in policy.facts.values()
        if fact.type is FactType.INSTANT and fact.origin is Origin.STANDING
    }
    given |= {name: value for name, value in facts.items() if name in policy.facts and value is not None}
    found: dict[str, timedelta] = {}
    try:
        for moment in Player(policy, Timeline(items=(Item(timedelta(0), set=given),))).run(START + LONG):
            for step in moment.steps:
                found.setdefault(step.because, moment.at - START)
    except EngineError:
        return {}
    return found


def _said(at: timedelta | None) -> str:
    return "never" if at is None else f"after {write_offset(at)}" if at else "at once"
