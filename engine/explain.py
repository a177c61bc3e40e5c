"""Why an account is where it is: every rule that could move it, comparison by comparison, and what would change that.

Reads a snapshot and decides nothing that counts: what it tries out, it forgets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import combinations, product
from typing import Literal

from engine.compiled import ALWAYS, compiled
from engine.decide import settle
from engine.durations import write_duration
from engine.errors import CommandRefused
from engine.gates import GateVerdict, verdict
from engine.guards import Facts, atoms_of, holds
from engine.model import All, Any, Atom, FactType, Guard, Named, Not, Origin, Policy, Rule, RuleKind, Value
from engine.servers import server_state
from engine.snapshot import Command, ServerState, Settlement, Snapshot
from engine.timeline.play import onwards, play

Turned = Callable[[Settlement], str | None]
AHEAD = timedelta(days=400)
MOST_CHANGES = 12  # that are told of what would flip an answer
MOST_TRIES = 4_000


@dataclass(frozen=True, slots=True)
class Compared:
    """One comparison of a guard: what is, what is needed, whether it holds. Deeper ones are inside the one above."""

    depth: int
    fact: str | None  # None: joins the ones below it, as `needed` says
    value: Value
    needed: str
    ok: bool
    place: str


@dataclass(frozen=True, slots=True)
class Waited:
    """One time that a rule waits for. `at` None: what it counts from has not happened."""

    what: str
    at: datetime | None
    ok: bool
    place: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A rule that leaves the present state, and what keeps it from acting now."""

    rule: str
    kind: RuleKind
    place: str
    leads_to: str
    event: str | None
    by: str | None
    compared: tuple[Compared, ...]
    waited: tuple[Waited, ...]
    withheld: tuple[tuple[str, datetime | None], ...]  # permits that do not permit, and until when
    verdict: Literal["now", "later", "withheld", "not so", "on event"]
    at: datetime | None  # when it may act, if nothing changes


@dataclass(frozen=True, slots=True)
class Standing:
    """One machine: where it is, by which rules accounts come there, and what may move it from there."""

    machine: str
    state: str
    episode: int
    by: tuple[tuple[str, str], ...]  # rule and place
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One reason that an action is looked at: a column of the matrix, or a further reason to deny."""

    what: str
    allow: bool
    code: str | None
    place: str
    compared: tuple[Compared, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether an action is allowed, every reason for it, and the smallest changes that would turn it around."""

    action: str
    actor: str
    verdict: GateVerdict
    cells: tuple[Cell, ...]
    flips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Next:
    """Something that follows if nothing changes."""

    at: datetime
    rules: tuple[str, ...]
    states: Mapping[str, str]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Alone:
    """A server that stands on rungs of its own."""

    server_id: str
    states: Mapping[str, str]
    """Those alone."""
    server: ServerState
    """With its account's."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that can be said of an account at one instant."""

    snapshot: Snapshot
    now: datetime
    server: ServerState
    alone: tuple[Alone, ...]
    standings: tuple[Standing, ...]
    answers: tuple[Answer, ...]
    ahead: tuple[Next, ...]
    due_at: datetime | None
    changes: tuple[str, ...]  # single changes of evidence, and commands, that would move a machine at once


def explain(
    policy: Policy, snapshot: Snapshot, now: datetime, actions: tuple[str, ...] = (), actor: str = "customer"
) -> Explanation:
    """Explain the account; `actions` are those whose denial is explained, all denied ones when empty."""
    # One that was not decided since a machine came to the policy has no state there: it rests.
    at_rest = {machine.name: machine.initial for machine in policy.account_machines}
    snapshot = replace(snapshot, states={**at_rest, **snapshot.states})
    ready = compiled(policy)
    facts = ready.view(snapshot.states, snapshot.facts)
    server = server_state(policy, snapshot)
    standings = tuple(
        Standing(
            machine.name,
            snapshot.states[machine.name],
            snapshot.episodes.get(machine.name, 0),
            tuple((r.name, str(r.place)) for r in machine.rules if r.to == snapshot.states[machine.name]),
            tuple(
                _candidate(policy, snapshot, facts, rule, now)
                for rule in machine.rules
                if snapshot.states[machine.name] in rule.sources
            ),
        )
        for machine in policy.account_machines
    )
    asked = actions or _denied(policy, snapshot, server, actor)
    answers = tuple(_answer(policy, snapshot, now, action, actor, brief=not actions) for action in asked)
    alone = tuple(
        Alone(each.server_id, each.states, server_state(policy, snapshot, each.server_id))
        for each in snapshot.servers
        if each.states
    )
    return Explanation(
        snapshot, now, server, alone, standings, answers, tuple(_ahead(policy, snapshot, now)),
        settle(policy, snapshot, now).due_at, tuple(_moving(policy, snapshot, now)),
    )  # fmt: skip


def compare(guard: Guard, facts: Facts, depth: int = 0) -> Iterator[Compared]:
    """Yield every comparison of a guard, the joining ones before what they join."""
    if isinstance(guard, Atom):
        yield Compared(depth, guard.fact, facts.get(guard.fact), needed(guard), holds(guard, facts), str(guard.place))
        return
    words = {All: "all of", Any: "any of", Not: "not"}
    label = guard.name if isinstance(guard, Named) else words[type(guard)]
    yield Compared(depth, None, None, label, holds(guard, facts), str(guard.place))
    if isinstance(guard, Named):
        parts: tuple[Guard, ...] = (guard.guard,)
    else:
        parts = (guard.part,) if isinstance(guard, Not) else guard.parts
    for part in parts:
        yield from compare(part, facts, depth + 1)


def needed(atom: Atom) -> str:
    """Return in words what a comparison asks for."""
    if atom.op == "is_null":
        return "none" if atom.value else "known"
    signs = {"eq": "=", "ne": "≠", "lt": "<", "lte": "≤", "gt": ">", "gte": "≥", "in": "one of", "between": "between"}
    value = atom.value
    words = ", ".join(map(_plain, value)) if isinstance(value, tuple) else _plain(value)
    return f"{signs[atom.op]} {words}"


def _plain(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _candidate(policy: Policy, snapshot: Snapshot, facts: Facts, rule: Rule, now: datetime) -> Candidate:
    ready = compiled(policy)
    found = ready.rules[rule.name]
    compared = tuple(compare(rule.when, facts)) if rule.when is not None else ()
    marked = found.mark is not None and facts.get(found.mark) is not None
    waited = [
        Waited(
            f"{timer.anchor} {'-' if before else '+'} {timer.setting or write_duration(timer.duration)}",
            (start + (-timer.duration if before else timer.duration)) if isinstance(start, datetime) else None,
            isinstance(start, datetime) and start + (-timer.duration if before else timer.duration) <= now,
            str(timer.place),
        )
        for before, timers in ((False, rule.after), (True, rule.before))
        for timer in timers
        for start in [facts.get(timer.anchor)]
    ]
    told = found.told(snapshot.notices)
    if told is not None:
        waited.append(Waited("the date that was told", told, told <= now, str(rule.place)))
    at = found.due_at(facts, snapshot.notices)
    permits = found.needs + found.brakes
    blocks = [(permit.name, *ready.permits.block(permit, snapshot, now)) for permit in permits]
    withheld = tuple((name, until) for name, blocked, until in blocks if blocked)
    return Candidate(
        rule.name,
        rule.kind,
        str(rule.place),
        rule.to or f"mark {rule.mark}",
        rule.event,
        rule.by,
        compared,
        tuple(waited),
        withheld,
        "not so" if marked or (compared and not compared[0].ok) or at is None
        else "on event" if rule.event is not None
        else "later" if at > now
        else "withheld" if withheld and rule.kind is RuleKind.PRESSURE
        else "now",
        None if at is ALWAYS else at,
    )  # fmt: skip


# ---- gates -----------------------------------------------------------------------------------------------------------


def _verdict(policy: Policy, snapshot: Snapshot, server: ServerState, action: str, actor: str) -> GateVerdict:
    facts = compiled(policy).view(snapshot.states, snapshot.facts)
    return verdict(policy, tuple(snapshot.states.items()), server, action, actor, facts)


def _denied(policy: Policy, snapshot: Snapshot, server: ServerState, actor: str) -> tuple[str, ...]:
    actions = (*policy.gates.account, *policy.gates.server)
    return tuple(each for each in actions if not _verdict(policy, snapshot, server, each, actor).allow)


def _answer(policy: Policy, snapshot: Snapshot, now: datetime, action: str, actor: str, *, brief: bool) -> Answer:
    server = server_state(policy, snapshot)
    found = _verdict(policy, snapshot, server, action, actor)
    cells = tuple(_cells(policy, snapshot, server, action))
    if brief or action not in {*policy.gates.account, *policy.gates.server}:
        return Answer(action, actor, found, cells, ())

    def turned(settlement: Settlement) -> str | None:
        after = _verdict(policy, settlement.snapshot, settlement.server, action, actor)
        if after.allow == found.allow:
            return None
        return "allowed" if after.allow else f"denied, {after.code}"

    return Answer(action, actor, found, cells, tuple(_flips(policy, snapshot, now, turned)))


def _cells(policy: Policy, snapshot: Snapshot, server: ServerState, action: str) -> Iterator[Cell]:
    gates = policy.gates
    facts = compiled(policy).view(snapshot.states, snapshot.facts)
    if action in gates.server:
        allow = gates.server[action].get(server.state, False)
        of = f"servers are {server.state} by {server.machine}.{snapshot.states.get(server.machine)}"
        yield Cell(of, allow, None if allow else server.code, str(gates.places[action]))
    for (machine, state), allow in gates.account.get(action, {}).items():
        if snapshot.states.get(machine) == state:
            code = None if allow else gates.codes.get((machine, state))
            yield Cell(f"{machine} is {state}", allow, code, str(gates.places[action]))
    for also in gates.also:
        if also.action == action:
            compared = tuple(compare(also.when, facts))
            denies = holds(also.when, facts)
            yield Cell("a further reason", not denies, also.deny if denies else None, str(also.place), compared)


# ---- what would change it --------------------------------------------------------------------------------------------


def _moving(policy: Policy, snapshot: Snapshot, now: datetime) -> Iterator[str]:
    before = settle(policy, snapshot, now).snapshot.states

    def turned(settlement: Settlement) -> str | None:
        moved = [f"{m} {state}" for m, state in settlement.snapshot.states.items() if before[m] != state]
        return ", ".join(moved) or None

    yield from _flips(policy, snapshot, now, turned, most=1)


def _flips(policy: Policy, snapshot: Snapshot, now: datetime, turned: Turned, most: int = 2) -> Iterator[str]:
    """Yield the smallest changes of evidence, then commands and permits, that turn the answer around."""
    enough: list[set[tuple[str, Value]]] = []
    for changes, words, settled in _tries(policy, snapshot, now, most):
        if changes and any(smaller <= changes for smaller in enough):
            continue
        result = turned(settled()) if len(enough) < MOST_CHANGES else None
        if result is not None:
            enough.append(changes or {(words, None)})
            yield f"{words}: {result}"


def _tries(
    policy: Policy, snapshot: Snapshot, now: datetime, most: int
) -> Iterator[tuple[set[tuple[str, Value]], str, Callable[[], Settlement]]]:
    """Yield what may be tried: the changes of evidence, all in words, and how to see what follows."""
    choices = _choices(policy, snapshot)
    tried = 0
    for size in range(1, most + 1):
        for names in combinations(choices, size):
            for values in product(*(choices[name] for name in names)):
                tried += 1
                if tried > MOST_TRIES:
                    break
                changes = dict(zip(names, values, strict=True))
                changed = replace(snapshot, facts={**snapshot.facts, **changes})
                words = " and ".join(f"{n} = {'none' if v is None else _plain(v)}" for n, v in changes.items())
                yield set(changes.items()), f"if {words}", partial(settle, policy, changed, now)
    for rule in (rule for machine in policy.account_machines for rule in machine.rules if rule.event is not None):
        if snapshot.states[rule.machine] in rule.sources:
            role = rule.by or "customer"
            command = Command(str(rule.event), role, role)
            try:
                settled = settle(policy, snapshot, now, command)
            except CommandRefused:
                continue
            yield set(), f"if {role} sends {rule.event}", partial(_same, settled)
    for waiting in settle(policy, snapshot, now).waiting:
        changed = replace(snapshot, holds=(), permits={**snapshot.permits, waiting.permit: True})
        yield set(), f"if {waiting.permit} permitted it", partial(settle, policy, changed, now)


def _same(settlement: Settlement) -> Settlement:
    return settlement


def _choices(policy: Policy, snapshot: Snapshot) -> dict[str, list[Value]]:
    """Return for each fact from outside the values that guards tell apart, without the one that it has."""
    constants: dict[str, set[Value]] = {}
    for atom in _atoms(policy):
        constants.setdefault(atom.fact, set()).update(atom.value if isinstance(atom.value, tuple) else (atom.value,))
    found: dict[str, list[Value]] = {}
    for name, read in constants.items():
        fact = policy.facts.get(name)
        if fact is None or fact.origin not in {Origin.STANDING, Origin.ADMIN, Origin.SETTINGS}:
            continue
        values: list[Value] = []
        if fact.type is FactType.BOOL:
            values = [False, True]
        elif fact.type is FactType.ENUM:
            values = list(fact.values)
        elif fact.type is FactType.INT:
            numbers = sorted({n + d for n in read if isinstance(n, int) for d in (-1, 0, 1)})
            values = [n for n in numbers if n >= (fact.minimum or 0)]
        present = snapshot.facts.get(name)
        regions: dict[tuple[bool, ...], Value] = {}
        atoms = [atom for atom in _atoms(policy) if atom.fact == name]
        for value in values:
            regions.setdefault(tuple(holds(atom, {name: value}) for atom in atoms), value)
        regions.pop(tuple(holds(atom, {name: present}) for atom in atoms), None)
        found[name] = list(regions.values())
    return found


def _atoms(policy: Policy) -> Iterator[Atom]:
    guards = [rule.when for machine in policy.account_machines for rule in machine.rules if rule.when is not None]
    guards += [line.when for m in policy.account_machines for line in m.servers if line.when is not None]
    guards += [also.when for also in policy.gates.also]
    for guard in guards:
        yield from atoms_of(guard)


def _ahead(policy: Policy, snapshot: Snapshot, now: datetime) -> Iterator[Next]:
    """Yield what follows if nothing changes, notices arriving and the host obeying."""
    for moment in play(policy, onwards(policy, snapshot, now), now + AHEAD):
        rules = tuple(step.because for step in moment.steps)
        if rules or moment.notices:
            yield Next(moment.at, rules, moment.snapshot.states, moment.notices)
