"""Scenarios: stories of one account with what must follow, one a file under a policy's `scenarios/`.

Reads them with every fault at its place. Whether they come true is `engine.scenario.run`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from engine.durations import parse_duration
from engine.faults import Faults, PolicyUnreadable
from engine.load import misnamed, read_files
from engine.model import SERVER_BILLING_STATES, IntentKind, Place, Policy, Value
from engine.repairs import Seen
from engine.shape import check_shape
from engine.source import Node, decode, parse
from engine.timeline.items import Timeline
from engine.timeline.text import NOTHING, TimelineReader

FOLDER = "scenarios"
MOST_SCENARIOS = 500
OTHERS = "others"  # `allow: others`: every action on servers that is not denied here


@dataclass(frozen=True, slots=True)
class RepairCase:
    """A server that the account might have now, and the lines of repairs that hold for it, up to what is done."""

    seen: Seen  # its billing state is the account's, and filled in when it is asked
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expect:
    """What must be so after an item. None or empty: nothing is said of it. `places` tells where each key stands."""

    states: tuple[tuple[str, str], ...] = ()  # (machine, state)
    because: tuple[str, ...] = ()  # rule names
    nothing: bool = False
    servers: Mapping[str, str] = field(default_factory=dict)  # server -> its billing state; "" is the account's
    lifecycle: Mapping[str, str] = field(default_factory=dict)
    invoices: Mapping[str, str] = field(default_factory=dict)  # invoice -> its state
    repair: Mapping[str, str] = field(default_factory=dict)
    repairs: tuple[RepairCase, ...] = ()
    levels: Mapping[str, str] = field(default_factory=dict)  # what is done with the repairs of each level
    takes: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # lifecycle -> event -> who may send it
    notices: tuple[str, ...] | None = None
    promised: Mapping[str, datetime | None] = field(default_factory=dict)
    actor: str = "customer"
    allow: tuple[str, ...] = ()
    deny: Mapping[str, str] = field(default_factory=dict)  # action -> code
    intents: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    wanted: tuple[str, ...] | None = None  # of those that are not wanted everywhere, all that are now
    never: tuple[str, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    due: datetime | None = None
    waiting: tuple[str, ...] | None = None
    refused: str | None = None
    places: Mapping[str, Place] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One story. `expects` has an entry for each item of the timeline; None where nothing is expected."""

    title: str
    file: str
    timeline: Timeline
    expects: tuple[Expect | None, ...]
    notes: tuple[str, ...]  # a word on each item, or nothing
    until: datetime | None = None
    settings: Mapping[tuple[str, str], timedelta] = field(default_factory=dict)  # (machine, name): other numbers


def read_scenarios(policy: Policy, folder: Path) -> list[Scenario]:
    """Return the scenarios of a policy's folder, by file name. Raises PolicyFaults with every fault of all of them, and
    PolicyUnreadable where there are too many.
    """
    faults = Faults()
    try:
        inside = sorted(f"{FOLDER}/{entry.name}" for entry in os.scandir(folder / FOLDER) if entry.name[0] != ".")
    except (FileNotFoundError, NotADirectoryError):
        return []
    files = [file for file in inside if file.endswith(".yaml")]
    if len(files) > MOST_SCENARIOS:
        raise PolicyUnreadable(str(folder), f"holds {len(files)} scenarios, more than {MOST_SCENARIOS}")
    misnamed(inside, faults)
    read = read_files(folder, files, faults)
    texts = {file: text for file, held in read.items() if (text := decode(file, held, faults)) is not None}
    found = [scenario for file, text in texts.items() if (scenario := _read(policy, file, text, faults)) is not None]
    faults.raise_if_any()
    return found


def read_scenario(policy: Policy, file: str, text: str) -> Scenario:
    """Return the scenario that a text is. Raises PolicyFaults with every fault."""
    faults = Faults()
    scenario = _read(policy, file, text, faults)
    faults.raise_if_any()
    assert scenario is not None, "a scenario that could not be read has a fault"
    return scenario


def _read(policy: Policy, file: str, text: str, faults: Faults) -> Scenario | None:
    root = parse(file, text, faults)
    if root is None:
        return None
    before = len(faults)
    check_shape(root, "scenario", faults)
    if len(faults) > before:
        return None
    reader = _ScenarioReader(policy, faults)
    timeline = reader.read(root)
    nodes = root.get("timeline")
    items = nodes.items if nodes is not None else []
    expects = tuple(
        reader.expect(item.get("expect"), timeline.start + timeline.items[at].at if at < len(timeline.items) else None)
        for at, item in enumerate(items)
    )
    notes = tuple(note.text if (note := item.get("note")) is not None else "" for item in items)
    title, until = root.get("scenario"), root.get("until")
    return Scenario(
        title.text if title is not None else Path(file).stem.replace("_", " "),
        file,
        timeline,
        expects,
        notes,
        reader.when(until) if until is not None else None,
        reader.settings(root.get("settings")),
    )


class _ScenarioReader(TimelineReader):
    """Reads what a scenario expects."""

    def __init__(self, policy: Policy, faults: Faults) -> None:
        super().__init__(policy, faults)
        self.first = policy.account_machines[0].name
        self.rules = [rule.name for machine in policy.machines.values() for rule in machine.rules]
        self.promising = {i.promises for i in policy.intents.values() if i.promises is not None}
        codes = {*policy.gates.codes.values(), *(also.deny for also in policy.gates.also)}
        codes |= {line.code for m in policy.machines.values() for line in m.servers if line.code is not None}
        self.codes = codes

    def expect(self, node: Node | None, now: datetime | None) -> Expect | None:
        """Return what is expected of an item at this instant."""
        if node is None:
            return None
        servers, refused, due, actor = node.get("servers"), node.get("refused"), node.get("due"), node.get("actor")
        at = now or self.start
        allow, deny = self._gates(node)
        return Expect(
            states=tuple(self._state(each) for each in _each(node.get("state"))),
            because=tuple(self._rule(each) for each in _each(node.get("because"))),
            nothing=node.get("nothing") is not None,
            servers=self._billing_states(servers),
            lifecycle=self.by_server(node.get("lifecycle"), self._check_lifecycle),
            invoices=self._invoice_states(node.get("invoice")),
            repair=self.by_server(node.get("repair"), self._check_repair),
            repairs=tuple(self._case(each) for each in _each(node.get("repairs"))),
            levels={level: mode.text for level, _, mode in _pairs(node.get("levels"))},
            takes=self._takes(node.get("takes")),
            notices=self._intents(node.get("notices"), IntentKind.NOTICE) if node.get("notices") else None,
            promised={self._rule(key): self._instant(value, at) for _, key, value in _pairs(node.get("promised"))},
            actor=actor.text if actor is not None else "customer",
            allow=allow,
            deny=deny,
            intents=self._intents(node.get("intents")) or (),
            dropped=self._intents(node.get("dropped")) or (),
            wanted=self._intents(node.get("wanted")),
            never=self._intents(node.get("never")) or (),
            facts=self.values(node.get("facts"), self.account_facts, at),
            due=self._instant(due, at) if due is not None else None,
            waiting=self._waiting(node.get("waiting")),
            refused=refused.text if refused is not None else None,
            places={key: node.key(key).place for key in node.entries},
        )

    def settings(self, node: Node | None) -> dict[tuple[str, str], timedelta]:
        """Return the numbers that differ in this story; only those that a rule waits for can."""
        waited = {
            (machine.name, timer.setting)
            for machine in self.policy.machines.values()
            for rule in machine.rules
            for timer in rule.after + rule.before
        }
        names = [f"{machine}.{setting}" for machine, setting in waited if setting is not None]
        found = {}
        for name, key, value in _pairs(node):
            machine, _, setting = (name if "." in name else f"{self.first}.{name}").partition(".")
            duration = parse_duration(value.text)
            if self.known("M303", key, "setting of a timer", names, f"{machine}.{setting}") and duration is not None:
                found[machine, setting] = duration
        return found

    def _state(self, node: Node) -> tuple[str, str]:
        machine, dot, state = node.text.partition(".")
        if not dot:
            machine, state = self.first, node.text
        accounts = {m.name: m.ladder for m in self.policy.account_machines}
        if self.known("M307", node, "machine", accounts, machine):
            self.known("M304", node, f"state of `{machine}`", accounts[machine], state)
        return machine, state

    def _rule(self, node: Node) -> str:
        name = node.text if "." in node.text else f"{self.first}.{node.text}"
        self.known("M308", node, "rule", self.rules, name)
        return name

    def _instant(self, node: Node, now: datetime) -> datetime | None:
        return None if node.value is None or node.text == NOTHING else self.when(node, now)

    def _intents(self, node: Node | None, kind: IntentKind | None = None) -> tuple[str, ...] | None:
        if node is None:
            return None
        names = [name for name, intent in self.policy.intents.items() if kind is None or intent.kind is kind]
        for each in node.items:
            self.known("M305", each, "notice" if kind is IntentKind.NOTICE else "intent", names)
        return tuple(each.text for each in node.items)

    def _gates(self, node: Node) -> tuple[tuple[str, ...], dict[str, str]]:
        gates = self.policy.gates
        actions = [*gates.account, *gates.server]
        deny: dict[str, str] = {}
        for name, key, value in _pairs(node.get("deny")):
            if value.kind == "list":
                self.known("M363", key, "code", self.codes)
                deny |= dict.fromkeys((each.text for each in value.items), name)
                for each in value.items:
                    self.known("M311", each, "action", actions)
            else:
                self.known("M311", key, "action", actions)
                self.known("M363", value, "code", self.codes)
                deny[name] = value.text
        allow = node.get("allow")
        if allow is None:
            return (), deny
        if allow.kind == "list":
            for each in allow.items:
                self.known("M311", each, "action", actions)
            return tuple(each.text for each in allow.items), deny
        if allow.text != OTHERS:
            self.fault("M404", allow, f"expected a list of actions or `{OTHERS}`")
        return tuple(action for action in gates.server if action not in deny), deny

    def _waiting(self, node: Node | None) -> tuple[str, ...] | None:
        if node is None:
            return None
        if node.kind == "scalar" and node.text == NOTHING:
            return ()
        for each in _each(node):
            self.known("M306", each, "permit", self.policy.permits)
        return tuple(each.text for each in _each(node))

    def _takes(self, node: Node | None) -> dict[str, dict[str, str]]:
        states = [state for m in self.policy.machines.values() if m.of == "server" for state in m.ladder]
        machines = [m for m in self.policy.machines.values() if m.of == "server"]
        events = {rule.event for m in machines for rule in m.moves if rule.event is not None}
        found = {}
        for state, key, value in _pairs(node):
            self.known("M304", key, "state of servers", states)
            for _, event, _ in value.pairs():
                self.known("M312", event, "event of a server", events)
            found[state] = {event: who.text for event, _, who in value.pairs()}
        return found

    def _case(self, node: Node) -> RepairCase:
        lines, lifecycle = node.entries["lines"][1], node.entries["lifecycle"][1]
        self._check_lifecycle(lifecycle)
        for each in lines.items:
            self._check_repair(each)
        autostart, age, edge, lock = (node.get(name) for name in ("host_autostart", "for", "edge", "locked_for"))
        seen = Seen(
            node.entries["desired"][1].text,
            node.entries["observed"][1].text,
            "",
            lifecycle.text,
            autostart.value is True if autostart is not None else None,
            parse_duration(age.text) if age is not None else None,
            edge.text if edge is not None else None,
            parse_duration(lock.text) if lock is not None else None,
        )
        return RepairCase(seen, tuple(each.text for each in lines.items))

    def _billing_states(self, node: Node | None) -> dict[str, str]:
        """Return what is expected of all servers, by the account's rungs, or of each by its own too."""
        if node is None:
            return {}
        for each in [node] if node.kind == "scalar" else [value for _, _, value in node.pairs()]:
            self.known("M304", each, "billing state of servers", SERVER_BILLING_STATES)
        return {"": node.text} if node.kind == "scalar" else self.by_server(node)

    def _check_lifecycle(self, node: Node) -> None:
        states = [state for m in self.policy.machines.values() if m.of == "server" for state in m.ladder]
        self.known("M304", node, "state of servers", states)

    def _invoice_states(self, node: Node | None) -> dict[str, str]:
        states = [state for m in self.policy.machines.values() if m.of == "invoice" for state in m.ladder]
        found = {}
        for name, key, value in _pairs(node):
            if self.known("M404", key, "invoice in this timeline", self.invoices):
                self.known("M304", value, "state of invoices", states)
                found[name] = value.text
        return found

    def _check_repair(self, node: Node) -> None:
        if node.text != NOTHING:
            self.known("M314", node, "repair", [line.id for line in self.policy.repairs.lines])


def _each(node: Node | None) -> Iterable[Node]:
    if node is None:
        return ()
    return node.items if node.kind == "list" else [node]


def _pairs(node: Node | None) -> Iterable[tuple[str, Node, Node]]:
    return node.pairs() if node is not None and node.kind == "map" else ()


__all__ = ["FOLDER", "OTHERS", "Expect", "Scenario", "read_scenario", "read_scenarios"]
