"""Which rules compete for the same moment, in the order in which they are tried."""

from __future__ import annotations

from engine.analyse.condition import Case
from engine.model import Machine, Rule, RuleKind


def tried_together(machine: Machine) -> list[tuple[str, tuple[Rule, ...]]]:
    """Return, for each state and each list, event or none, the rules of which only the first that holds fires."""
    found = []
    for state in machine.ladder:
        groups: dict[tuple[RuleKind, str | None], list[Rule]] = {}
        for rule in machine.rules:
            if state in rule.sources:
                groups.setdefault((rule.kind, rule.event), []).append(rule)
        found += [(state, tuple(group)) for group in groups.values()]
    return found


def tried_before(case: Case, rule: Rule, state: str) -> list[Rule]:
    """Return the rules that take this one's turn in a state whenever they hold, whatever is permitted."""
    found = []
    for other in case.machine.rules:
        if other is rule:
            break
        if other.to is None or state not in other.sources or other.name in case.promised:
            continue
        relieved = other.kind is RuleKind.RELIEF and other.event is None and rule.kind is RuleKind.PRESSURE
        free = set(other.needs) <= set(rule.needs) and other.other_than in {None, rule.other_than}
        if free and (other.event == rule.event or relieved):
            found.append(other)
    return found
