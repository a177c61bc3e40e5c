"""How a finding about a guard is shown: the guard as the policy would write it, underlined to its end."""

from __future__ import annotations

from engine.faults import Faults, shown
from engine.model import All, Atom, Guard, Named, Not, Place, Value

CLOSING = {"{": "}", "[": "]"}


def say_guard(faults: Faults, code: str, guard: Guard, message: str, hint: str) -> None:
    """Note a fault at a guard, underlined as far as it reaches in its line."""
    faults.add(code, guard.place, message, hint, end_column=_end(faults, guard.place))


def _end(faults: Faults, place: Place) -> int | None:
    """Return the column after the bracket that closes the one at the place; None when there is none in that line."""
    lines = faults.sources.get(place.file, ())
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    depth = 0
    for column in range(place.column - 1, len(line)):
        depth += (line[column] in CLOSING) - (line[column] in CLOSING.values())
        if depth == 0:
            return column + 2 if line[place.column - 1] in CLOSING else None
    return None


def written(guard: Guard) -> str:
    """Return the guard on one short line, as YAML."""
    return shown(_yaml(guard))


def _yaml(guard: Guard) -> str:
    if isinstance(guard, Atom):
        return f"{{fact: {guard.fact}, {guard.op}: {_value(guard.value)}}}"
    if isinstance(guard, Named):
        return guard.name
    if isinstance(guard, Not):
        return f"{{not: {_yaml(guard.part)}}}"
    kind = "all" if isinstance(guard, All) else "any"
    return f"{{{kind}: [{', '.join(map(_yaml, guard.parts))}]}}"


def _value(value: Value | tuple[Value, ...]) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
