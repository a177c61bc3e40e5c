"""Compares guards by what they hold for, not by how they are written, and writes them as people read them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from datetime import datetime

from engine.guards import atoms_of, holds
from engine.model import All, Any, Atom, Guard, Named, Not, Policy, Value
from engine.prove.evidence import representatives

MOST_VALUATIONS = 50_000
SIGNS = {"eq": "=", "ne": "is known and not", "lt": "<", "lte": "<=", "gt": ">", "gte": ">=", "in": "in"}

Facts = Mapping[str, Value]


def key_of(guard: Guard | None) -> Hashable:
    """Return what is the same for guards that differ by names, order and brackets alone."""
    if guard is None:
        return ("all", frozenset())
    if isinstance(guard, Atom):
        value = frozenset(guard.value) if guard.op == "in" and isinstance(guard.value, tuple) else guard.value
        return ("atom", guard.fact, guard.op, value)
    if isinstance(guard, Named):
        return key_of(guard.guard)
    if isinstance(guard, Not):
        inner = key_of(guard.part)
        return inner[1] if isinstance(inner, tuple) and inner[0] == "not" else ("not", inner)
    kind = "all" if isinstance(guard, All) else "any"
    parts: set[Hashable] = set()
    for part in guard.parts:
        key = key_of(part)
        parts |= set(key[1]) if isinstance(key, tuple) and key[0] == kind else {key}
    return next(iter(parts)) if len(parts) == 1 else (kind, frozenset(parts))


def truth(guard: Guard | None, facts: Facts) -> bool:
    """Tell whether the guard holds; none always does."""
    return guard is None or holds(guard, facts)


def valuations(old: Policy, new: Policy, guards: Sequence[Guard | None]) -> Iterator[Facts] | None:
    """Return every way in which these guards can tell facts apart; None when there are too many to look at."""
    atoms = [atom for guard in guards if guard is not None for atom in atoms_of(guard)]
    choices: dict[str, list[Value]] = {}
    for name in dict.fromkeys(atom.fact for atom in atoms):
        own = [atom for atom in atoms if atom.fact == name]
        facts = [policy.facts[name] for policy in (old, new) if name in policy.facts]
        choices[name] = list(dict.fromkeys(value for fact in facts for value in representatives(fact, own)))
    if math.prod(map(len, choices.values())) > MOST_VALUATIONS:
        return None
    return (dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values()))


def witness(old: Policy, new: Policy, guards: Sequence[Guard | None], differs: Callable[[Facts], bool]) -> Facts | None:
    """Return facts for which `differs` holds, the plainest there are; None: there are none, or too many to look."""
    found = valuations(old, new, guards)
    return next((facts for facts in found if differs(facts)), None) if found is not None else None


def between(old: Policy, new: Policy, before: Guard | None, after: Guard | None) -> tuple[Facts | None, Facts | None]:
    """Return facts for which only the new guard holds, and facts for which only the old one does.

    Guards with too many facts to look at are taken to differ both ways, with no facts to show.
    """
    if key_of(before) == key_of(after):
        return None, None
    if valuations(old, new, [before, after]) is None:
        return {}, {}
    more = witness(old, new, [before, after], lambda facts: truth(after, facts) and not truth(before, facts))
    less = witness(old, new, [before, after], lambda facts: truth(before, facts) and not truth(after, facts))
    return more, less


def write_guard(guard: Guard | None) -> str:
    """Return the guard as one line of words."""
    if guard is None:
        return "always"
    if isinstance(guard, Atom):
        return _atom(guard)
    if isinstance(guard, Named):
        return guard.name
    if isinstance(guard, Not):
        return f"not {_bracketed(guard.part)}"
    if not guard.parts:
        return "always" if isinstance(guard, All) else "never"
    joint = " and " if isinstance(guard, All) else " or "
    return joint.join(_bracketed(part) for part in guard.parts)


def write_facts(facts: Facts) -> str:
    """Return facts as one line."""
    return ", ".join(f"{name} {write_value(value)}" for name, value in facts.items()) or "whatever else is so"


def write_value(value: Value | tuple[Value, ...]) -> str:
    """Return a value as the policy would write it; of an instant only that there is one."""
    if isinstance(value, tuple):
        return f"[{', '.join(write_value(each) for each in value)}]"
    if isinstance(value, datetime):
        return "known"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _atom(atom: Atom) -> str:
    if atom.op == "is_null":
        return f"{atom.fact} is {'null' if atom.value else 'known'}"
    if atom.op == "between" and isinstance(atom.value, tuple):
        return f"{atom.fact} from {write_value(atom.value[0])} to {write_value(atom.value[1])}"
    return f"{atom.fact} {SIGNS[atom.op]} {write_value(atom.value)}"


def _bracketed(guard: Guard) -> str:
    words = write_guard(guard)
    return f"({words})" if isinstance(guard, All | Any) and len(guard.parts) > 1 else words
