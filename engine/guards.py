"""What a guard means. `holds` is the truth, read off the guard; `compile_guard` is the same as closures, for decisions.

A null fact satisfies nothing but `is_null: true`; so `not: {fact: x, eq: 1}` holds for a null `x`, and
`{fact: x, ne: 1}` does not.
"""

from __future__ import annotations

import operator
import typing
from collections.abc import Callable, Iterator, Mapping

from engine.model import All, Atom, Guard, Named, Not, Value

Facts = Mapping[str, Value]
Check = Callable[[Facts], bool]
Untyped = typing.Any  # facts are checked against their types where policy and evidence are read, not at each comparison

_COMPARE: Mapping[str, Callable[[Untyped, Untyped], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "in": lambda found, values: found in values,
    "between": lambda found, bounds: bounds[0] <= found <= bounds[1],  # both ends included
}


def atoms_of(guard: Guard | None) -> Iterator[Atom]:
    """Yield every comparison of the guard, those of its predicates too; None: there is none."""
    if isinstance(guard, Atom):
        yield guard
    elif isinstance(guard, Named):
        yield from atoms_of(guard.guard)
    elif isinstance(guard, Not):
        yield from atoms_of(guard.part)
    elif guard is not None:
        for part in guard.parts:
            yield from atoms_of(part)


def holds(guard: Guard, facts: Facts) -> bool:
    """Tell whether the guard holds over these facts; an absent fact is null."""
    if isinstance(guard, Atom):
        found = facts.get(guard.fact)
        if guard.op == "is_null":
            return (found is None) is guard.value
        return found is not None and _COMPARE[guard.op](found, guard.value)
    if isinstance(guard, Named):
        return holds(guard.guard, facts)
    if isinstance(guard, Not):
        return not holds(guard.part, facts)
    if isinstance(guard, All):
        return all(holds(part, facts) for part in guard.parts)
    return any(holds(part, facts) for part in guard.parts)


def compile_guard(guard: Guard) -> Check:
    """Return a function of the facts that says what `holds` says, several times as fast."""
    if isinstance(guard, Atom):
        return _compile_atom(guard)
    if isinstance(guard, Named):
        return compile_guard(guard.guard)
    if isinstance(guard, Not):
        part = compile_guard(guard.part)
        return lambda facts: not part(facts)
    parts = tuple(compile_guard(part) for part in guard.parts)
    if len(parts) == 1:
        return parts[0]
    return _every(parts) if isinstance(guard, All) else _some(parts)


def facts_of(guard: Guard | None) -> tuple[str, ...]:
    """Return the names of the facts that the guard reads, each once, in the order of reading."""
    return tuple(dict.fromkeys(atom.fact for atom in atoms_of(guard)))


def _compile_atom(atom: Atom) -> Check:
    name: str = atom.fact
    value: Untyped = atom.value
    if atom.op == "is_null":
        return (lambda facts: facts.get(name) is None) if value else (lambda facts: facts.get(name) is not None)
    if atom.op == "eq":  # a value is never null, so a null fact never equals it
        return lambda facts: facts.get(name) == value
    if atom.op == "in":
        values = frozenset(value)
        return lambda facts: facts.get(name) in values
    compare = _COMPARE[atom.op]
    return lambda facts: (found := facts.get(name)) is not None and compare(found, value)


def _every(parts: tuple[Check, ...]) -> Check:
    def every(facts: Facts) -> bool:
        for part in parts:  # noqa: SIM110 - a generator costs more than its parts
            if not part(facts):
                return False
        return True

    return every


def _some(parts: tuple[Check, ...]) -> Check:
    def some(facts: Facts) -> bool:
        for part in parts:  # noqa: SIM110 - as above
            if part(facts):
                return True
        return False

    return some
