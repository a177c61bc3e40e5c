"""What can happen next: the abstract states of some of a policy's account machines and the moves between them.

Evidence may be anything at any decision, so it is no part of a state: each decision chooses a valuation of the facts
that rules read, one for each way the guards can tell them apart. Permits and promises only delay, and a pressure rule
here fires at or after its due instant or never, so every real run is among the explored ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from engine.compiled import CompiledMachine, CompiledRule, compiled
from engine.guards import holds
from engine.model import All, Any, Atom, Fact, FactType, Guard, Named, Not, Origin, Policy, Rule, RuleKind, Value
from engine.prove import zone as zones
from engine.prove.zone import Zone

PRESENT = datetime(2000, 1, 1, tzinfo=UTC)  # stands for any instant: guards ask of instants only whether they are null
STAMPED = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)

NONE, OPEN, DELIVERED, VOID = range(4)  # where a notice stands in an episode; unknown and failed ones stay open here


class Node(NamedTuple):
    """The discrete part of a state; what follows from it also depends on its zone."""

    states: tuple[str, ...]  # by machine
    stamped: tuple[bool, ...]  # by anchor: not null
    notices: tuple[int, ...]
    watch: tuple[object, ...]  # what a guarantee remembers


@dataclass(frozen=True, slots=True)
class Move:
    """One thing that happened: `kind` is rule, relief, deliver, void, reissue."""

    kind: str
    names: tuple[str, ...]  # of the notice, of the rule, or of all the rules that relief fired
    place: str
    actor: str | None  # who sent the event: one of two of the role
    evidence: int | None  # index of the valuation it was decided under
    waited: tuple[tuple[str, int], ...] = ()  # (anchor, seconds that must have passed since its stamp)
    evidence_waited: tuple[tuple[str, int], ...] = ()  # the same of anchors that evidence gives


class Space:
    """The machines named, with all that their rules read, as a graph to be explored."""

    def __init__(self, policy: Policy, machines: tuple[str, ...], watched: tuple[Guard, ...] = ()) -> None:
        """Take the machines' rules, and guards that a guarantee asks about, as all that can tell evidence apart."""
        ready = compiled(policy)
        self.policy = policy
        self.ready = ready
        self.machines: tuple[CompiledMachine, ...] = tuple(ready.by_name[name] for name in machines)
        self.index = {machine.name: at for at, machine in enumerate(self.machines)}
        stamps = [f for m in self.machines for f in m.machine.facts.values() if f.origin in STAMPED]
        self.anchors = tuple(fact.name for fact in stamps)
        self.at = {name: at for at, name in enumerate(self.anchors)}
        self.stamps = {fact.name: fact for fact in stamps}
        self.notices = self._notices()
        self.notice_at = {name: at for at, name in enumerate(self.notices)}
        self.evidence = valuations(policy, [*self._guards(), *watched], self._evidence_anchors())
        self.longest = self._longest()

    def start(self) -> Node:
        """Return the state of an account that nothing has happened to; its zone knows nothing."""
        initial = tuple(machine.initial for machine in self.machines)
        return Node(initial, (False,) * len(self.anchors), (NONE,) * len(self.notices), ())

    # ---- moves -------------------------------------------------------------------------------------------------------

    def moves(self, node: Node, zone: Zone) -> Iterator[tuple[Move, Node, Zone]]:
        """Yield everything that can happen next, after any delay, with the state and zone at that instant."""
        yield from self._of_notices(node, zone)
        for number, evidence in enumerate(self.evidence):
            yield from self._decided(node, zone, number, evidence)

    def _of_notices(self, node: Node, zone: Zone) -> Iterator[tuple[Move, Node, Zone]]:
        for at, notice in enumerate(self.notices):
            status = node.notices[at]
            if status == OPEN:
                after, moved = self._stamp(
                    node, zone, tuple(f for f, _ in self.ready.delivered[notice] if f in self.at)
                )
                place = str(self.policy.intents[notice].place)
                yield Move("deliver", (notice,), place, None, None), self._told(after, at, DELIVERED), moved
            for promise in self.ready.promises:
                rule = promise.rule
                if promise.notice != notice or rule.rule.machine not in self.index or not promise.voiding:
                    continue
                if node.states[self.index[rule.rule.machine]] not in rule.rule.sources:
                    continue
                if status == DELIVERED:
                    after, moved = self._clear(node, zone, tuple(f for f, _ in promise.stamps if f in self.at))
                    yield Move("void", (notice,), rule.place, None, None), self._told(after, at, VOID), moved
                elif status == VOID:
                    yield Move("reissue", (notice,), rule.place, None, None), self._told(node, at, OPEN), zone

    def _decided(
        self, node: Node, zone: Zone, number: int, evidence: Mapping[str, Value]
    ) -> Iterator[tuple[Move, Node, Zone]]:
        """Yield what a decision may do: relief to completion, and pressure only where none holds."""
        relieved = self._relieved(node, zone, number, evidence)
        if relieved is not None:
            yield relieved
            return
        for machine in self.machines:
            state = self._state(node, machine)
            for rule in machine.relief[state] + machine.commands[state] + machine.pressure[state]:
                yield from self._fired(node, zone, machine, rule, number, evidence)

    def _relieved(
        self, node: Node, zone: Zone, number: int, evidence: Mapping[str, Value]
    ) -> tuple[Move, Node, Zone] | None:
        """Run relief over all machines to completion; None when none holds. Timed relief may be late."""
        rules, _ = self.relieve(node, evidence)
        if not rules:
            return None
        for rule in rules:
            node, zone = self._after(node, zone, self.ready.by_name[rule.machine], self.ready.rules[rule.name])
        return Move("relief", tuple(rule.name for rule in rules), str(rules[0].place), None, number), node, zone

    def relieve(self, node: Node, evidence: Mapping[str, Value]) -> tuple[list[Rule], Node]:
        """Return the rules of relief that fire one after the other under this evidence, and where they lead."""
        fired: list[Rule] = []
        zone = zones.unconstrained(len(self.longest) - 1)
        quiet = False
        while not quiet:
            quiet = True
            for machine in self.machines:
                for rule in machine.relief[self._state(node, machine)]:
                    if rule.event is None and not rule.timers and self._holds(rule, node, evidence):
                        node, zone = self._after(node, zone, machine, rule)
                        fired.append(rule.rule)
                        quiet = False
                        break
        return fired, node

    def _holds(self, rule: CompiledRule, node: Node, evidence: Mapping[str, Value]) -> bool:
        return rule.check is None or rule.check(self.facts(node, evidence))

    def _fired(  # noqa: PLR0917 - one decision's whole case
        self,
        node: Node,
        zone: Zone,
        machine: CompiledMachine,
        rule: CompiledRule,
        number: int,
        evidence: Mapping[str, Value],
    ) -> Iterator[tuple[Move, Node, Zone]]:
        if rule.mark is not None and node.stamped[self.at[rule.mark]]:
            return
        if not self._holds(rule, node, evidence):
            return
        if rule.rule.kind is RuleKind.RELIEF and rule.event is None and not rule.timers:
            return
        allowed: Zone | None = zone
        waited: list[tuple[str, int]] = []
        told: list[tuple[str, int]] = []
        for anchor, duration in rule.timers:
            seconds = int(duration.total_seconds())
            if anchor in self.at:
                if not node.stamped[self.at[anchor]]:
                    return
                seconds += int(self.stamps[anchor].plus.total_seconds())
                waited.append((anchor, seconds))
                allowed = zones.at_least_since(allowed, self.at[anchor] + 1, seconds) if allowed is not None else None
            elif evidence.get(anchor) is None:
                return
            else:
                told.append((anchor, seconds))
        if allowed is None:
            return
        actors: tuple[str | None, ...] = (None,) if rule.event is None else ("one", "another")
        for actor in actors:
            move = Move("rule", (rule.name,), rule.place, actor, number, tuple(waited), tuple(told))
            yield move, *self._after(node, allowed, machine, rule)

    def _after(self, node: Node, zone: Zone, machine: CompiledMachine, rule: CompiledRule) -> tuple[Node, Zone]:
        if rule.mark is not None:
            node, zone = self._stamp(node, zone, (rule.mark,))
        elif rule.to is not None:
            node, zone = self._moved(node, zone, machine, rule.to)
        for ask in rule.rule.do:
            at = self.notice_at.get(ask.intent)
            if at is not None and node.notices[at] != OPEN:
                facts = tuple(f for f, _ in self.ready.delivered[ask.intent] if f in self.at)
                node, zone = self._clear(node, zone, facts)
                node = self._told(node, at, OPEN)
        return node, zone

    def _moved(self, node: Node, zone: Zone, machine: CompiledMachine, to: str) -> tuple[Node, Zone]:
        at = self.index[machine.name]
        start = node.states[at]
        node = node._replace(states=(*node.states[:at], to, *node.states[at + 1 :]))
        if to == machine.initial:
            node, zone = self._clear(node, zone, tuple(name for name in machine.clears if name in self.at))
            notices = tuple(
                NONE if name in machine.episode_notices else status
                for name, status in zip(self.notices, node.notices, strict=True)
            )
            node = node._replace(notices=notices)
        elif machine.rank[to] < machine.rank[start]:
            above = [
                f for state, each in machine.entered.items() if machine.rank[state] > machine.rank[to] for f, _ in each
            ]
            node, zone = self._clear(node, zone, tuple(above))
        return self._stamp(node, zone, tuple(fact for fact, _ in machine.entered[to]))

    # ---- parts of a state --------------------------------------------------------------------------------------------

    def facts(self, node: Node, evidence: Mapping[str, Value]) -> dict[str, Value]:
        """Return what guards read in this state under this evidence."""
        found = dict(evidence)
        for name, present in zip(self.anchors, node.stamped, strict=True):
            found[name] = PRESENT if present else None
        for fact, machine in self.ready.mirrors:
            if machine in self.index:
                found[fact] = node.states[self.index[machine]]
        return found

    def widened(self, zone: Zone, watched: tuple[int, ...] = ()) -> Zone:
        """Let time pass and forget what no test can tell apart, so that exploration ends."""
        return zones.extrapolate(zones.delay(zone), (*self.longest, *watched))

    def _state(self, node: Node, machine: CompiledMachine) -> str:
        return node.states[self.index[machine.name]]

    def _told(self, node: Node, at: int, status: int) -> Node:
        return node._replace(notices=(*node.notices[:at], status, *node.notices[at + 1 :]))

    def _stamp(self, node: Node, zone: Zone, facts: tuple[str, ...]) -> tuple[Node, Zone]:
        return self._set(node, facts, stamped=True), _each(zones.stamp, zone, [self.at[f] + 1 for f in facts])

    def _clear(self, node: Node, zone: Zone, facts: tuple[str, ...]) -> tuple[Node, Zone]:
        return self._set(node, facts, stamped=False), _each(zones.forget, zone, [self.at[f] + 1 for f in facts])

    def _set(self, node: Node, facts: tuple[str, ...], *, stamped: bool) -> Node:
        present = list(node.stamped)
        for fact in facts:
            present[self.at[fact]] = stamped
        return node._replace(stamped=tuple(present))

    # ---- what the machines read --------------------------------------------------------------------------------------

    def _rules(self) -> Iterator[CompiledRule]:
        for machine in self.machines:
            for rule in machine.machine.rules:
                yield self.ready.rules[rule.name]

    def _guards(self) -> list[Guard]:
        return [rule.rule.when for rule in self._rules() if rule.rule.when is not None]

    def _evidence_anchors(self) -> tuple[str, ...]:
        timers = (anchor for rule in self._rules() for anchor, _ in rule.timers)
        return tuple(dict.fromkeys(anchor for anchor in timers if anchor not in self.at))

    def _notices(self) -> tuple[str, ...]:
        asked = [ask.intent for rule in self._rules() for ask in rule.rule.do if ask.intent in self.ready.delivered]
        return tuple(dict.fromkeys(asked))

    def _longest(self) -> tuple[int, ...]:
        longest = [0] * (len(self.anchors) + 1)
        for rule in self._rules():
            for anchor, duration in rule.timers:
                if anchor in self.at:
                    seconds = int((duration + self.stamps[anchor].plus).total_seconds())
                    longest[self.at[anchor] + 1] = max(longest[self.at[anchor] + 1], seconds)
        return tuple(longest)


def _each(change: Callable[[Zone, int], Zone], zone: Zone, anchors: list[int]) -> Zone:
    for anchor in anchors:
        zone = change(zone, anchor)
    return zone


# ---- evidence --------------------------------------------------------------------------------------------------------


def valuations(policy: Policy, guards: list[Guard], anchors: tuple[str, ...]) -> tuple[Mapping[str, Value], ...]:
    """Return every way in which the guards can tell evidence apart, one valuation for each.

    Guards that read nothing but evidence tell it apart by their verdict alone, others by the verdict of each atom.
    """
    kept = (*STAMPED, Origin.MACHINE)
    atoms = [atom for guard in guards for atom in atoms_of(guard)]
    names = list(dict.fromkeys([atom.fact for atom in atoms] + list(anchors)))
    read = [policy.facts[name] for name in names if policy.facts[name].origin not in kept]
    choices = [representatives(fact, [a for a in atoms if a.fact == fact.name]) for fact in read]
    tests: list[Guard] = []
    for guard in guards:
        mixed = any(policy.facts[atom.fact].origin in kept for atom in atoms_of(guard))
        tests += [a for a in atoms_of(guard) if policy.facts[a.fact].origin not in kept] if mixed else [guard]
    classes: dict[tuple[bool, ...], Mapping[str, Value]] = {}
    for values in itertools.product(*choices):
        found = dict(zip((fact.name for fact in read), values, strict=True))
        verdicts = [holds(test, found) for test in tests] + [found[anchor] is None for anchor in anchors]
        classes.setdefault(tuple(verdicts), found)
    return tuple(classes.values())


def representatives(fact: Fact, atoms: list[Atom]) -> list[Value]:
    """Return values of a fact that between them give its atoms every combination of verdicts that they can have."""
    seen: dict[tuple[bool, ...], Value] = {}
    for value in _candidates(fact, atoms):
        verdicts = tuple(holds(atom, {fact.name: value}) for atom in atoms)
        seen.setdefault((value is None, *verdicts) if fact.type is FactType.INSTANT else verdicts, value)
    return list(seen.values())


def _candidates(fact: Fact, atoms: list[Atom]) -> Sequence[Value]:
    if fact.type is FactType.BOOL:
        return [False, True]
    if fact.type in (FactType.ENUM, FactType.STATE):
        return list(fact.values)
    if fact.type is FactType.INSTANT:
        return [None, PRESENT]
    numbers = {fact.minimum if fact.minimum is not None else 0}
    for atom in atoms:
        for value in atom.value if isinstance(atom.value, tuple) else (atom.value,):
            if isinstance(value, int) and not isinstance(value, bool):
                numbers |= {value - 1, value, value + 1}
    return sorted(n for n in numbers if fact.minimum is None or n >= fact.minimum)


def atoms_of(guard: Guard) -> Iterator[Atom]:
    """Yield the atoms of a guard."""
    if isinstance(guard, Atom):
        yield guard
    elif isinstance(guard, Named):
        yield from atoms_of(guard.guard)
    elif isinstance(guard, Not):
        yield from atoms_of(guard.part)
    elif isinstance(guard, All | Any):
        for part in guard.parts:
            yield from atoms_of(part)
