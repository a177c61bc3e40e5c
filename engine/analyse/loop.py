"""Rules that fire one after the other at one instant, round and round, with no delay between them."""

from __future__ import annotations

from collections.abc import Iterator

from engine.analyse.condition import Case, elapsed, guards, stamps
from engine.analyse.regions import Condition, Regions
from engine.faults import Faults
from engine.model import Origin, Rule

MOST_LOOPS = 200  # looked at; a ladder of real size has a few


def check_loops(faults: Faults, case: Case, rules: frozenset[str]) -> None:
    """Note each loop that turns for ever on the same evidence. Its own stamps are of that very instant."""
    told: set[frozenset[str]] = set()
    automatic = [
        rule for rule in case.machine.rules if rule.event is None and rule.to is not None and rule.name in rules
    ]
    for count, loop in enumerate(_loops(case, automatic)):
        states = frozenset(state for state, _ in loop)
        if count >= MOST_LOOPS:
            return
        if any(states >= smaller for smaller in told):
            continue
        facts = _turning(case, loop, states)
        if facts is not None:
            told.add(states)
            _tell(faults, loop, facts)


def _loops(case: Case, rules: list[Rule]) -> Iterator[list[tuple[str, Rule]]]:
    """Yield each round of different states, short ones first; each once, from its first state on the ladder."""
    rank = {state: at for at, state in enumerate(case.machine.ladder)}
    waiting: list[list[tuple[str, Rule]]] = [[(state, rule)] for rule in rules for state in rule.sources]
    while waiting and len(waiting) <= MOST_LOOPS * 50:
        longer = []
        for path in waiting:
            start, at = path[0][0], path[-1][1].to or ""
            if at == start:
                yield path
            elif rank[at] > rank[start] and at not in {state for state, _ in path}:
                longer += [[*path, (at, rule)] for rule in rules if at in rule.sources]
        waiting = longer


def _turning(case: Case, loop: list[tuple[str, Rule]], states: frozenset[str]) -> str | None:
    """Return the evidence on which the loop turns; None when there is none."""
    own = stamps(case.machine)
    conditions = [Condition(guards(rule), elapsed(rule), *_stamped(case, state, states)) for state, rule in loop]
    for each in ([Condition(condition.guards) for condition in conditions], conditions):  # the cheap question first
        regions = Regions(case.facts, each)
        turning = regions.full if regions.judged else 0
        for condition in each:
            turning &= regions.without(regions.mask(condition), [fact.name for fact in own])
        if not turning:
            return None
    return regions.witness(turning, among=regions.full)


def _stamped(case: Case, state: str, states: frozenset[str]) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """Return which stamps are known, null and fresh at this state of the loop, after some rounds."""
    own = stamps(case.machine)
    null = set(case.impossible(state))
    home = case.machine.initial in states  # coming home ends the episode, which clears every stamp
    if home:
        null |= {fact.name for fact in own if fact.origin is Origin.DELIVERED}
        null |= {fact.name for fact in own if fact.origin is Origin.ENTERED and fact.of not in states}
    entered = [fact for fact in own if fact.origin is Origin.ENTERED and fact.of in states]
    marks = [fact for fact in own if fact.origin is Origin.MARK] if home else []
    known = frozenset(fact.name for fact in entered if fact.of == state)
    return known, frozenset(null), frozenset(fact.name for fact in (*entered, *marks)) - null


def _tell(faults: Faults, loop: list[tuple[str, Rule]], facts: str) -> None:
    first = loop[0][1]
    names = " and ".join(f"`{rule.id}`" for _, rule in loop)
    when = f" when {facts}" if facts else ""
    way = " -> ".join([*(state for state, _ in loop), loop[0][0]])
    message = f"{names} fire in a circle at one instant{when}: `{way}`"
    faults.add(
        "M328", first.place, message, "give one of them `after:` with a time above zero, or let their guards differ"
    )
