"""When a rule may fire, as one condition: its guard, its timers, and the stamps that cannot be there yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from engine.analyse.regions import STAMPS, Condition, Elapsed
from engine.model import Fact, Guard, Intent, Machine, Origin, Rule

ROLES = frozenset({"admin", "worker", "customer"})


@dataclass(frozen=True, slots=True)
class Case:
    """A machine with what is to be known of it for a judgement of its rules."""

    machine: Machine
    facts: Mapping[str, Fact]
    possible: Mapping[str, frozenset[str]]  # by state: the machine's stamps that may be set in it
    promised: frozenset[str]  # rules that a notice may hold back

    def condition(self, rule: Rule, state: str) -> Condition:
        """Return when the rule may fire in this state."""
        return Condition(guards(rule), elapsed(rule), null=self.impossible(state))

    def impossible(self, state: str) -> frozenset[str]:
        """Return the stamps that are null in this state, however the machine came there."""
        return frozenset(fact.name for fact in stamps(self.machine)) - self.possible[state]


def guards(rule: Rule) -> tuple[Guard, ...]:
    """Return the rule's guard, if it has one."""
    return () if rule.when is None else (rule.when,)


def elapsed(rule: Rule) -> tuple[Elapsed, ...]:
    """Return how long ago each anchor must be; for `before` that is less than nothing."""
    after = [Elapsed(timer.anchor, timer.duration, timer.setting) for timer in rule.after]
    return (*after, *(Elapsed(timer.anchor, -timer.duration, timer.setting) for timer in rule.before))


def eventual(condition: Condition) -> Condition:
    """Return the condition without its waiting: every anchor is known, and time will do the rest."""
    return replace(condition, elapsed=(), known=frozenset(timer.anchor for timer in condition.elapsed))


def roles(rule: Rule) -> frozenset[str]:
    """Return who may send the rule's event."""
    return ROLES if rule.by is None else frozenset({rule.by})


def stamps(machine: Machine) -> list[Fact]:
    """Return the facts that the engine itself writes for this machine."""
    return [fact for fact in machine.facts.values() if fact.origin in STAMPS]


def possible_stamps(machine: Machine, intents: Mapping[str, Intent]) -> dict[str, frozenset[str]]:
    """Return, by state, which of the machine's stamps may be set in it; what is not here is surely null."""
    own = stamps(machine)
    found = {state: _from_outside(machine, state, own, intents) for state in machine.ladder}
    changed = True
    while changed:
        changed = False
        for rule in machine.rules:
            for state in rule.sources:
                to = rule.to if rule.to is not None else state
                reached = found[to] | _carried(machine, rule, state, found[state], own)
                changed = changed or reached != found[to]
                found[to] = reached
    return found


def _carried(machine: Machine, rule: Rule, state: str, held: frozenset[str], own: Iterable[Fact]) -> frozenset[str]:
    """Return the stamps that may be set after the rule fired."""
    if rule.to is None:
        return held | {fact.name for fact in own if fact.origin is Origin.MARK and fact.of == rule.mark}
    kept: set[str] = set()
    if machine.of == "account" and rule.to != machine.initial:
        rank = machine.ladder.index
        kept = {
            fact.name
            for fact in own
            if fact.name in held
            and not (
                rank(rule.to) < rank(state) and fact.origin is Origin.ENTERED and rank(fact.of or "") > rank(rule.to)
            )
        }
    asked = {ask.intent for ask in rule.do}
    return frozenset(kept) | {
        fact.name
        for fact in own
        if (fact.origin is Origin.ENTERED and fact.of == rule.to)
        or (fact.origin is Origin.DELIVERED and fact.of in asked)
    }


def _from_outside(machine: Machine, state: str, own: Iterable[Fact], intents: Mapping[str, Intent]) -> frozenset[str]:
    """Return what may be set without any rule: entering the first state, and notices that people ask for."""
    found = set()
    for fact in own:
        if fact.origin is Origin.ENTERED and fact.of == state:
            found.add(fact.name)
        if fact.origin is Origin.DELIVERED:
            intent = intents.get(fact.of or "")
            if intent is None or not intent.wanted_in or (machine.name, state) in intent.wanted_in:
                found.add(fact.name)
    return frozenset(found)
