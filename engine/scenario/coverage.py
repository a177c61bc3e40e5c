"""What scenarios reach of a policy: transitions, gate cells, and each comparison of each guard both ways.

A transition counts once for each state that it leaves. A gate cell counts when a scenario asks for the action there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from engine.compiled import compiled
from engine.guards import Facts, atoms_of, holds
from engine.model import Atom, Guard, Place, Policy
from engine.scenario.run import Judged, Result
from engine.snapshot import StepKind
from engine.timeline.play import Moment

Sort = Literal["transition", "promise", "permit", "gate cell", "predicate"]
SORTS: tuple[Sort, ...] = ("transition", "promise", "permit", "gate cell", "predicate")


@dataclass(frozen=True, slots=True, order=True)
class Goal:
    """One thing that a scenario can reach."""

    sort: Sort
    name: str
    file: str
    line: int
    column: int

    @property
    def place(self) -> Place:
        """Where the policy says it."""
        return Place(self.file, self.line, self.column)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What of a policy was reached, and what was not, in the order of the policy's text."""

    reached: frozenset[Goal]
    missed: tuple[Goal, ...]

    def share(self, sort: Sort | None = None) -> tuple[int, int]:
        """Return how many goals were reached, and of how many; of one sort, if given."""
        reached = sum(1 for goal in self.reached if sort in {None, goal.sort})
        return reached, reached + sum(1 for goal in self.missed if sort in {None, goal.sort})


def coverage(policy: Policy, results: Iterable[Result]) -> Coverage:
    """Return what the scenarios reached."""
    goals = frozenset(_goals(policy))
    seen: set[tuple[Sort, str]] = set()
    for result in results:
        for moment in result.moments:
            seen.update(_of_moment(policy, moment))
        for judged in result.judged:
            seen.update(_of_gate(judged))
    reached = frozenset(goal for goal in goals if (goal.sort, goal.name) in seen)
    in_order = sorted(goals - reached, key=lambda g: (SORTS.index(g.sort), g.file, g.line, g.column, g.name))
    return Coverage(reached, tuple(in_order))


def _goals(policy: Policy) -> Iterator[Goal]:
    for machine in policy.machines.values():
        for rule in machine.rules:
            for source in rule.sources:
                yield _goal("transition", _transition(rule.name, source), rule.place)
    for intent in policy.intents.values():
        if intent.promises is not None:
            yield _goal("promise", f"{intent.name} is told", intent.place)
    needed = {name for machine in policy.machines.values() for rule in machine.rules for name in rule.needs}
    for permit in policy.permits.values():
        if permit.name in needed:
            yield _goal("permit", f"{permit.name} holds something back", permit.place)
    yield from _account_cells(policy)
    for action, cells in policy.gates.server.items():
        for state in cells:
            yield _goal("gate cell", f"{action} on servers {state}", policy.gates.places[action])
    for also in policy.gates.also:
        yield _goal("gate cell", f"{also.action} denied {also.deny}", also.place)
    for actor, actions in policy.gates.may_also.items():
        for action in sorted(actions):
            yield _goal("gate cell", f"{action} by {actor}", policy.gates.places[action])
    for atom in _atoms_of(policy):
        for truth in (True, False):
            yield _goal("predicate", _atom(atom, truth), atom.place)


def _account_cells(policy: Policy) -> Iterator[Goal]:
    """Yield the cells of machines that deny something: where none does, another may, and nothing is to be asked."""
    rows = policy.gates.account
    denying = {machine for row in rows.values() for (machine, _), allow in row.items() if not allow}
    for action, row in rows.items():
        for machine, state in row:
            if machine in denying:
                yield _goal("gate cell", f"{action} in {machine}.{state}", policy.gates.places[action])


def _goal(sort: Sort, name: str, place: Place) -> Goal:
    return Goal(sort, name, place.file, place.line, place.column)


def _transition(rule: str, source: str) -> str:
    return f"{rule} from {source}"


def _atom(atom: Atom, truth: bool) -> str:
    value = ", ".join(map(str, atom.value)) if isinstance(atom.value, tuple) else str(atom.value).lower()
    return f"{atom.place}:{atom.place.column} {atom.fact} {atom.op} {value} is {str(truth).lower()}"


def _atoms_of(policy: Policy) -> Iterator[Atom]:
    """Yield each comparison once, by its place; those of a predicate count for all who name it."""
    guards: list[Guard] = list(policy.standing.predicates.values())
    for machine in policy.machines.values():
        guards += machine.predicates.values()
        guards += [rule.when for rule in machine.rules if rule.when is not None]
        guards += [line.when for line in machine.servers if line.when is not None]
    guards += [also.when for also in policy.gates.also]
    seen = set()
    for guard in guards:
        for atom in atoms_of(guard):
            if atom.place not in seen:
                seen.add(atom.place)
                yield atom


def _of_moment(policy: Policy, moment: Moment) -> Iterator[tuple[Sort, str]]:
    for step in moment.steps:
        if step.kind in {StepKind.TRANSITION, StepKind.MARK}:
            yield "transition", _transition(step.because, step.from_)
            rule = policy.rule(step.because)
            if rule.when is not None:
                yield from _truths(rule.when, step.facts)
    for move in moment.moves:
        if move.rule:
            yield "transition", _transition(move.rule, move.from_)
    for sent in moment.sent:
        if sent.outcome == "delivered" and sent.promise_at is not None:
            yield "promise", f"{sent.intent} is told"
    for waiting in moment.waiting:
        yield "permit", f"{waiting.permit} holds something back"
    yield from _considered(policy, moment)
    for servers_move in moment.moves:
        if servers_move.rule:
            rule = policy.rule(servers_move.rule)
            for candidate in policy.machines[rule.machine].moves:
                if servers_move.from_ in candidate.sources and candidate.when is not None:
                    yield from _truths(candidate.when, servers_move.facts)


def _considered(policy: Policy, moment: Moment) -> Iterator[tuple[Sort, str]]:
    """Yield what the account's rules and servers' lines, looked at once more in the end, compare."""
    ready = compiled(policy)
    facts = ready.view(moment.snapshot.states, moment.snapshot.facts)
    for machine in policy.account_machines:
        state = moment.snapshot.states[machine.name]
        for rule in machine.rules:
            if state in rule.sources and rule.when is not None:
                yield from _truths(rule.when, facts)
        for line in machine.servers:
            if line.when is not None and (not line.in_ or state in line.in_):
                yield from _truths(line.when, facts)
    for also in policy.gates.also:
        yield from _truths(also.when, facts)


def _truths(guard: Guard, facts: Facts) -> Iterator[tuple[Sort, str]]:
    for atom in atoms_of(guard):
        yield "predicate", _atom(atom, holds(atom, facts))


def _of_gate(judged: Judged) -> Iterator[tuple[Sort, str]]:
    verdict, action = judged.verdict, judged.action
    if judged.on_server:
        if judged.actor == "customer":
            yield "gate cell", f"{action} on servers {judged.server}"
    elif verdict.allow or verdict.machine is None:
        yield from (("gate cell", f"{action} in {machine}.{state}") for machine, state in judged.states)
    else:
        yield "gate cell", f"{action} in {verdict.machine}.{dict(judged.states)[verdict.machine]}"
    if verdict.allow:
        yield "gate cell", f"{action} by {judged.actor}"
    elif verdict.machine is None:
        yield "gate cell", f"{action} denied {verdict.code}"
