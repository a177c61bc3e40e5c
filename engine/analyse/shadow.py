"""Rules that never get their turn, because those before them take every case."""

from __future__ import annotations

from collections.abc import Mapping

from engine.analyse.condition import Case, roles
from engine.analyse.order import tried_before
from engine.analyse.regions import Condition, Regions
from engine.faults import Faults, listed
from engine.model import Fact, Machine, Rule, ServerLine


def check_shadows(faults: Faults, case: Case, rules: frozenset[str]) -> None:
    """Note each rule that others cover wholly, in all states that it leaves or in some."""
    for rule in case.machine.rules:
        covered: dict[str, Rule] = {}
        for state in rule.sources if rule.name in rules else ():
            by = _covering(case, rule, state, rules)
            if by is not None:
                covered[state] = by
        if covered:
            _tell(faults, rule, covered)


def _covering(case: Case, rule: Rule, state: str, rules: frozenset[str]) -> Rule | None:
    """Return the last of the rules that together take every case of this one; None when a case is left."""
    before = [other for other in tried_before(case, rule, state) if other.name in rules]
    if not before:
        return None
    own = case.condition(rule, state)
    conditions = {other.name: case.condition(other, state) for other in before}
    regions = Regions(case.facts, [own, *conditions.values()])
    if not regions.judged or not regions.mask(own):
        return None
    last = None
    for role in roles(rule) if rule.event is not None else {None}:
        left = regions.mask(own)
        for other in before:
            if left and (role is None or other.event is None or role in roles(other)):
                left &= ~regions.mask(conditions[other.name])
                last = other
        if left:
            return None
    return last


def _tell(faults: Faults, rule: Rule, covered: dict[str, Rule]) -> None:
    by = next(iter(covered.values()))
    where = "" if len(covered) == len(rule.sources) else f" from {listed(covered)}"
    message = f"`{rule.id}` never gets its turn{where}: `{by.id}` in line {by.place.line} comes first whenever it holds"
    hint = "move it above, or take it away" if not where else "take the state out of `from:`, or move it above"
    faults.add("M324", rule.place, message, hint)


def check_lines(faults: Faults, machine: Machine, facts: Mapping[str, Fact]) -> None:
    """Note each line of `servers` that is never reached, because the lines above hold in all of its rungs."""
    for index, line in enumerate(machine.servers):
        above = machine.servers[:index]
        if any(not other.in_ and other.when is None for other in above):
            return  # told where that line is
        states = line.in_ or machine.ladder
        if all(_hidden(line, [o for o in above if not o.in_ or state in o.in_], facts) for state in states):
            places = ", ".join(
                str(other.place.line) for other in above if not other.in_ or set(states) & set(other.in_)
            )
            message = f"this line is never reached: those above, {places}, hold wherever it does"
            faults.add("M347", line.place, message, "move it above, or take it away")


def _hidden(line: ServerLine, above: list[ServerLine], facts: Mapping[str, Fact]) -> bool:
    guards = [_guarded(each) for each in (line, *above)]
    regions = Regions(facts, guards)
    left = regions.mask(guards[0])
    for guard in guards[1:]:
        left &= ~regions.mask(guard)
    return regions.judged and not left


def _guarded(line: ServerLine) -> Condition:
    return Condition(() if line.when is None else (line.when,))
