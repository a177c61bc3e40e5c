"""A policy while it is built: its trees, what they declare by name, and the faults found so far.

A name that nobody declares is a fault only while everything that might declare it could be read: one broken file does
not make a hundred faults.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from engine.durations import parse_duration
from engine.faults import Faults, meant, shown
from engine.model import Fact, Guard, Intent, IntentKind, Runner, Setting
from engine.model_permits import Permit
from engine.shape import NOUNS, OPTIONAL, stem_of
from engine.source import Node


class Names:
    """The names of one sort that the policy declares, each with the place of its declaration."""

    def __init__(self, sort: str, code: str) -> None:
        self.sort = sort  # as a message calls it
        self.code = code
        self.complete = True  # False: something that may declare more could not be read
        self.nodes: dict[str, Node] = {}

    def __contains__(self, name: str) -> bool:
        return name in self.nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self.nodes)

    def declare(self, name: str, node: Node, faults: Faults) -> bool:
        """Take a name; a second declaration is a fault and returns False."""
        if (first := self.nodes.get(name)) is not None:
            where = f"line {first.start[0]}" if first.file == node.file else str(first.place)
            faults.add(
                "M320", node.place, f"{self.sort} `{shown(name)}` is declared twice, first in {where}", "rename one"
            )
            return False
        self.nodes[name] = node
        return True


@dataclass(frozen=True, slots=True)
class MachineDraft:
    """A machine as far as it could be read."""

    name: str
    file: str
    root: Node
    of: Runner
    states: tuple[str, ...]
    states_known: bool  # the list of states could be read
    marks: frozenset[str]
    final: tuple[str, ...]  # states that nothing has to lead out of, where it says so


@dataclass
class Draft:
    """Everything that the builders of single files share."""

    trees: Mapping[str, Node]
    env: Mapping[str, str]
    faults: Faults
    lost: frozenset[str]  # files that are missing or could not be read
    machines: dict[str, MachineDraft] = field(default_factory=dict)
    facts: dict[str, Fact | None] = field(default_factory=dict)  # None: declared, but with a fault
    runners: dict[str, Runner] = field(default_factory=dict)  # whose a fact is, where it is not the account's
    settings: dict[str, dict[str, Setting | None]] = field(default_factory=dict)
    used_settings: set[tuple[str, str]] = field(default_factory=set)
    variables: dict[str, Node] = field(default_factory=dict)  # of the environment, that override something
    predicates: dict[str, Guard | None] = field(
        default_factory=dict
    )  # by `machine.name`, or bare for those of standing
    intents: dict[str, Intent | None] = field(default_factory=dict)
    permits: dict[str, Permit | None] = field(default_factory=dict)
    names: dict[str, Names] = field(default_factory=dict)

    def __post_init__(self) -> None:
        machines_lost = any(stem_of(file) not in NOUNS + OPTIONAL for file in self.lost)
        for sort, code, file in (
            ("machine", "M307", None),
            ("fact", "M301", "standing.yaml"),
            ("predicate", "M302", "standing.yaml"),
            ("event", "M312", None),
            ("rule", "M308", None),
            ("intent", "M305", "intents.yaml"),
            ("permit", "M306", "permits.yaml"),
            ("alert", "M309", "alerts.yaml"),
            ("calendar", "M310", "maintenance.yaml"),
            ("list of dates", "M310", "maintenance.yaml"),
            ("action", "M311", "gates.yaml"),
            ("brake", "M313", "repairs.yaml"),
            ("repair", "M314", "repairs.yaml"),
        ):
            names = self.names[sort] = Names(sort, code)
            from_machines = file in {None, "standing.yaml"}
            names.complete = file not in self.lost and not (from_machines and machines_lost)

    def runner(self, fact: str) -> Runner:
        """Return whose a fact is."""
        return self.runners.get(fact, "account")

    def tree(self, noun: str) -> Node | None:
        """Return the tree of one of the single files; None when there is none of the right kind."""
        root = self.trees.get(f"{noun}.yaml")
        return root if root is not None and root.kind == "map" else None

    def section(self, noun: str, key: str) -> Node | None:
        """Return a map or list below the root of one of the single files."""
        root = self.tree(noun)
        return root.get(key) if root is not None else None

    def fault(self, code: str, node: Node, message: str, hint: str = "") -> None:
        """Note a fault at a value or key."""
        self.faults.add(code, node.place, message, hint, end_column=node.end_column)

    def known(self, sort: str, node: Node, name: str | None = None, *, among: str = "") -> bool:
        """Tell whether a name is declared; if it surely is not, that is a fault."""
        names = self.names[sort]
        wanted = name if name is not None else node.text
        if wanted in names:
            return True
        if names.complete:
            self.fault(names.code, node, f"unknown {sort} `{shown(wanted)}`{among}", meant(wanted, names))
        return False

    def state(self, machine: MachineDraft, node: Node, name: str | None = None) -> str | None:
        """Return the name of a state of the machine; None, with a fault, when it has no such state."""
        wanted = name if name is not None else node.text
        if wanted in machine.states:
            return wanted
        if machine.states_known:
            self.fault(
                "M304", node, f"machine `{machine.name}` has no state `{shown(wanted)}`", meant(wanted, machine.states)
            )
        return None

    def rung(self, node: Node, name: str | None = None) -> tuple[str, str] | None:
        """Return machine and state of `machine.state`, or of a bare rung of billing."""
        wanted = name if name is not None else node.text
        machine_name, _, state = wanted.rpartition(".")
        if not machine_name:
            machine_name = "billing"
            if "billing" not in self.machines and self.names["machine"].complete:
                self.fault(
                    "M307", node, f"`{shown(wanted)}` has no machine", "write `machine.rung` where it is not billing's"
                )
                return None
        machine = self.machines.get(machine_name)
        if machine is None:
            self.known("machine", node, machine_name)
            return None
        found = self.state(machine, node, state)
        return (machine_name, found) if found is not None else None

    def span(self, machine: MachineDraft, node: Node) -> tuple[timedelta, str | None] | None:
        """Return the duration that a setting's name or a literal stands for, and the setting's name."""
        if (literal := parse_duration(node.text)) is not None:
            return literal, None
        if node.text[:1].isdigit():
            self.too_long(node)
            return None
        settings = self.settings.get(machine.name, {})
        if node.text not in settings:
            declared = machine.root.get("settings")
            if machine.states_known and (declared is None or declared.kind == "map"):
                message = f"machine `{machine.name}` has no setting `{shown(node.text)}`"
                self.fault(
                    "M303",
                    node,
                    message,
                    meant(node.text, settings, "declare it under `settings:`, or write a duration"),
                )
            return None
        self.used_settings.add((machine.name, node.text))
        setting = settings[node.text]
        return (setting.value, setting.name) if setting is not None else None

    def duration(self, node: Node | None) -> timedelta | None:
        """Return the duration that a value writes."""
        if node is None or node.hurt:
            return None
        if (found := parse_duration(node.text)) is None:
            self.too_long(node)
        return found

    def too_long(self, node: Node) -> None:
        """Note a duration that no date can bear."""
        self.fault("M383", node, f"`{shown(node.text)}` is longer than ten years", "is the unit right?")

    def intent(
        self, node: Node, name: str | None = None, *, kind: IntentKind | None = None, whose: str = ""
    ) -> Intent | None:
        """Return a declared intent, of this kind if one is asked for."""
        wanted = name if name is not None else node.text
        if not self.known("intent", node, wanted):
            return None
        intent = self.intents.get(wanted)
        if intent is not None and kind is not None and intent.kind is not kind:
            self.fault(
                "M356",
                node,
                f"`{shown(wanted)}` is of kind {intent.kind.value}{whose}",
                f"name an intent of kind {kind.value}",
            )
            return None
        return intent


def each(node: Node | None) -> Iterable[Node]:
    """Return the entries of a list, or a single value as a list of one; nothing of what is hurt."""
    if node is None:
        return ()
    if node.kind == "list":
        return [item for item in node.items if not item.hurt]
    return [] if node.hurt else [node]


def entries(node: Node | None) -> Iterable[tuple[str, Node, Node]]:
    """Return name, key and value of a map's entries; nothing of what is no map."""
    return list(node.pairs()) if node is not None and node.kind == "map" else []


def text_of(node: Node, key: str) -> str | None:
    """Return a text below a map; None when it is absent or hurt."""
    value = node.get(key)
    return value.value if value is not None and not value.hurt and isinstance(value.value, str) else None


def flag_of(node: Node, key: str) -> bool:
    """Return whether a map says true under this key."""
    value = node.get(key)
    return value is not None and value.value is True
