"""Where what happens leads: states, stamps and notices after a rule or a notice, and which anchors it set or cleared.

It depends on a state alone, never on its zone or on the evidence, so each is worked out once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from engine.compiled import Compiled, CompiledMachine, CompiledRule
from engine.prove import zone as zones
from engine.prove.zone import Zone

NONE, OPEN, DELIVERED, VOID = range(4)  # where a notice stands in an episode; unknown and failed ones stay open here

Change = tuple[Callable[[Zone, int], Zone], int]  # of one anchor's variable


class Node(NamedTuple):
    """The discrete part of a state; what follows from it also depends on its zone."""

    states: tuple[str, ...]  # by machine
    stamped: tuple[bool, ...]  # by anchor: not null
    notices: tuple[int, ...]
    senders: tuple[str | None, ...] = ()  # of the events that a rule's `other_than` names
    watch: tuple[object, ...] = ()  # what a guarantee remembers


class Step(NamedTuple):
    """Where something led, and what it does to the zone it happened in."""

    node: Node
    changes: tuple[Change, ...] = ()


class Steps:
    """The steps of some machines."""

    def __init__(
        self,
        ready: Compiled,
        machines: Sequence[CompiledMachine],
        anchors: Sequence[str],
        notices: Sequence[str],
        events: Sequence[str],
    ) -> None:
        """Take what a node's fields stand for, in their order."""
        self.ready = ready
        self.index = {machine.name: at for at, machine in enumerate(machines)}
        self.at = {name: at for at, name in enumerate(anchors)}
        self.notices = tuple(notices)
        self.notice_at = {name: at for at, name in enumerate(notices)}
        self.events = tuple(events)
        self.set_by = {n: tuple(f for f, _ in ready.delivered[n] if f in self.at) for n in notices}
        self._known: dict[tuple[object, ...], Step] = {}

    def fired(self, node: Node, rule: CompiledRule, actor: str | None = None) -> Step:
        """Return where it leads that the rule fires."""
        return self._once(node, rule.name, actor or "", lambda: self._fired(node, rule, actor))

    def told(self, node: Node, kind: str, notice: str) -> Step:
        """Return where it leads that a notice is delivered, void or issued again."""
        return self._once(node, notice, kind, lambda: self._told(node, kind, notice))

    def _once(self, node: Node, name: str, how: str, work: Callable[[], Step]) -> Step:
        key = (name, how, node.states, node.stamped, node.notices, node.senders)
        if key not in self._known:
            self._known[key] = work()
        after, changes = self._known[key]
        return Step(after._replace(watch=node.watch), changes)

    def _fired(self, node: Node, rule: CompiledRule, actor: str | None) -> Step:
        draft = _Draft(self, node)
        machine = self.ready.by_name[rule.rule.machine]
        if rule.event in self.events:
            draft.senders[self.events.index(rule.event)] = actor
        if rule.mark is not None:
            draft.stamp((rule.mark,))
        elif rule.to is not None:
            draft.move(machine, rule.to)
        for ask in rule.rule.do:
            if ask.intent in self.notice_at:
                draft.ask(ask.intent)
        return draft.done()

    def _told(self, node: Node, kind: str, notice: str) -> Step:
        draft = _Draft(self, node)
        at = self.notice_at[notice]
        if kind == "reissue":
            draft.notices[at] = OPEN
        elif kind == "deliver":
            draft.stamp(self.set_by[notice])
            draft.notices[at] = DELIVERED
        else:
            draft.clear(self.set_by[notice])
            draft.notices[at] = VOID
            voiding = [p for promise in self.ready.promises if promise.notice == notice for p in promise.voiding]
            for notify in {permit.notify for permit in voiding} & self.notice_at.keys():
                draft.ask(str(notify))
        return draft.done()


class _Draft:
    """A state while one step changes it."""

    def __init__(self, steps: Steps, node: Node) -> None:
        self.steps = steps
        self.states = list(node.states)
        self.stamped = list(node.stamped)
        self.notices = list(node.notices)
        self.senders = list(node.senders)
        self.changes: list[Change] = []

    def done(self) -> Step:
        node = Node(tuple(self.states), tuple(self.stamped), tuple(self.notices), tuple(self.senders))
        return Step(node, tuple(self.changes))

    def stamp(self, facts: Sequence[str]) -> None:
        for at in map(self.steps.at.__getitem__, facts):
            self.stamped[at] = True
            self.changes.append((zones.stamp, at + 1))

    def clear(self, facts: Sequence[str]) -> None:
        """Clear what is stamped; nothing is known of an anchor that is null."""
        for at in map(self.steps.at.__getitem__, facts):
            if self.stamped[at]:
                self.stamped[at] = False
                self.changes.append((zones.forget, at + 1))

    def ask(self, notice: str) -> None:
        at = self.steps.notice_at[notice]
        if self.notices[at] != OPEN:
            self.clear(self.steps.set_by[notice])
            self.notices[at] = OPEN

    def move(self, machine: CompiledMachine, to: str) -> None:
        steps, at = self.steps, self.steps.index[machine.name]
        start, self.states[at] = self.states[at], to
        if to == machine.initial:
            self.clear([name for name in machine.clears if name in steps.at])
            self.notices = [
                NONE if name in machine.episode_notices else status
                for name, status in zip(steps.notices, self.notices, strict=True)
            ]
            self.senders = [
                None if event in machine.events else sender
                for event, sender in zip(steps.events, self.senders, strict=True)
            ]
        elif machine.rank[to] < machine.rank[start]:
            above = [each for state, each in machine.entered.items() if machine.rank[state] > machine.rank[to]]
            self.clear([fact for each in above for fact, _ in each])
        self.stamp([fact for fact, _ in machine.entered[to]])
