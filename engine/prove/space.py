"""What can happen next: the abstract states of some of a policy's account machines and the moves between them.

Evidence may be anything at any decision, so it is no part of a state: each decision chooses a valuation of the facts
that rules read, one for each way the guards can tell them apart. Permits and promises only delay, and a pressure rule
here fires at or after its due instant or never, so every real run is among the explored ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from engine.compiled import CompiledMachine, CompiledRule, compiled
from engine.model import Guard, Origin, Policy, Rule, Value
from engine.prove import zone as zones
from engine.prove.clocks import Clocks
from engine.prove.evidence import PRESENT, STAMPED, valuations
from engine.prove.steps import DELIVERED, NONE, OPEN, VOID, Node, Step, Steps
from engine.prove.zone import Zone

PEOPLE = ("one", "another")  # who may send an event: two of the role are as good as many


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


@dataclass(frozen=True, slots=True)
class Question:
    """What a guarantee asks about beyond what the rules read."""

    guards: tuple[Guard, ...] = ()
    notices: frozenset[str] = frozenset()  # whose delivery it watches
    elapsed: tuple[str, ...] = ()  # stamps that it compares with now
    at_delivery: bool = False  # whether it asks what was known when a notice was delivered


class Space:
    """The machines named, with all that their rules read, as a graph to be explored."""

    def __init__(self, policy: Policy, machines: tuple[str, ...], question: Question | None = None) -> None:
        """Take the machines' rules, and what a guarantee asks about, as all that can tell runs apart."""
        question = question or Question()
        ready = compiled(policy)
        self.policy = policy
        self.ready = ready
        self.machines: tuple[CompiledMachine, ...] = tuple(ready.by_name[name] for name in machines)
        self.index = {machine.name: at for at, machine in enumerate(self.machines)}
        stamps = [f for m in self.machines for f in m.machine.facts.values() if f.origin in STAMPED]
        self.anchors = tuple(fact.name for fact in stamps)
        self.at = {name: at for at, name in enumerate(self.anchors)}
        self.stamps = {fact.name: fact for fact in stamps}
        self.promises = tuple(p for p in ready.promises if p.rule.rule.machine in self.index)
        self.notices = self._notices(question)
        self.notice_at = {name: at for at, name in enumerate(self.notices)}
        self.events = tuple(dict.fromkeys(r.rule.other_than for r in self._rules() if r.rule.other_than is not None))
        self.evidence = valuations(policy, [*self._guards(), *question.guards], self._evidence_anchors(question))
        self.at_delivery = question.at_delivery
        self.steps = Steps(ready, self.machines, self.anchors, self.notices, self.events)
        self.clocks = Clocks(self.machines, self.stamps, question.elapsed)

    def start(self) -> Node:
        """Return the state of an account that nothing has happened to; its zone knows nothing."""
        initial = tuple(machine.initial for machine in self.machines)
        nobody = (None,) * len(self.events)
        return Node(initial, (False,) * len(self.anchors), (NONE,) * len(self.notices), nobody)

    # ---- moves -------------------------------------------------------------------------------------------------------

    def moves(self, node: Node, zone: Zone) -> Iterator[tuple[Move, Node, Zone]]:
        """Yield everything that can happen next, after any delay, with the state and zone at that instant."""
        yield from self._of_notices(node, zone)
        done: dict[tuple[str, ...], tuple[Node, Zone]] = {}  # where rules lead is the same under all evidence
        for number, evidence in enumerate(self.evidence):
            yield from self._decided(node, zone, number, evidence, done)

    def _of_notices(self, node: Node, zone: Zone) -> Iterator[tuple[Move, Node, Zone]]:
        for at, notice in enumerate(self.notices):
            if node.notices[at] == OPEN:
                place = str(self.policy.intents[notice].place)
                led_to = self.told(node, zone, "deliver", notice)
                for number in self._known_at_delivery(node):
                    yield Move("deliver", (notice,), place, None, number), *led_to
        for promise in self.promises:
            rule, status = promise.rule, node.notices[self.notice_at[promise.notice]]
            kind = {DELIVERED: "void", VOID: "reissue"}.get(status)
            if kind is not None and node.states[self.index[rule.rule.machine]] in rule.rule.sources:
                move = Move(kind, (promise.notice,), rule.place, None, None)
                yield move, *self.told(node, zone, kind, promise.notice)

    def told(self, node: Node, zone: Zone, kind: str, notice: str) -> tuple[Node, Zone]:
        """Return where it leads that a notice is delivered, void or issued again."""
        return _at(zone, self.steps.told(node, kind, notice))

    def _known_at_delivery(self, node: Node) -> Iterator[int | None]:
        """Yield the evidence that can be known when a notice is delivered: any under which no relief is due."""
        if not self.at_delivery:
            yield None
            return
        for number, evidence in enumerate(self.evidence):
            if not self.relieve(node, evidence)[0]:
                yield number

    def _decided(
        self,
        node: Node,
        zone: Zone,
        number: int,
        evidence: Mapping[str, Value],
        done: dict[tuple[str, ...], tuple[Node, Zone]],
    ) -> Iterator[tuple[Move, Node, Zone]]:
        """Yield what a decision may do: relief to completion, and pressure only where none holds."""
        facts = self.facts(node, evidence)
        for machine in self.machines:
            for rule in machine.relief[self._state(node, machine)]:
                if rule.event is not None or rule.timers:  # timed relief may be late, and a command may come any time
                    yield from self._fired(node, zone, rule, number, facts, done)
                elif rule.check is None or rule.check(facts):
                    break  # it goes before those below it
        rules, _ = self.relieve(node, evidence)
        if rules:
            names = tuple(rule.name for rule in rules)
            if names not in done:
                done[names] = self._after_all(node, zone, rules)
            yield Move("relief", names, str(rules[0].place), None, number), *done[names]
            return
        for machine in self.machines:
            state = self._state(node, machine)
            for rule in machine.commands[state] + machine.pressure[state]:
                yield from self._fired(node, zone, rule, number, facts, done)

    def relieve(self, node: Node, evidence: Mapping[str, Value]) -> tuple[list[Rule], Node]:
        """Return the rules of relief that fire one after the other under this evidence, and where they lead."""
        fired: list[Rule] = []
        facts = self.facts(node, evidence)
        quiet = False
        while not quiet:
            quiet = True
            for machine in self.machines:
                rule = self._relieving(machine, node, facts)
                if rule is not None:
                    node, _ = self.steps.fired(node, rule)
                    facts = self.facts(node, evidence)
                    fired.append(rule.rule)
                    quiet = False
        return fired, node

    def _relieving(self, machine: CompiledMachine, node: Node, facts: Mapping[str, Value]) -> CompiledRule | None:
        for rule in machine.relief[self._state(node, machine)]:
            if rule.event is None and not rule.timers and (rule.check is None or rule.check(facts)):
                return rule
        return None

    def _after_all(self, node: Node, zone: Zone, rules: list[Rule]) -> tuple[Node, Zone]:
        for rule in rules:
            node, zone = self.after(node, zone, self.ready.rules[rule.name])
        return node, zone

    def _fired(
        self,
        node: Node,
        zone: Zone,
        rule: CompiledRule,
        number: int,
        facts: Mapping[str, Value],
        done: dict[tuple[str, ...], tuple[Node, Zone]],
    ) -> Iterator[tuple[Move, Node, Zone]]:
        if rule.mark is not None and node.stamped[self.at[rule.mark]]:
            return
        if rule.check is not None and not rule.check(facts):
            return
        waited = self.clocks.waited(rule)
        told = tuple((anchor, int(span.total_seconds())) for anchor, span in rule.timers if anchor not in self.at)
        if any(facts.get(anchor) is None for anchor, _ in (*waited, *told)):
            return
        allowed = zone
        for anchor, seconds in waited:
            narrowed = zones.at_least_since(allowed, self.at[anchor] + 1, seconds)
            if narrowed is None:
                return
            allowed = narrowed
        for actor in self._may_send(node, rule):
            key = (rule.name, actor or "") if rule.event in self.events else (rule.name,)
            if key not in done:
                done[key] = self.after(node, allowed, rule, actor)
            yield Move("rule", (rule.name,), rule.place, actor, number, waited, told), *done[key]

    def _may_send(self, node: Node, rule: CompiledRule) -> tuple[str | None, ...]:
        """Return who can have sent the rule's event; nobody has to for a rule without one."""
        if rule.event is None:
            return (None,)
        if rule.rule.other_than is None:
            return PEOPLE
        first = node.senders[self.events.index(rule.rule.other_than)]
        return tuple(person for person in PEOPLE if first is not None and person != first)

    def after(self, node: Node, zone: Zone, rule: CompiledRule, actor: str | None = None) -> tuple[Node, Zone]:
        """Return where it leads that the rule fires."""
        return _at(zone, self.steps.fired(node, rule, actor))

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

    def widened(self, node: Node, zone: Zone, watched: tuple[int, ...] = ()) -> Zone:
        """Let time pass and forget what no test can tell apart, so that exploration ends."""
        for anchor in self.clocks.idle(node.states):
            if node.stamped[anchor - 1]:
                zone = zones.forget(zone, anchor)
        return zones.extrapolate(zones.delay(zone), (*self.clocks.longest, *watched))

    def _state(self, node: Node, machine: CompiledMachine) -> str:
        return node.states[self.index[machine.name]]

    # ---- what the machines read --------------------------------------------------------------------------------------

    def _rules(self) -> Iterator[CompiledRule]:
        for machine in self.machines:
            for rule in machine.machine.rules:
                yield self.ready.rules[rule.name]

    def _guards(self) -> list[Guard]:
        return [rule.rule.when for rule in self._rules() if rule.rule.when is not None]

    def _evidence_anchors(self, question: Question) -> tuple[str, ...]:
        timers = [anchor for rule in self._rules() for anchor, _ in rule.timers]
        return tuple(dict.fromkeys(anchor for anchor in (*timers, *question.elapsed) if anchor not in self.at))

    def _notices(self, question: Question) -> tuple[str, ...]:
        """Return the notices whose fate can matter: those that stamp, that promise, or that are asked about."""
        asked = [ask.intent for rule in self._rules() for ask in rule.rule.do]
        for promise in self.promises:
            asked += [promise.notice, *(permit.notify for permit in promise.voiding if permit.notify is not None)]
        stamping = {fact.of for fact in self.stamps.values() if fact.origin is Origin.DELIVERED}
        promising = {promise.notice for promise in self.promises}
        return tuple(dict.fromkeys(name for name in asked if name in stamping | promising | question.notices))


def _at(zone: Zone, step: Step) -> tuple[Node, Zone]:
    """Return a step's state with its zone."""
    for change, anchor in step.changes:
        zone = change(zone, anchor)
    return step.node, zone
