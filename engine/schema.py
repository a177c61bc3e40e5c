"""JSON Schemas of one policy: the schemas that ship, with its own names as the choices.

They are for editors: what `check` accepts stays with the schemas that ship, so no name is refused for being new.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from engine.model import Origin, Policy
from engine.model_permits import PermitKind
from engine.shape import SCHEMAS, read_schema

Schema = dict[str, Any]


def schema_names() -> list[str]:
    """Return the names of the schemas that ship."""
    return sorted(path.name.removesuffix(".schema.json") for path in SCHEMAS.glob("*.schema.json"))


def schemas(policy: Policy) -> dict[str, Schema]:
    """Return each schema by its file's name, with the policy's names put in where a name is referred to."""
    choices = choices_of(policy)
    found = {}
    for name in schema_names():
        schema = copy.deepcopy(read_schema(name))
        if name == "common":
            schema["$defs"] |= {f"declared_{kind}": _enum(kind, names) for kind, names in choices.items()}
        else:
            schema.setdefault("description", f"Completes the names of the policy {policy.digest[:12]}.")
        _refer(schema, choices, name)
        if name == "common":  # a reference in a schema to itself stays within it
            schema = _within(schema)
        found[f"{name}.schema.json"] = schema
    return found


def choices_of(policy: Policy) -> dict[str, list[str]]:
    """Return the names that a policy declares, by what they name."""
    predicates = list(policy.standing.predicates)
    for machine in policy.machines.values():
        predicates += [name for own in machine.predicates for name in (own, f"{machine.name}.{own}")]
    lifecycles = [machine for machine in policy.machines.values() if machine.of != "account"]
    stamps = {Origin.DELIVERED, Origin.ENTERED, Origin.MARK, Origin.STANDING}
    rules = [rule for machine in policy.machines.values() for rule in machine.rules]
    rungs = [f"{machine.name}.{state}" for machine in policy.account_machines for state in machine.ladder]
    found: dict[str, Iterable[str]] = {
        "fact": policy.facts,
        "anchor": [name for name, fact in policy.facts.items() if fact.origin in stamps],
        "predicate": predicates,
        "state": [state for machine in policy.machines.values() for state in machine.ladder],
        "rung": rungs,
        "lifecycle": [state for machine in lifecycles for state in machine.ladder],
        "action": [*policy.gates.account, *policy.gates.server],
        "intent": policy.intents,
        "notice": policy.notices,
        "wanted": [*_unqualified(policy), *rungs],
        "rule": [rule.name for rule in rules],
        "promised": [name for rule in rules for name in (rule.name, rule.id)],
        "event": [rule.event for rule in rules if rule.event is not None],
        "permit": policy.permits,
        "hold": [kind for permit in policy.permits.values() if permit.kind is PermitKind.HOLD for kind in permit.holds],
        "code": policy.gates.codes.values(),
        "machine": policy.machines,
        "alert": policy.alerts,
        "channel": policy.alerts.values(),
    }
    return {kind: sorted(set(names)) for kind, names in found.items()}


def _unqualified(policy: Policy) -> list[str]:
    """Return the rungs that are named without their machine."""
    return [state for machine in policy.account_machines if machine.name == "billing" for state in machine.ladder]


def _enum(kind: str, names: list[str]) -> Schema:
    return {"description": f"A {kind} that the policy declares.", "type": "string", "enum": names}


# Where a name stands that is declared elsewhere: the schema, the way to its part, and what it names.
RULE = (("from", "state"), ("to", "state"), ("event", "event"))
OFFERS: tuple[tuple[str, str, str], ...] = (
    ("common", "$defs/atom/properties/fact", "fact"),
    ("common", "$defs/guard/else", "predicate"),
    ("common", "$defs/joined/properties/predicate", "predicate"),
    ("ladder", "properties/initial", "state"),
    ("lifecycle", "properties/initial", "lifecycle"),
    *(
        ("ladder", f"properties/{rules}/items/properties/{key}", kind)
        for rules in ("relief", "pressure")
        for key, kind in RULE
    ),
    *(("lifecycle", f"properties/moves/items/properties/{key}", kind) for key, kind in RULE),
    ("intents", "additionalProperties/properties/wanted_in/items", "wanted"),
    ("intents", "additionalProperties/properties/promises", "promised"),
    ("permits", "additionalProperties/properties/notify", "notice"),
    ("permits", "additionalProperties/properties/alert", "alert"),
    ("permits", "additionalProperties/properties/no_server/properties/lifecycle", "lifecycle"),
    ("repairs", "properties/repairs/items/properties/when/properties/lifecycle", "lifecycle"),
    ("gates", "properties/also/items/properties/action", "action"),
)
# Maps whose keys are names that are declared elsewhere.
KEYS: tuple[tuple[str, str, str], ...] = (
    ("common", "$defs/timers", "anchor"),
    ("gates", "properties/codes", "rung"),
    ("gates", "$defs/matrix", "action"),
    ("notices", "properties/notices", "notice"),
    ("notices", "properties/translations/additionalProperties/properties/notices", "notice"),
    ("notices", "properties/states", "rung"),
)


def _refer(schema: Schema, choices: dict[str, list[str]], file: str) -> None:
    """Put the policy's names beside the pattern of every part that refers to one."""
    for name, way, kind in OFFERS:
        if name == file and choices[kind]:
            _offer(_at(schema, way), kind)
    for name, way, kind in KEYS:
        part = _at(schema, way) if name == file else {}
        if part and choices[kind]:
            # Suggested, not demanded: a key may be one that is being written for the first time.
            value = part.get("additionalProperties", {})
            part["properties"] = dict.fromkeys(choices[kind], value) | part.get("properties", {})


def _at(schema: Schema, way: str) -> Schema:
    for step in way.split("/"):
        schema = schema[step]
    return schema


def _offer(part: Schema, kind: str) -> None:
    """Join the declared names to what the part demands already: one, a list of them, or either."""
    demanded = part.pop("$ref", "")
    one: Schema = {"$ref": f"common.schema.json#/$defs/declared_{kind}"}
    many: Schema = {"type": "array", "items": one}
    if demanded.endswith("one_or_more_names"):
        one = {"anyOf": [one, many]}
    elif part.get("type") == "array" or demanded.endswith("/names"):
        one = many
    part["allOf"] = [*([{"$ref": demanded}] if demanded else []), one]


def _within(part: Any) -> Any:
    """Write references to the common schema as references to itself."""
    if isinstance(part, dict):
        return {key: _within(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_within(value) for value in part]
    return part.removeprefix("common.schema.json") if isinstance(part, str) else part
