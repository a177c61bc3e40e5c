"""Rules that can never fire: what they wait for excludes what they ask for, or cannot have happened by then."""

from __future__ import annotations

from dataclasses import replace

from engine.analyse.condition import Case, elapsed, guards
from engine.analyse.regions import Condition, Regions
from engine.analyse.tell import say_guard
from engine.faults import Faults, listed
from engine.model import Rule


def fires(faults: Faults, case: Case, rule: Rule) -> bool:
    """Tell whether the rule can fire from all states that it leaves; else note why not."""
    own = Condition(guards(rule), elapsed(rule))
    if not _holds(case, own):
        message = f"`{rule.id}` can never fire: its guard excludes what its timers count from"
        if rule.when is not None:
            say_guard(
                faults, "M326", rule.when, message, "an anchor that is null has not elapsed: take one of them away"
            )
        return False
    never = [state for state in rule.sources if not _holds(case, replace(own, null=case.impossible(state)))]
    if not never:
        return True
    where = "" if len(never) == len(rule.sources) else f" from {listed(never)}"
    timers = (*rule.after, *rule.before)
    blocking = [timer for timer in timers if timer.anchor in case.impossible(never[0])]
    if blocking:
        timer = blocking[0]
        message = f"`{rule.id}` can never fire{where}: `{timer.anchor}` is still null there"
        faults.add("M326", timer.place, message, "count from something that has happened by then")
    else:
        message = f"`{rule.id}` can never fire{where}: its guard asks for a stamp that is still null there"
        faults.add("M326", rule.place, message, "ask for something that can have happened by then")
    return False


def _holds(case: Case, condition: Condition) -> bool:
    regions = Regions(case.facts, [condition])
    return not regions.judged or regions.mask(condition) != 0
