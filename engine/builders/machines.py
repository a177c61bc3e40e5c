"""Machines: what they declare by name, their rules, and what they say about servers."""

from __future__ import annotations

from dataclasses import replace

from engine.builders.draft import Draft, MachineDraft, each, entries, flag_of, text_of
from engine.builders.guards import GuardReader
from engine.effects import CREDIT_NOTE
from engine.faults import meant, shown
from engine.model import (
    All,
    Ask,
    FactType,
    Guard,
    IntentKind,
    Machine,
    Place,
    Rule,
    RuleKind,
    Runner,
    ServerLine,
    Timer,
)
from engine.source import Node

EVERY_PRESSURE = "every_pressure"
CAUSES = ("debt", "dispute", "abuse", "ended", "admin", "tenant")  # the order in which equals give their code


def draft_machines(draft: Draft) -> None:
    """Take down what each machine declares by name, before anything refers to it."""
    roots = [(file, root) for file, root in draft.trees.items() if root.kind == "map" and "machine" in root.entries]
    for file, root in sorted(roots, key=_by_cause):
        name = text_of(root, "machine")
        if name is None or "of" not in root.entries:
            draft.names["machine"].complete = False
            continue
        node = root.entries["machine"][1]
        if not draft.names["machine"].declare(name, node, draft.faults):
            draft.names["machine"].complete = False  # which of the two is meant is not known
            draft.machines[name] = replace(draft.machines[name], states_known=False)
            continue
        of = runner_of(root)
        states = root.get("ladder" if of == "account" else "states")
        known = states is not None and not states.hurt and states.kind == "list"
        marks = set()
        for rule in _rules(root):
            if (event := text_of(rule, "event")) is not None:
                draft.names["event"].nodes.setdefault(event, rule.entries["event"][1])
            if (rule_id := text_of(rule, "id")) is not None:
                draft.names["rule"].nodes.setdefault(f"{name}.{rule_id}", rule.entries["id"][1])
            if (mark := text_of(rule, "mark")) is not None:
                marks.add(mark)
        draft.machines[name] = MachineDraft(
            name=name,
            file=file,
            root=root,
            of=of,
            states=tuple(state.text for state in each(states)) if states is not None else (),
            states_known=known,
            marks=frozenset(marks),
            final=tuple(state.text for state in each(root.get("final"))),
        )


def runner_of(root: Node) -> Runner:
    """Return what runs a machine; an unknown word, which its shape has already refused, as the account."""
    of = text_of(root, "of")
    return "server" if of == "server" else "invoice" if of == "invoice" else "account"


def _by_cause(entry: tuple[str, Node]) -> tuple[bool, int, str]:
    file, root = entry
    cause = text_of(root, "cause")
    return runner_of(root) != "account", CAUSES.index(cause) if cause in CAUSES else len(CAUSES), file


def _rules(root: Node) -> list[Node]:
    found: list[Node] = []
    for key in ("relief", "pressure", "moves"):
        section = root.get(key)
        found += section.items if section is not None else []
    return found


class MachineReader:
    """Reads one machine. `whole` tells afterwards whether everything in it could be read."""

    def __init__(self, draft: Draft, machine: MachineDraft, guards: GuardReader) -> None:
        self.draft = draft
        self.machine = machine
        self.guards = guards
        self.whole = not machine.root.hurt
        self.ids: set[str] = set()

    def read(self) -> Machine:
        """Return the machine with all that could be read."""
        root, name = self.machine.root, self.machine.name
        facts = {n: f for n, _, _ in entries(root.get("facts")) if (f := self.draft.facts.get(n)) is not None}
        settings = {n: s for n, s in self.draft.settings.get(name, {}).items() if s is not None}
        predicates = {
            n: g for n, _, _ in entries(root.get("predicates")) if (g := self.draft.predicates.get(f"{name}.{n}"))
        }
        initial = root.get("initial")
        if initial is not None and not initial.hurt and self.draft.state(self.machine, initial) is None:
            self.whole = False
        for state in each(root.get("final")):
            if self.draft.state(self.machine, state) is None:
                self.whole = False
        return Machine(
            name=name,
            of=self.machine.of,
            initial=initial.text if initial is not None else "",
            ladder=self.machine.states,
            settings=settings,
            facts=facts,
            predicates=predicates,
            servers=self._servers(),
            relief=self._rules("relief", RuleKind.RELIEF),
            pressure=self._rules("pressure", RuleKind.PRESSURE),
            moves=self._rules("moves", RuleKind.MOVE),
            place=root.entries["machine"][1].place,
            cause=text_of(root, "cause"),
            each_server=flag_of(root, "each_server"),
            mapping=self._mapping(root.get("mapping")),
        )

    def _mapping(self, node: Node | None) -> dict[str, str]:
        """Return where accounts go whose rung this policy no longer has."""
        found: dict[str, str] = {}
        for old, key, to in entries(node):
            if old in self.machine.states:
                message = f"`{shown(old)}` is still a rung of `{self.machine.name}`; only one that is gone is mapped"
                self.draft.fault("M322", key, message, "take the line away, or the rung off the ladder")
            elif (state := self.draft.state(self.machine, to)) is not None:
                found[old] = state
        return found

    def _rules(self, key: str, kind: RuleKind) -> tuple[Rule, ...]:
        found = []
        section = self.machine.root.get(key) if (self.machine.of != "account") is (kind is RuleKind.MOVE) else None
        for node in section.items if section is not None and section.kind == "list" else []:
            rule = self._rule(node, kind) if not node.hurt else None
            if rule is not None:
                found.append(rule)
            else:
                self.whole = False
        return tuple(found)

    def _rule(self, node: Node, kind: RuleKind) -> Rule | None:
        draft, before = self.draft, len(self.draft.faults)
        rule_id = node.entries["id"][1]
        if rule_id.text in self.ids:
            draft.fault("M320", rule_id, f"machine `{self.machine.name}` has two rules `{rule_id.text}`", "rename one")
        self.ids.add(rule_id.text)
        sources = [self.draft.state(self.machine, each_) for each_ in each(node.get("from"))]
        to = node.get("to")
        when = node.get("when")
        other_than = node.get("other_than")
        if other_than is not None:
            draft.known("event", other_than)
        rule = Rule(
            id=rule_id.text,
            machine=self.machine.name,
            kind=kind,
            sources=tuple(state for state in self.machine.states if state in sources),
            place=rule_id.place,
            to=draft.state(self.machine, to) if to is not None else None,
            mark=self._mark(node),
            when=self._guard(when),
            event=text_of(node, "event"),
            by=text_of(node, "by"),
            other_than=other_than.text if other_than is not None else None,
            after=self._timers(node.get("after")),
            before=self._timers(node.get("before")),
            needs=self._needs(node.get("needs")) if kind is RuleKind.PRESSURE else (),
            do=self._asks(node.get("do")),
        )
        if len(draft.faults) > before:
            self.whole = False
        return None if (to is not None and rule.to is None) or not all(sources) else rule

    def _guard(self, node: Node | None) -> Guard | None:
        """Return a guard; where it has a fault one that says nothing, so that the rule's rungs are judged."""
        if node is None:
            return None
        guard = self.guards.read(node, self.machine)
        if guard is None:
            self.whole = False
            return All((), node.place)
        return guard

    def _mark(self, node: Node) -> str | None:
        mark = node.get("mark")
        if mark is None:
            return None
        remembered = [
            fact
            for _, _, fact in entries(self.machine.root.get("facts"))
            if fact.hurt or text_of(fact, "from") == f"mark {mark.text}"
        ]
        if not remembered:
            hint = f"declare `{mark.text}_at: {{type: instant, null: not yet, from: mark {mark.text}}}`"
            self.draft.fault(
                "M346", mark, f"no fact remembers the mark `{shown(mark.text)}`; it would be set for ever again", hint
            )
        return mark.text

    def _timers(self, node: Node | None) -> tuple[Timer, ...]:
        found = []
        for anchor, key, span in entries(node):
            duration = self.draft.span(self.machine, span)
            if not self.draft.known("fact", key, anchor):
                continue
            fact = self.draft.facts.get(anchor)
            if fact is None:
                self.whole = False
                continue
            if fact.type is not FactType.INSTANT:
                message = f"`{anchor}` is of type {fact.type.value}; only an instant is an anchor of time"
                self.draft.fault("M333", key, message, "name a fact that is an instant")
            elif (whose := self.draft.runner(anchor)) != self.machine.of:
                side = "accounts" if whose == "account" else f"each {whose}"
                self.draft.fault(
                    "M334", key, f"`{anchor}` is a fact of {side}; this machine never sees it", "name a fact of its own"
                )
            elif duration is not None:
                found.append(Timer(anchor, duration[0], key.place, duration[1]))
        return tuple(found)

    def _needs(self, node: Node | None) -> tuple[str, ...]:
        """Return the permits that must permit: those of every pressure, then groups and single ones as written."""
        groups = self.machine.root.get("permits")
        asked: list[Node] = []
        every = groups.get(EVERY_PRESSURE) if groups is not None else None
        asked += each(every)
        for name in each(node):
            group = groups.get(name.text) if groups is not None else None
            if group is not None:
                asked += each(group)
            elif name.text in self.draft.names["permit"] or groups is None:
                asked.append(name)
            elif self.draft.names["permit"].complete:
                known = [*groups.entries, *self.draft.names["permit"]]
                message = f"`{shown(name.text)}` is neither a group of `permits:` nor a permit"
                self.draft.fault("M306", name, message, meant(name.text, known))
        return tuple(dict.fromkeys(permit.text for permit in asked if self.draft.known("permit", permit)))

    def _asks(self, node: Node | None) -> tuple[Ask, ...]:
        found = []
        for item in each(node):
            each_server = item.kind == "map"
            at = next(iter(item.entries.values()))[0] if each_server else item
            intent = self.draft.intent(at)
            if intent is None:
                continue
            if self.machine.of == "account" and intent.per_server is not each_server:
                one = f"write `{{{intent.name}: each server}}`" if intent.per_server else f"write `{intent.name}` alone"
                kind = "acts on one server" if intent.per_server else "is of the whole account"
                self.draft.fault("M354", at, f"`{intent.name}` {kind}", one)
                continue
            if self.machine.of == "server" and (each_server or not intent.per_server):
                hint = f"write `{intent.name}` alone" if intent.per_server else "name an intent with `per: server`"
                self.draft.fault("M354", at, "a server's machine asks for work on that one server", hint)
                continue
            if (self.machine.of == "invoice") is not (intent.kind is IntentKind.LETTER):
                message = f"`{intent.name}` is of kind {intent.kind.value}"
                hint = "a machine of invoices asks for letters, and no other machine does"
                self.draft.fault("M354", at, message, hint)
                continue
            if intent.name == CREDIT_NOTE:
                hint = "remove it: it is asked for when a credit note is issued"
                self.draft.fault("M354", at, f"no rule asks for `{intent.name}`", hint)
                continue
            found.append(Ask(intent.name, each_server, at.place))
        return tuple(found)

    def _servers(self) -> tuple[ServerLine, ...]:
        found = []
        section = self.machine.root.get("servers")
        for node in section.items if section is not None and section.kind == "list" else []:
            line = self._server_line(node) if not node.hurt else None
            if line is not None:
                found.append(line)
            else:
                self.whole = False
        return tuple(found)

    def _server_line(self, node: Node) -> ServerLine | None:
        states = [self.draft.state(self.machine, state) for state in each(node.get("in"))]
        when = node.get("when")
        guard = self.guards.read(when, self.machine) if when is not None else None
        if not all(states) or (when is not None and guard is None):
            return None
        is_ = node.entries["is"][1]
        in_ = tuple(state for state in states if state is not None)
        place = Place(node.file, *next(iter(node.entries.values()))[0].start)
        return ServerLine(is_.text, place, in_, guard, text_of(node, "code"))


def check_groups(draft: Draft) -> None:
    """Check every permit that a machine's `permits:` names, also in groups that no rule needs yet."""
    for machine in draft.machines.values():
        for _, _, group in entries(machine.root.get("permits")):
            for permit in each(group):
                draft.known("permit", permit)
