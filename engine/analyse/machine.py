"""Everything that is judged of one machine's rules together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.analyse.condition import Case, elapsed, possible_stamps
from engine.analyse.guard import GuardJudge
from engine.analyse.loop import check_loops
from engine.analyse.never import fires
from engine.analyse.overlap import check_overlap
from engine.analyse.regions import Condition
from engine.analyse.shadow import check_lines, check_shadows
from engine.analyse.trap import check_traps
from engine.faults import Faults
from engine.model import Intent, Machine, Place, Rule, RuleKind


@dataclass(frozen=True, slots=True)
class Listing:
    """What a machine's text says beside its rules: where each state is listed, and which are the end of a life."""

    places: Mapping[str, Place]
    final: tuple[str, ...]


def check_rules(
    faults: Faults, judge: GuardJudge, machine: Machine, intents: Mapping[str, Intent], listing: Listing
) -> None:
    """Note what is wrong with a machine's rules as a whole. One that cannot fire is told once and judged no further."""
    facts = judge.facts
    promised = frozenset(intent.promises for intent in intents.values() if intent.promises is not None)
    case = Case(machine, facts, possible_stamps(machine, intents), promised)
    sound = frozenset(rule.name for rule in machine.rules if _sound(faults, judge, case, rule))
    check_overlap(faults, case, sound)
    check_shadows(faults, case, sound)
    check_loops(faults, case, sound)
    check_traps(faults, machine, listing.final, listing.places)
    for line in machine.servers:
        if line.when is not None:
            judge.sound(line.when, "the guard of this line")
    check_lines(faults, machine, facts)


def _sound(faults: Faults, judge: GuardJudge, case: Case, rule: Rule) -> bool:
    if rule.event is None and rule.when is None and not (rule.kind is RuleKind.MOVE and rule.after):
        return False  # a rule that always fires is a fault already
    if rule.when is not None:
        others = [Condition((), elapsed(rule), null=case.impossible(state)) for state in rule.sources]
        if not judge.sound(rule.when, f"the guard of `{rule.id}`", others):
            return False
    return fires(faults, case, rule)
