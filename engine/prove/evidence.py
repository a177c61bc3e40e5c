"""What evidence can be, as far as guards tell it apart: one valuation of the facts for each way in which they can."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from engine.guards import atoms_of, holds
from engine.model import Atom, Fact, FactType, Guard, Origin, Policy, Value

PRESENT = datetime(2000, 1, 1, tzinfo=UTC)  # stands for any instant: guards ask of instants only whether they are null
STAMPED = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)


def valuations(policy: Policy, guards: list[Guard], anchors: tuple[str, ...]) -> tuple[Mapping[str, Value], ...]:
    """Return every way in which the guards can tell evidence apart, one valuation for each.

    Guards that read nothing but evidence tell it apart by their verdict alone, others by the verdict of each atom.
    """
    kept = (*STAMPED, Origin.MACHINE)
    atoms = [atom for guard in guards for atom in atoms_of(guard)]
    names = list(dict.fromkeys([atom.fact for atom in atoms] + list(anchors)))
    read = [policy.facts[name] for name in names if policy.facts[name].origin not in kept]
    choices = [representatives(fact, [a for a in atoms if a.fact == fact.name]) for fact in read]
    tests: list[Guard] = []
    for guard in dict.fromkeys(guards):
        mixed = any(policy.facts[atom.fact].origin in kept for atom in atoms_of(guard))
        tests += [a for a in atoms_of(guard) if policy.facts[a.fact].origin not in kept] if mixed else [guard]
    classes: dict[tuple[bool, ...], Mapping[str, Value]] = {}
    for values in itertools.product(*choices):
        found = dict(zip((fact.name for fact in read), values, strict=True))
        verdicts = [holds(test, found) for test in tests] + [found[anchor] is None for anchor in anchors]
        classes.setdefault(tuple(verdicts), found)
    return tuple(classes.values())


def representatives(fact: Fact, atoms: list[Atom]) -> list[Value]:
    """Return values of a fact that between them give its atoms every combination of verdicts that they can have."""
    seen: dict[tuple[bool, ...], Value] = {}
    for value in _candidates(fact, atoms):
        verdicts = tuple(holds(atom, {fact.name: value}) for atom in atoms)
        seen.setdefault((value is None, *verdicts) if fact.type is FactType.INSTANT else verdicts, value)
    return list(seen.values())


def _candidates(fact: Fact, atoms: list[Atom]) -> Sequence[Value]:
    unknown: list[Value] = [None] if fact.null is not None else []  # who says what null means says that it may be
    if fact.type is FactType.BOOL:
        return [False, True, *unknown]
    if fact.type in (FactType.ENUM, FactType.STATE):
        return [*fact.values, *unknown]
    if fact.type is FactType.INSTANT:
        return [PRESENT, None]  # in this order: timelines then tell of instants that stay, where they can
    numbers = {fact.minimum if fact.minimum is not None else 0}
    for atom in atoms:
        for value in atom.value if isinstance(atom.value, tuple) else (atom.value,):
            if isinstance(value, int) and not isinstance(value, bool):
                numbers |= {value - 1, value, value + 1}
    return [*sorted(n for n in numbers if fact.minimum is None or n >= fact.minimum), *unknown]
