"""All mutants of a policy: each number, guard, target, list, flag and cell changed, each intent, mark and rule dropped.

Named by where they are and what they change, never by line, so that a name stays the same when a file grows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

from engine.source import Node
from tests.engine.mutation.edits import Source

JUDGES = {"guarantees.yaml", "notices.yaml"}  # what judges is not mutated; of notices only words are in the file
NUMBER = re.compile(r"(over )?([0-9]+)(s|m|h|d|%)?")
DROPPED = {  # keys that a rule, intent, permit or repair can do without: without one it means something else
    "when", "after", "before", "needs", "do", "by", "event", "at_least", "min", "plus", "promises", "waits_for",
    "wanted_in", "wanted_for", "enforcement", "starts_servers", "destructive", "alert_after", "alert", "voids",
    "notify", "except", "younger_than", "brake", "observed", "desired", "server", "lifecycle", "lifecycle_age",
    "lock_age", "host_autostart", "edge", "outside", "in",
}  # fmt: skip
OPPOSITE = {
    "eq": ("ne",), "ne": ("eq",), "gt": ("gte", "lte"), "gte": ("gt", "lt"), "lt": ("lte", "gte"), "lte": ("lt", "gt"),
    "all": ("any",), "any": ("all",),
}  # fmt: skip
FLIPPED = {"true": "false", "false": "true", "yes": "no", "no": "yes"}
ROLES = ("admin", "worker", "customer")
CHANNELS = ("audit-log", "alerts-billing", "alerts-critical")
LEVELS = ('"off"', "dry_run", "live")
SERVER_STATES = ("allowed", "backup_blocked", "suspended_shutdown", "retained")  # in their order of severity
OBSERVED = ("running", "stopped", "unknown")
ORDERED = {"servers", "moves", "repairs"}  # lists of which the first item that holds counts


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong policy: the text of one file, changed in one place."""

    name: str
    file: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """Return the file and line that were changed."""
        return f"{self.file}:{self.line}"


def mutants(texts: Mapping[str, str]) -> list[Mutant]:
    """Return every mutant of a policy, in the order of its files and lines; no two are the same."""
    sources = {file: Source(file, text) for file, text in texts.items() if file not in JUDGES}
    words = _Words(sources)
    found: dict[str, Mutant] = {}
    for source in sources.values():
        for each in _File(source, words).mutants():
            assert found.setdefault(each.name, each) is each, f"two mutants are called `{each.name}`"
    return list(found.values())


class _Words:
    """What the policy's names are, for neighbours of a name."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.states: dict[str, list[str]] = {}  # by machine
        self.values: dict[str, list[str]] = {}  # by fact that is an enum
        self.notices: list[str] = []
        self.numbers: dict[str, list[tuple[str, str]]] = {}  # by machine: settings and defaults
        for source in sources.values():
            self._read(source.root)

    def _read(self, root: Node) -> None:
        machine = root.get("machine")
        for _, name, fact in _pairs(root.get("facts")):
            if (of := fact.get("of")) is not None:
                self.values[name.text] = [each.text for each in of.items]
        if machine is None:
            self.notices += [
                name
                for name, _, intent in _pairs(root if root.get("restore_access") else None)
                if (kind := intent.get("kind")) is not None and kind.text == "notice"
            ]
            return
        ladder = root.get("ladder") or root.get("states")
        self.states[machine.text] = [each.text for each in ladder.items] if ladder is not None else []
        settings = [(name, value.entries["default"][1].text) for name, _, value in _pairs(root.get("settings"))]
        self.numbers[machine.text] = settings


class _File:
    """The mutants of one file."""

    def __init__(self, source: Source, words: _Words) -> None:
        self.source, self.words = source, words
        self.noun = source.file.removesuffix(".yaml")
        machine = source.root.get("machine")
        self.machine = machine.text if machine is not None else None

    def mutants(self) -> Iterator[Mutant]:
        """Yield them from top to bottom, as far as the tree goes so."""
        yield from self._inside(self.source.root, ())

    def _inside(self, node: Node, path: tuple[str, ...]) -> Iterator[Mutant]:
        if node.kind == "scalar":
            yield from self._scalar(node, path)
        elif node.kind == "list":
            yield from self._list(node, path)
        else:
            yield from self._map(node, path)

    def _map(self, node: Node, path: tuple[str, ...]) -> Iterator[Mutant]:
        if "fact" in node.entries:
            yield self._one(path, node, "negated", self.source.negated(node))
        for name, key, value in node.pairs():
            here = (*path, name)
            if name in DROPPED and path and len(node.entries) > 1:
                yield self._one(here, key, "dropped", self.source.without_key(node, name))
            if path[-1:] == ("after",) and len(node.entries) > 1:
                yield self._one(here, key, "dropped", self.source.without_key(node, name))
            for other in OPPOSITE.get(name, ()):
                yield self._one(here, key, f"-> {other}", self.source.replaced(key, other))
            if self.noun == "gates" and path == ("server",) and name != "columns":
                yield self._one(here, key, "dropped", self.source.without_key(node, name))
            yield from self._inside(value, here)

    def _list(self, node: Node, path: tuple[str, ...]) -> Iterator[Mutant]:
        key = path[-1]
        if key in {"ladder", "states", "columns"} or (key == "of" and self.noun != "permits"):
            return  # names that everything else refers to
        droppable = len(node.items) > 1 or key in {"do", "needs"}
        is_row = self.noun == "gates" and path[0] in {"account", "server"}
        labels = [_label(item, at) for at, item in enumerate(node.items)]
        for at, item in enumerate(node.items):
            here = (*path, labels[at])
            if is_row:
                columns = self._columns(path)
                here = (*path, columns[at])
                yield self._one(here, item, f"-> {FLIPPED[item.text]}", self.source.replaced(item, FLIPPED[item.text]))
                continue
            if droppable:
                yield self._one(here, item, "dropped", self.source.without_item(node, at))
            if key != "do" or item.kind == "map":
                yield from self._inside(item, here)
        if key in ORDERED and path[0] == key:
            for (at, item), after in pairwise(enumerate(node.items)):
                if self._may_meet(item, after[1]):
                    other = self.source.swapped(item, after[1])
                    yield self._one((*path, labels[at]), item, f"after {labels[after[0]]}", other)
        for wider in self._missing(node, key):
            yield self._one(path, node, f"with {wider}", self.source.appended(node, wider))

    def _may_meet(self, one: Node, other: Node) -> bool:
        """Tell whether both can hold at once, so that their order can matter: no key of their conditions parts them."""
        conditions = [_conditions(each) for each in (one, other)]
        if self.noun == "server" and conditions[0]["event"] != conditions[1]["event"]:
            return False
        shared = (key for key in conditions[0].keys() & conditions[1].keys() if not key.endswith("_age"))
        return all(conditions[0][key] & conditions[1][key] for key in shared)

    def _scalar(self, node: Node, path: tuple[str, ...]) -> Iterator[Mutant]:
        for new in self._instead(node, path):
            yield self._one(path, node, f"{self.source.written(node)} -> {new}", self.source.replaced(node, new))

    def _instead(self, node: Node, path: tuple[str, ...]) -> Iterable[str]:
        """Return what could stand there instead."""
        key, word = path[-1], node.text
        if (number := NUMBER.fullmatch(word)) is not None and not self.source.written(node).startswith('"'):
            before, count, unit = number[1] or "", int(number[2]), number[3] or ""
            return [f"{before}{n}{unit}" for n in (count + 1, count - 1) if n >= 0]
        if word in FLIPPED:
            return [FLIPPED[word]]
        if isinstance(node.value, bool):
            return [FLIPPED[str(node.value).lower()]]
        return self._other_words(key, word, path)

    def _other_words(self, key: str, word: str, path: tuple[str, ...]) -> Iterable[str]:
        states = self.words.states.get(self.machine or "", [])
        if key in {"to", "from", "initial"} and word in states:
            return _beside(states, word)
        if key == "by":
            return [role for role in ROLES if role != word]
        if self.noun == "alerts":
            return [channel for channel in CHANNELS if channel != word]
        if self.noun == "repairs":
            return self._of_repairs(key, word)
        if path[0] == "facts" and key == "from":
            return self._of_stamps(word, states)
        if len(path) > 1 and path[-2] in {"after", "before"} and self.machine is not None:
            return self._other_numbers(word)
        return self._of_guards(key, word, path)

    def _of_repairs(self, key: str, word: str) -> Iterable[str]:
        choices = {"default": LEVELS, "observed": OBSERVED, "desired": OBSERVED[:2], "level": ("2", "3", "always")}
        return [each for each in choices.get(key, ()) if each.strip('"') != word]

    def _of_stamps(self, word: str, states: list[str]) -> Iterable[str]:
        sort, _, name = word.partition(" ")
        if sort == "delivered":
            return [f"delivered {other}" for other in _beside(self.words.notices, name)]
        return [f"entered {other}" for other in _beside(states, name)] if sort == "entered" else []

    def _other_numbers(self, word: str) -> Iterable[str]:
        """Return the setting after this one that has another value."""
        settings = self.words.numbers[self.machine or ""]
        names = [name for name, _ in settings]
        if word not in names:
            return []
        at, values = names.index(word), dict(settings)
        others = [name for name in names[at + 1 :] + names[:at] if values[name] != values[word]]
        return others[:1]

    def _of_guards(self, key: str, word: str, path: tuple[str, ...]) -> Iterable[str]:
        if key == "when" or path[-2:-1] in {("all",), ("any",), ("not",)}:
            return [f"{{not: {word}}}"]
        if key in {"eq", "ne"}:
            values = next((v for v in self.words.values.values() if word in v), None)
            return _beside(values, word) if values is not None else []
        if key == "is":
            return _beside(list(SERVER_STATES), word)
        if key == "observed":
            return [each for each in OBSERVED if each != word]
        if key == "code" or path[0] == "codes" or key == "deny":
            return ["PLAN_LIMIT_REACHED" if word != "PLAN_LIMIT_REACHED" else "BILLING_NO_ACTIVE_PLAN"]
        return []

    def _missing(self, node: Node, key: str) -> list[str]:
        """Return the names of the same kind that the list could hold as well."""
        names = [item.text for item in node.items if item.kind == "scalar"]
        if not names or len(names) != len(node.items):
            return []
        states, values_of = self.words.states, self.words.values.values()
        own = states.get("server" if key == "lifecycle" else self.machine or "", [])
        known: list[Iterable[str]] = [own, SERVER_STATES, *states.values(), *values_of]
        for values in known:
            listed = list(values)
            if all(name.rpartition(".")[2] in listed for name in names):
                machine, dot, _ = names[0].rpartition(".")
                return [f"{machine}{dot}{each}" for each in listed if f"{machine}{dot}{each}" not in names]
        return []

    def _columns(self, path: tuple[str, ...]) -> list[str]:
        matrix = self.source.root.get(path[0])
        if path[0] == "account" and matrix is not None:
            matrix = matrix.get(path[1])
        columns = matrix.get("columns") if matrix is not None else None
        return [each.text for each in columns.items] if columns is not None else []

    def _one(self, path: tuple[str, ...], node: Node, what: str, text: str) -> Mutant:
        return Mutant(f"{self.noun}: {'.'.join(path)}: {what}", self.source.file, node.start[0], text)


def _pairs(node: Node | None) -> Iterator[tuple[str, Node, Node]]:
    return node.pairs() if node is not None and node.kind == "map" else iter(())


def _conditions(item: Node) -> dict[str, set[str]]:
    """Return the words that a line asks for, by key; `event` is empty where it waits for none."""
    found: dict[str, set[str]] = {"event": set()} if item.get("to") or item.get("mark") else {}
    for name in ("in", "from", "event", "when"):
        node = item.get(name)
        if node is not None and node.kind == "map" and node.get("fact") is None:
            found |= {key: _texts(value) for key, _, value in node.pairs()}
        elif node is not None and node.kind != "map":
            found[name] = _texts(node)
    return found


def _texts(node: Node) -> set[str]:
    return {item.text for item in node.items} or {node.text}


def _label(item: Node, at: int) -> str:
    """Return how an item is called: by its id, its only word, or its number."""
    if item.kind == "scalar":
        return item.text
    name = item.get("id") or item.get("action")
    if name is not None:
        return name.text + (f"_{at}" if item.get("action") else "")
    return next(iter(item.entries)) if len(item.entries) == 1 and item.get("is") is None else str(at)


def _beside(names: list[str], name: str) -> list[str]:
    """Return the neighbours of a name in a list, the one after it first."""
    at = names.index(name)
    return [names[other] for other in (at + 1, at - 1) if 0 <= other < len(names)]
