"""The shape of each file, by the JSON Schemas that editors use too. Says plainly what was expected."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.faults import Faults, closest, listed, meant, shown
from engine.model import Place
from engine.source import Node

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

SCHEMAS = Path(__file__).resolve().parent.parent / "policy" / "schema"
NOUNS = ("standing", "gates", "intents", "permits", "repairs", "notices", "alerts", "maintenance")  # one file each
OPTIONAL = ("guarantees",)  # a policy without them promises nothing about itself

_TYPES = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "boolean": "`true` or `false`",
}


def stem_of(file: str) -> str:
    """Return the noun that a file is about."""
    return file.removesuffix(".yaml")


def schema_of(file: str, root: Node) -> str | None:
    """Return the name of the schema that a file obeys; None when it is no file of a policy."""
    stem = stem_of(file)
    if stem in NOUNS + OPTIONAL:
        return stem
    if root.kind != "map" or not {"machine", "of"} & set(root.entries):
        return None
    of = root.get("of")
    return "lifecycle" if of is not None and of.value in {"server", "invoice"} else "ladder"


def check_shapes(trees: Mapping[str, Node], faults: Faults) -> None:
    """Note what does not have the shape that its schema describes, and mark every value concerned as hurt."""
    for file, root in trees.items():
        _check_traps(root, faults, rows_allowed=file == "gates.yaml")
        name = schema_of(file, root)
        if name is None:
            likely = closest(stem_of(file), NOUNS + OPTIONAL)
            hint = f"did you mean `{likely}.yaml`?" if likely else "a machine begins with `machine:` and `of:`"
            faults.add(
                "S212", root.place, f"`{shown(file)}` is neither a machine nor a file that the policy knows", hint
            )
            root.hurt = True
            continue
        check_shape(root, name, faults)


def check_shape(root: Node, name: str, faults: Faults) -> None:
    """Note where a tree does not have the shape that the schema of this name describes."""
    _check(root, _validator(name), faults)


def check_shape_by(root: Node, schema: Mapping[str, Any], faults: Faults) -> None:
    """Note where a tree does not have the shape that this schema describes, which stands outside of a policy."""
    _check(root, _made(schema), faults)


def _check(root: Node, validator: Validator, faults: Faults) -> None:
    for error in validator.iter_errors(root.plain()):
        _explain(error, root, faults)


@cache
def _validator(name: str) -> Validator:
    return _made(read_schema(name))


def _made(schema: Mapping[str, Any]) -> Validator:
    """Return the validator of a schema. References are looked up in a table: resolving each took half the time."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    parts = {**read_schema("common")["$defs"], **schema.get("$defs", {})}

    def refer(validator: Any, reference: str, instance: Any, _schema: Any) -> Iterator[ValidationError]:
        yield from validator.descend(instance, parts[reference.rpartition("/")[2]])

    kind: type[Validator] = extend(Draft202012Validator, {"$ref": refer})  # type: ignore[no-untyped-call]
    return kind(dict(schema))


def read_schema(name: str) -> dict[str, Any]:
    """Return a schema that ships, by its name."""
    schema: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
    return schema


def _check_traps(root: Node, faults: Faults, *, rows_allowed: bool) -> None:
    """Refuse a bare yes, no, on or off outside a gates matrix: some readers of YAML take it for true or false."""
    allowed = (
        {id(cell) for row in _rows(root) for cell in row.items if cell.text in {"yes", "no"}} if rows_allowed else set()
    )
    for path in _paths(root):
        node = path[-1]
        if node.trap and id(node) not in allowed:
            wanted = "true" if node.text.lower() in {"yes", "on", "y"} else "false"
            message = f"a bare `{node.text}` is true or false to some YAML readers, and text to others"
            faults.add("P112", node.place, message, f"write `{wanted}`, or quote it if text is meant")
            hurt(path)


def _rows(root: Node) -> Iterable[Node]:
    account, server = root.get("account"), root.get("server")
    matrices = [matrix for _, _, matrix in account.pairs()] if account is not None else []
    for matrix in [*matrices, *([server] if server is not None else [])]:
        yield from (row for _, _, row in matrix.pairs())


def _paths(node: Node, above: tuple[Node, ...] = ()) -> Iterable[tuple[Node, ...]]:
    path = (*above, node)
    yield path
    for child in (*node.items, *(value for _, _, value in node.pairs())):
        yield from _paths(child, path)


def hurt(path: Iterable[Node]) -> None:
    """Mark nodes as having a fault, so that nothing further is said about what they mean."""
    for node in path:
        node.hurt = True


@dataclass(frozen=True, slots=True)
class _Miss:
    """One thing that a schema wanted and did not get."""

    keyword: str
    wanted: Any
    schema: Mapping[str, Any]
    node: Node

    @property
    def expected(self) -> str | None:
        """What was expected, where the schema has words for it."""
        words: str | None = self.schema.get("errorMessage")
        return words


def _explain(error: ValidationError, root: Node, faults: Faults) -> None:
    path = [root]
    for step in error.absolute_path:
        child = path[-1].items[step] if isinstance(step, int) else path[-1].get(str(step))
        if child is None:
            break
        path.append(child)
    node = path[-1]
    if node.kind == "scalar" and node.hurt:
        return  # it could not be read in the first place
    schema = error.schema if isinstance(error.schema, dict) else {}
    miss = _Miss(str(error.validator), error.validator_value, schema, node)
    if "propertyNames" in error.absolute_schema_path:
        key = node.key(str(error.instance))
        if not key.hurt:
            _add(
                faults,
                "S205",
                key,
                f"`{shown(error.instance)}` cannot be a key here",
                f"expected {miss.expected or 'a name'}",
            )
    else:
        _TELL.get(miss.keyword, _tell_value)(miss, faults)
    hurt(path)


def _tell_required(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    if any(key.hurt for _, key, _ in node.pairs()):
        return  # a key of this map could not be read: it may be the one that is missed
    missing = [name for name in miss.wanted if name not in node.entries]
    for name in missing:
        about = _property(miss, name)
        likely = closest(name, [key for key in node.entries if key not in miss.schema.get("properties", {})])
        hint = f"is `{shown(likely)}` meant to be `{name}`?" if likely else about
        _add(faults, "S201", _head(node), f"the key `{name}` is missing", hint)


def _tell_dependent(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    if any(key.hurt for _, key, _ in node.pairs()):
        return  # a key of this map could not be read: it may be the one that is missed
    for name, needed in miss.wanted.items():
        for other in needed:
            if name in node.entries and other not in node.entries:
                _add(faults, "S210", node.key(name), f"`{name}` needs `{other}` beside it", _property(miss, other))


def _tell_additional(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    known = miss.schema.get("properties", {})
    for name, key, _ in node.pairs():
        if name not in known and not key.hurt:
            _add(
                faults,
                "S202",
                key,
                f"the key `{shown(name)}` is not known here",
                meant(name, [k for k in known if k not in node.entries]),
            )


def _tell_type(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    wanted = miss.wanted if isinstance(miss.wanted, list) else [miss.wanted]
    expected = miss.expected or " or ".join(_TYPES.get(str(name), str(name)) for name in wanted)
    hint = ""
    if "string" in wanted and node.kind == "scalar":
        hint = "quote it if text is meant" if node.value is not None else "write a value after the colon"
    if "array" in wanted and node.kind == "scalar" and node.value is not None:
        hint = f"for a list of one, write `[{shown(node.text)}]`"
    _add(faults, "S203", _head(node), f"expected {expected}, found {_found(node)}", hint)


def _tell_choice(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    choices = [str(each) for each in miss.wanted]
    likely = closest(node.text, choices) if node.kind == "scalar" else None
    if {"yes", "no"} == set(choices) and isinstance(node.value, bool):
        likely = "yes" if node.value else "no"
    expected = f"one of {listed(choices)}" if len(choices) > 1 else listed(choices)
    _add(
        faults,
        "S204",
        _head(node),
        f"expected {expected}, found {_found(node)}",
        f"did you mean `{likely}`?" if likely else "",
    )


def _tell_size(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    validator, limit = miss.keyword, miss.wanted
    expected = miss.expected
    if expected is None or validator in {"minItems", "maxItems"}:
        bound = "at least" if validator.startswith("min") else "at most"
        unit = {"Items": "entries", "Properties": "keys", "Length": "characters"}[validator[3:]]
        expected = f"{bound} {limit} {unit if limit != 1 else {'entries': 'entry'}.get(unit, unit[:-1])}"
    count = len(node.items) or len(node.entries)
    found = f"{count} keys" if node.kind == "map" else f"{count} entries" if node.kind == "list" else _found(node)
    if count == 1:
        found = {"map": "one key", "list": "one entry"}.get(node.kind, found)
    if node.kind == "map" and node.entries:
        found = listed(node.entries)
    _add(
        faults,
        "S207",
        _head(node),
        f"expected {expected}, found {'nothing' if count == 0 and node.kind != 'scalar' else found}",
    )


def _tell_unique(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    seen: list[object] = []
    for item in node.items:
        value = item.plain()
        if value in seen:
            _add(faults, "S208", item, f"{_found(item)} stands twice in this list", "keep one")
        seen.append(value)


def _tell_one_of(miss: _Miss, faults: Faults) -> None:
    """Every `oneOf` of the schemas is a choice between keys."""
    node = miss.node
    choices = [branch["required"][0] for branch in miss.wanted]
    given = [name for name in choices if name in node.entries]
    at = node.key(given[1]) if len(given) > 1 else _head(node)
    found = f"found {listed(given)}" if given else "found none"
    _add(faults, "S210", at, f"expected exactly one of {listed(choices)}, {found}")


def _tell_bound(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    bound = "at least" if miss.keyword == "minimum" else "at most"
    _add(faults, "S206", node, f"expected {bound} {miss.wanted}, found {_found(node)}")


def _tell_value(miss: _Miss, faults: Faults) -> None:
    node = miss.node
    expected = miss.expected or "another value"
    _add(faults, "S205", _head(node), f"expected {expected}, found {_found(node)}")


_TELL: Mapping[str, Callable[[_Miss, Faults], None]] = {
    "required": _tell_required,
    "dependentRequired": _tell_dependent,
    "additionalProperties": _tell_additional,
    "type": _tell_type,
    "enum": _tell_choice,
    "minItems": _tell_size,
    "maxItems": _tell_size,
    "minProperties": _tell_size,
    "maxProperties": _tell_size,
    "minLength": _tell_size,
    "maxLength": _tell_size,
    "uniqueItems": _tell_unique,
    "oneOf": _tell_one_of,
    "minimum": _tell_bound,
    "maximum": _tell_bound,
}


def _property(miss: _Miss, name: str) -> str:
    """Return what the schema says that a key is for."""
    about = miss.schema.get("properties", {}).get(name, {}).get("description", "")
    first = str(about).split(". ")[0].rstrip(".")
    return f"`{name}`: {first[:1].lower()}{first[1:]}" if first else ""


def _found(node: Node) -> str:
    if node.kind == "map":
        return "a map"
    if node.kind == "list":
        return "a list"
    if node.value is None:
        return "nothing"
    if isinstance(node.value, bool):
        return f"`{str(node.value).lower()}`"
    if isinstance(node.value, int):
        return f"the number {node.value}"
    return f"`{shown(node.value)}`" if node.value.strip() else "empty text"


def _head(node: Node) -> Node:
    """Return what to point at: of a block map its first key, of everything else the whole."""
    if node.kind == "map" and node.end_column is None and node.entries:
        return next(iter(node.entries.values()))[0]
    return node


def _add(faults: Faults, code: str, node: Node, message: str, hint: str = "") -> None:
    end = node.end_column if node.kind == "scalar" or node.end_column is not None else None
    faults.add(code, Place(node.file, *node.start), message, hint, end_column=end)
