"""Whether the ladder gets anywhere: what must come does come in the end, from every state, given fairness.

Fair means that nobody withholds for ever what is theirs to give; `ASSUMES` says what. Rules only wait for lower bounds,
so under evidence that stays as it is a rule whose anchors are set is due in the end, and no ages need to be told apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.compiled import CompiledRule
from engine.guarantees import Reaches
from engine.guards import facts_of, holds
from engine.model import Policy, Value
from engine.prove import zone as zones
from engine.prove.explore import Silent, Visit, explore, path_to
from engine.prove.slices import closed
from engine.prove.space import Question, Space
from engine.prove.steps import OPEN, VOID, Node
from engine.servers import strictest

ASSUMES = (
    "the evidence stays as it is and time goes on",
    "every permit is given in the end and every hold ends",
    "every notice that is asked for and still wanted is delivered in the end",
    "people send no command",
)

Edge = tuple[str, Node]  # what happens, and where it leads


@dataclass(frozen=True, slots=True)
class Stuck:
    """A state that can be reached and from which nothing leads on: `path` to it, under which evidence, and why."""

    path: tuple[Visit, ...]
    evidence: int
    why: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How many states were explored, whether all, and the first that is stuck."""

    space: Space
    states: int
    complete: bool
    stuck: Stuck | None


def progress(policy: Policy, guarantee: Reaches, most_states: int) -> Progress:
    """Explore every state, and look in each whether the machine gets as high as promised."""
    space = Space(policy, _slice(policy, guarantee), Question((guarantee.when,)))
    outcome = explore(space, Silent(), most_states)
    first: dict[Node, int] = {}
    for number, visit in enumerate(outcome.visits):
        first.setdefault(visit.node, number)
    for number, evidence in enumerate(space.evidence):
        caught = _Fair(space, guarantee, evidence).caught(list(first))
        if caught is not None:
            node, why = caught
            return Progress(space, outcome.states, True, Stuck(path_to(outcome.visits, first[node]), number, why))
    return Progress(space, outcome.states, outcome.complete, None)


def _slice(policy: Policy, guarantee: Reaches) -> tuple[str, ...]:
    """Return the machines that can matter: those by which a notice is still wanted do too."""
    reading = facts_of(guarantee.when)
    found = closed(policy, {guarantee.to[0]}, reading)
    while True:
        asked = [policy.intents[ask.intent] for name in found for r in policy.machines[name].rules for ask in r.do]
        if any(intent.wanted_for for intent in asked if intent.name in Space(policy, found).notices):
            return tuple(machine.name for machine in policy.account_machines)
        wider = closed(policy, {*found, *(name for intent in asked for name, _ in intent.wanted_in)}, reading)
        if wider == found:
            return found
        found = wider


class _Fair:
    """What happens by itself under one evidence that stays, as a graph without times."""

    def __init__(self, space: Space, guarantee: Reaches, evidence: Mapping[str, Value]) -> None:
        self.space = space
        self.guarantee = guarantee
        self.evidence = evidence
        self.blank = zones.unconstrained(space.clocks.count)
        name, state = guarantee.to
        self.machine = space.machines[space.index[name]]
        self.goal = self.machine.rank[state]
        self.edges: dict[Node, tuple[Edge, ...]] = {}

    def caught(self, nodes: Sequence[Node]) -> tuple[Node, str] | None:
        """Return the first node from which the goal need not be reached, and is no more; None when there is none."""
        waiting = [node for node in nodes if self._counts(node)]
        while waiting:
            node = waiting.pop()
            if node not in self.edges:
                self.edges[node] = tuple(self._leading_on(node))
                waiting += [to for _, to in self.edges[node] if self._counts(to)]
        unsure = self._unsure()
        for node in nodes:
            why = self._trap(node, unsure) if node in unsure else None
            if why is not None:
                return node, why
        return None

    def _counts(self, node: Node) -> bool:
        """Tell whether the promise is still to be kept here: the condition holds and the goal is not reached."""
        below = self.machine.rank[node.states[self.space.index[self.machine.name]]] < self.goal
        return below and holds(self.guarantee.when, self.space.facts(node, self.evidence))

    def _unsure(self) -> set[Node]:
        """Return the nodes that do not lead to the goal whatever comes first."""
        unsure = set(self.edges)
        while True:
            sure = {n for n in unsure if self.edges[n] and not any(to in unsure for _, to in self.edges[n])}
            if not sure:
                return unsure
            unsure -= sure

    def _trap(self, node: Node, unsure: set[Node]) -> str | None:
        """Return why the run may stay here for ever; None when something that stays possible leads away."""
        if not self.edges[node]:
            return self._waiting(node)
        circle = {other for other in self._from(node, unsure) if node in self._from(other, unsure)}
        if not circle:
            return None
        always = set.intersection(*({name for name, _ in self.edges[each]} for each in circle))
        inside = {name for each in circle for name, to in self.edges[each] if to in circle}
        if always - inside:
            return None  # it is possible all the time, so by fairness it happens, and leads away
        return f"{' and '.join(f'`{name}`' for name in sorted(inside))} may follow each other for ever"

    def _from(self, node: Node, among: set[Node]) -> set[Node]:
        found: set[Node] = set()
        waiting = [node]
        while waiting:
            new = {to for _, to in self.edges[waiting.pop()] if to in among} - found
            found |= new
            waiting += new
        return found

    def _leading_on(self, node: Node) -> Iterator[Edge]:
        """Yield what happens by itself in the end, each with where it leads."""
        space = self.space
        rules, relieved = space.relieve(node, self.evidence)
        if rules:
            yield rules[0].name, relieved
            return
        facts = space.facts(node, self.evidence)
        for machine in space.machines:
            state = node.states[space.index[machine.name]]
            for rule in machine.relief[state] + machine.pressure[state]:
                if self._lacking(rule, node, facts) is None:
                    yield rule.name, space.after(node, self.blank, rule)[0]
        for notice, status in zip(space.notices, node.notices, strict=True):
            if status == OPEN and self._wanted(notice, node, facts):
                yield notice, space.told(node, self.blank, "deliver", notice)[0]
        for promise in space.promises:
            status = node.notices[space.notice_at[promise.notice]]
            sources = promise.rule.rule.sources
            check = promise.rule.check
            here = node.states[space.index[promise.rule.rule.machine]] in sources
            if status == VOID and here and (check is None or check(facts)):
                yield promise.notice, space.told(node, self.blank, "reissue", promise.notice)[0]

    def _lacking(self, rule: CompiledRule, node: Node, facts: Mapping[str, Value]) -> str | None:
        """Return what keeps a rule from ever firing here; None when it fires in the end."""
        if rule.event is not None:
            return f"waits for a person (`{rule.event}`)"
        if rule.mark is not None and node.stamped[self.space.at[rule.mark]]:
            return "has set its mark"
        missing = [anchor for anchor, _ in rule.timers if facts.get(anchor) is None]
        if missing:
            return f"waits for `{missing[0]}`, which nothing sets any more"
        if rule.check is not None and not rule.check(facts):
            return "asks for what does not hold"
        return None

    def _waiting(self, node: Node) -> str:
        """Say what the rules wait for that would lead on."""
        space, state = self.space, node.states[self.space.index[self.machine.name]]
        facts = space.facts(node, self.evidence)
        rules = [r for r in self.machine.pressure[state] + self.machine.commands[state] if r.to is not None]
        reasons = [f"`{rule.name}` {self._lacking(rule, node, facts)}" for rule in rules]
        return f"{self.machine.name} stays {state}: " + ("; ".join(reasons) or "no rule leads on from there")

    def _wanted(self, notice: str, node: Node, facts: Mapping[str, Value]) -> bool:
        intent, space = self.space.policy.intents[notice], self.space
        states = {machine.name: node.states[space.index[machine.name]] for machine in space.machines}
        if intent.wanted_in and not any(states.get(name) == state for name, state in intent.wanted_in):
            return False
        return not intent.wanted_for or strictest(space.ready, states, facts).state in intent.wanted_for
