"""Machines: their settings with overrides resolved, their rules, and what they say about servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Literal, cast

from engine.build_draft import Draft, MachineDraft, each, entries, text_of
from engine.build_facts import GuardReader
from engine.durations import LONGEST, write_duration
from engine.faults import closest, meant, shown
from engine.model import All, Ask, FactType, Guard, Machine, Place, Rule, RuleKind, ServerLine, Setting, Timer
from engine.source import Node

EVERY_PRESSURE = "every_pressure"
OVERRIDE = "BILLING_"
CAUSES = ("debt", "dispute", "abuse", "ended", "admin", "tenant")  # the order in which equals give their code
_WHOLE = re.compile(r"[0-9]{1,7}")


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
        of_server = text_of(root, "of") == "server"
        states = root.get("states" if of_server else "ladder")
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
            of_server=of_server,
            states=tuple(state.text for state in each(states)) if states is not None else (),
            states_known=known,
            marks=frozenset(marks),
        )


def _by_cause(entry: tuple[str, Node]) -> tuple[bool, int, str]:
    file, root = entry
    cause = text_of(root, "cause")
    return text_of(root, "of") == "server", CAUSES.index(cause) if cause in CAUSES else len(CAUSES), file


def _rules(root: Node) -> list[Node]:
    found: list[Node] = []
    for key in ("relief", "pressure", "moves"):
        section = root.get(key)
        found += section.items if section is not None else []
    return found


# ---- settings --------------------------------------------------------------------------------------------------------


def build_settings(draft: Draft) -> None:
    """Read every `settings:` section and resolve its overrides."""
    variables: dict[str, Node] = {}
    for machine in draft.machines.values():
        settings = draft.settings.setdefault(machine.name, {})
        for name, key, node in entries(machine.root.get("settings")):
            settings[name] = None if node.hurt or key.hurt else _setting(draft, name, key, node, variables)
        for name, key, node in entries(machine.root.get("settings")):
            _check_at_least(draft, machine.name, name, key, node)
    _check_spelling(draft, variables)


def _setting(draft: Draft, name: str, key: Node, node: Node, variables: dict[str, Node]) -> Setting | None:
    default = draft.duration(node.get("default"))
    minimum = draft.duration(node.get("min"))
    if default is None or (minimum is None and "min" in node.entries):
        return None
    if minimum is not None and default < minimum:
        at = node.entries["default"][1]
        draft.fault(
            "M380",
            at,
            f"the default {write_duration(default)} is less than `min: {write_duration(minimum)}`",
            "raise it",
        )
        return None
    variable, unit = None, None
    value = default
    for variable, variable_key, unit_node in entries(node.get("env")):
        unit = cast("Literal['hours', 'days', 'minutes', 'seconds']", unit_node.text)
        if (first := variables.setdefault(variable, variable_key)) is not variable_key:
            draft.fault(
                "M320", variable_key, f"`{variable}` overrides two settings, first in {first.place}", "rename one"
            )
        override = _override(draft, variable, variable_key, unit, minimum)
        value = override if override is not None else default
    at_least = text_of(node, "at_least")
    return Setting(name, value, default, key.place, variable, unit, minimum, at_least)


def _override(draft: Draft, variable: str, key: Node, unit: str, minimum: timedelta | None) -> timedelta | None:
    """Return what the environment says; None when it says nothing, or with a fault nothing that could be used."""
    given = draft.env.get(variable, "").strip()
    if not given:
        return None
    if _WHOLE.fullmatch(given) is None:
        message = f"the environment variable `{variable}` is `{shown(given)}`, expected a whole number of {unit}"
        draft.fault("M381", key, message, "write digits only, without the unit")
        return None
    value = timedelta(**{unit: int(given)})
    if value > LONGEST:
        draft.fault(
            "M382",
            key,
            f"the environment variable `{variable}` says {given} {unit}, more than ten years",
            "is the unit right?",
        )
        return None
    if minimum is not None and value < minimum:
        message = (
            f"the environment variable `{variable}` says {given} {unit}, less than `min: {write_duration(minimum)}`"
        )
        draft.fault("M382", key, message, "raise it, or lower `min:` where the policy is reviewed")
        return None
    return value


def _check_at_least(draft: Draft, machine: str, name: str, key: Node, node: Node) -> None:
    settings = draft.settings[machine]
    setting = settings.get(name)
    if setting is None or setting.at_least is None:
        return
    at = node.entries["at_least"][1]
    if setting.at_least not in settings or setting.at_least == name:
        draft.fault(
            "M303",
            at,
            f"no other setting of `{machine}` is called `{shown(setting.at_least)}`",
            meant(setting.at_least, settings),
        )
        return
    draft.used_settings.add((machine, setting.at_least))
    other = settings[setting.at_least]
    if other is None or setting.value >= other.value:
        return
    told = [f"`{each.env}`" for each in (setting, other) if each.env is not None and each.value != each.default]
    why = f", by the environment variable {' and '.join(told)}" if told else ""
    values = f"{write_duration(setting.value)}, less than `{other.name}`, which is {write_duration(other.value)}"
    message = f"`{name}` is {values}{why}"
    draft.fault("M382" if told else "M380", key, message, f"`at_least: {other.name}` says it may not be")


def _check_spelling(draft: Draft, variables: Mapping[str, Node]) -> None:
    """Note an override that misses its setting by a letter: nobody would learn that it does nothing."""
    for name in draft.env:
        if name.startswith(OVERRIDE) and name not in variables and (near := closest(name, variables)) is not None:
            message = f"the environment variable `{shown(name)}` overrides nothing; it looks like `{near}`"
            draft.fault("M384", variables[near], message, "correct or remove it")


# ---- rules -----------------------------------------------------------------------------------------------------------


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
        return Machine(
            name=name,
            of="server" if self.machine.of_server else "account",
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
        )

    def _rules(self, key: str, kind: RuleKind) -> tuple[Rule, ...]:
        found = []
        section = self.machine.root.get(key) if self.machine.of_server is (kind is RuleKind.MOVE) else None
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
        """Return a guard; where it has a fault one that says nothing, so that the rule's rungs are judged all the same."""
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
            elif (anchor in self.draft.of_server) is not self.machine.of_server:
                side = "accounts" if self.machine.of_server else "each server"
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
            if not self.machine.of_server and intent.per_server is not each_server:
                one = f"write `{{{intent.name}: each server}}`" if intent.per_server else f"write `{intent.name}` alone"
                kind = "acts on one server" if intent.per_server else "is of the whole account"
                self.draft.fault("M354", at, f"`{intent.name}` {kind}", one)
                continue
            if self.machine.of_server and (each_server or not intent.per_server):
                hint = f"write `{intent.name}` alone" if intent.per_server else "name an intent with `per: server`"
                self.draft.fault("M354", at, "a server's machine asks for work on that one server", hint)
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


def check_settings_used(draft: Draft) -> None:
    """Refuse a setting that nothing uses: whoever turns it believes that something changed."""
    for machine in draft.machines.values():
        if machine.root.hurt:
            continue
        for name, key, _ in entries(machine.root.get("settings")):
            if (machine.name, name) not in draft.used_settings:
                draft.fault("M385", key, f"the setting `{name}` is used by no rule", "use it, or remove it")
