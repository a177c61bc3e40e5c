"""Two rules that can hold at once and lead to different ends, where nothing but their order decides."""

from __future__ import annotations

import itertools

from engine.analyse.condition import Case, eventual, roles
from engine.analyse.order import tried_together
from engine.analyse.regions import Condition, Regions
from engine.faults import Faults
from engine.model import Rule


def check_overlap(faults: Faults, case: Case, rules: frozenset[str]) -> None:
    """Note each pair of rules that compete. A special case before the general one is how a list is meant to be read."""
    told = set()
    for state, group in tried_together(case.machine):
        for first, second in itertools.combinations(group, 2):
            pair = (first.id, second.id)
            if pair in told or not {first.name, second.name} <= rules or not _compete(first, second):
                continue
            facts = _witness(case, first, second, state)
            if facts is not None:
                told.add(pair)
                _tell(faults, first, second, state, facts)


def _compete(first: Rule, second: Rule) -> bool:
    """Tell whether the first would take away what the second would do. A mark takes nothing away."""
    if first.to is None or not roles(first) & roles(second):
        return False
    if second.to is None:
        return first.to not in second.sources
    return (first.to, _effects(first)) != (second.to, _effects(second))


def _effects(rule: Rule) -> list[tuple[str, bool]]:
    return [(ask.intent, ask.each_server) for ask in rule.do]


def _witness(case: Case, first: Rule, second: Rule, state: str) -> str | None:
    """Return the fewest facts under which both hold; None when they never do, or when one is meant to come first."""
    one, two = case.condition(first, state), case.condition(second, state)
    pending = eventual(one)
    regions = Regions(case.facts, [one, two, pending])
    if not regions.judged:
        return None
    earlier, later = regions.mask(one), regions.mask(two)
    both = earlier & later
    if not both or both == later:
        return None  # they exclude each other, or the second never gets its turn: that is told elsewhere
    special = both == earlier and roles(first) <= roles(second) and set(second.needs) <= set(first.needs)
    in_time = first.event is not None or not later & regions.mask(pending) & ~earlier
    if special and in_time:
        return None
    return regions.witness(both, among=regions.mask(Condition(null=case.impossible(state))))


def _tell(faults: Faults, first: Rule, second: Rule, state: str, facts: str) -> None:
    when = f" when {facts}" if facts else ""
    what = f"on `{second.event}`" if second.event is not None else "by themselves"
    ends = f"`{first.to}`" if first.to != second.to and second.to is not None else ""
    other = f"`{second.to}`" if ends else ""
    lead = f", and lead to {ends} and {other}" if ends else ", and do different things"
    message = f"`{first.id}` and `{second.id}` both fire {what} from `{state}`{when}{lead}"
    line = f"line {first.place.line}"
    hint = f"`{first.id}` in {line} wins by its place alone: let them exclude each other, or put the special case first"
    faults.add("M323", second.place, message, hint)
