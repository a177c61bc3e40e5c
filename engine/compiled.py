"""A policy made ready to decide fast: guards as closures, rules by state, what stamps and clears what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engine.calendar import Calendars
from engine.consent import may_destroy
from engine.errors import UnsafePolicy
from engine.executor import Executor, marks_of
from engine.guards import Check, Facts, compile_guard, facts_of
from engine.matrix import CompiledGates
from engine.model import SERVER_BILLING_STATES, IntentKind, Machine, Origin, Policy, Rule, RuleKind
from engine.model_permits import Permit, PermitKind
from engine.permits import Permits
from engine.snapshot import ServerState

if TYPE_CHECKING:
    from engine.snapshot import NoticeState

KEPT_POLICIES = 32  # compiled forms kept at once: the one in force, those that accounts were last decided under, tests
NO_FACTS: Facts = {}
ALWAYS = datetime.min.replace(tzinfo=UTC)  # the due instant of a rule that waits for no time


class CompiledRule:
    """One rule, ready to be tried."""

    __slots__ = (
        "brakes", "check", "event", "mark", "name", "needs", "place", "presses", "promised_by", "promising", "reads",
        "rule", "timers", "to",
    )  # fmt: skip

    def __init__(self, rule: Rule, policy: Policy, mark: str | None) -> None:
        self.rule = rule
        self.name = rule.name
        self.place = str(rule.place)
        self.to = rule.to
        self.event = rule.event
        self.mark = mark  # the fact that the mark stamps; the rule fires only while it is null
        self.check: Check | None = compile_guard(rule.when) if rule.when is not None else None
        self.timers = tuple((t.anchor, t.duration) for t in rule.after) + tuple(
            (t.anchor, -t.duration) for t in rule.before
        )
        permits = tuple(policy.permits[name] for name in rule.needs)
        self.needs = tuple(p for p in permits if p.kind is not PermitKind.BRAKE)
        self.brakes = tuple(p for p in permits if p.kind is PermitKind.BRAKE)
        self.presses = rule.kind is RuleKind.PRESSURE
        self.promised_by = frozenset(i.name for i in policy.intents.values() if i.promises == rule.name)
        self.promising = frozenset(i.name for i in policy.intents.values() if i.promises is not None)
        anchors = tuple(anchor for anchor, _ in self.timers)
        self.reads = tuple(dict.fromkeys(facts_of(rule.when) + anchors + ((mark,) if mark else ())))

    def told(self, notices: Mapping[str, NoticeState]) -> datetime | None:
        """Return the latest date that a notice of the running episode told for this rule of pressure.

        A date that was told for a rule which the policy has lost since binds every rule of its machine: a policy never
        makes an account earlier than what its customer was told.
        """
        latest: datetime | None = None
        if not notices or not self.presses:
            return None
        for name, notice in notices.items():
            promised, floor = notice.promise_at, notice.floor_at
            if promised is None and floor is None:
                continue
            if name in self.promised_by or (name not in self.promising and notice.machine == self.rule.machine):
                for date in (promised, floor):
                    if date is not None and (latest is None or date > latest):
                        latest = date
        return latest

    def elapses_at(self, facts: Facts, instead: Facts = NO_FACTS) -> datetime | None:
        """Return when every timer has elapsed: ALWAYS without timers, None while an anchor is null.

        `instead` holds stamps that stand in for facts.
        """
        latest = ALWAYS
        for anchor, duration in self.timers:
            start = instead[anchor] if anchor in instead else facts.get(anchor)
            if not isinstance(start, datetime):
                return None
            latest = max(latest, start + duration)
        return latest

    def due_at(self, facts: Facts, notices: Mapping[str, NoticeState]) -> datetime | None:
        """Return when the rule may fire: when its timers have elapsed, and no earlier than a notice told."""
        at = self.elapses_at(facts)
        if at is None or not notices:
            return at
        told = self.told(notices)
        return at if told is None or at >= told else told


class Promise:
    """A notice that tells the date of a rule."""

    __slots__ = ("notice", "rule", "stamps", "voiding")

    def __init__(self, notice: str, rule: CompiledRule, stamps: tuple[tuple[str, timedelta], ...]) -> None:
        self.notice = notice
        self.rule = rule
        self.stamps = stamps  # the facts that its delivery stamps
        self.voiding: tuple[Permit, ...] = tuple(p for p in rule.needs if p.voids_promises)


class Line:
    """One line of a machine's `servers`, for one state."""

    __slots__ = ("check", "server", "severity")

    def __init__(self, check: Check | None, server: ServerState) -> None:
        self.check = check
        self.server = server
        self.severity = SERVER_BILLING_STATES.index(server.state)


class CompiledMachine:
    """One account machine, its rules indexed by the state that they leave."""

    __slots__ = (
        "clears", "commands", "entered", "episode_notices", "events", "initial", "lines", "machine", "name", "pressure",
        "rank", "relief",
    )  # fmt: skip

    def __init__(self, machine: Machine, policy: Policy, rules: Mapping[str, CompiledRule]) -> None:
        self.machine = machine
        self.name = machine.name
        self.initial = machine.initial
        self.rank = {state: index for index, state in enumerate(machine.ladder)}

        def leaving(state: str, listed: tuple[Rule, ...]) -> tuple[CompiledRule, ...]:
            return tuple(rules[rule.name] for rule in listed if state in rule.sources)

        self.relief = {state: leaving(state, machine.relief) for state in machine.ladder}
        pressure = {state: leaving(state, machine.pressure) for state in machine.ladder}
        self.pressure = {state: tuple(r for r in each if r.event is None) for state, each in pressure.items()}
        self.commands = {state: tuple(r for r in each if r.event is not None) for state, each in pressure.items()}
        self.lines = {state: _lines(machine, policy, state) for state in machine.ladder}
        stamps = [f for f in machine.facts.values() if f.origin in (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)]
        self.clears = tuple(fact.name for fact in stamps)  # when its episode ends
        self.entered: dict[str, tuple[tuple[str, timedelta], ...]] = {
            state: tuple((f.name, f.plus) for f in stamps if f.origin is Origin.ENTERED and f.of == state)
            for state in machine.ladder
        }
        self.events = frozenset(rule.event for rule in machine.rules if rule.event is not None)
        self.episode_notices: frozenset[str] = frozenset()  # those that only this machine asks for


def _lines(machine: Machine, policy: Policy, state: str) -> tuple[Line, ...]:
    """Return the lines of `servers` that may hold in this state, up to the first that always does."""
    lines = []
    for line in machine.servers:
        if not line.in_ or state in line.in_:
            code = line.code or policy.gates.codes.get((machine.name, state))
            check = compile_guard(line.when) if line.when is not None else None
            lines.append(Line(check, ServerState(line.is_, machine.name, code if line.is_ != "allowed" else None)))
            if check is None:
                break
    return tuple(lines)


def _refuse_unsafe(rule: Rule, policy: Policy, marks: Mapping[tuple[str, str], str]) -> None:
    """Refuse what the check of a policy refuses too: a policy that was built by hand is not trusted more."""
    if (rule.to is None) == (rule.mark is None):
        raise UnsafePolicy(str(rule.place), f"rule `{rule.name}` needs exactly one of `to` and `mark`")
    if rule.mark is not None and (rule.machine, rule.mark) not in marks:
        raise UnsafePolicy(str(rule.place), f"nothing remembers mark `{rule.mark}`; the rule would fire for ever")
    rank = policy.machines[rule.machine].ladder.index
    climbs = [rank(rule.to) - rank(source) for source in rule.sources] if rule.to is not None else []
    if rule.kind is RuleKind.RELIEF and any(climb >= 0 for climb in climbs):
        raise UnsafePolicy(str(rule.place), f"relief `{rule.name}` does not descend")
    if rule.kind is RuleKind.PRESSURE and any(climb != 1 for climb in climbs):
        raise UnsafePolicy(str(rule.place), f"pressure `{rule.name}` does not climb exactly one rung")
    for ask in rule.do:
        intent = policy.intents.get(ask.intent)
        if intent is None:
            raise UnsafePolicy(str(ask.place), f"intent `{ask.intent}` is not declared")
        # INVARIANT: neither time nor evidence alone ever asks for what destroys: people do, or two have agreed before
        if intent.destructive and not may_destroy(policy.machines[rule.machine], rule):
            raise UnsafePolicy(
                str(ask.place),
                f"`{ask.intent}` is destructive; only an event `by: admin`, or a rung that two admins agreed to, "
                "may ask for it",
            )


def _assign_notices(machines: tuple[CompiledMachine, ...], promises: tuple[Promise, ...]) -> frozenset[str]:
    """Tell each machine the notices that it alone asks for; return those that several do."""
    askers: dict[str, set[str]] = {}
    for machine in machines:
        for rule in machine.machine.rules:
            for ask in rule.do:
                askers.setdefault(ask.intent, set()).add(machine.name)
    for promise in promises:
        for permit in promise.voiding:
            if permit.notify is not None:
                askers.setdefault(permit.notify, set()).add(promise.rule.rule.machine)
    for machine in machines:
        machine.episode_notices = frozenset(name for name, by in askers.items() if by == {machine.name})
    return frozenset(name for name, by in askers.items() if len(by) > 1)


class Compiled:
    """Everything that decisions look up in one policy."""

    __slots__ = (
        "bound", "by_name", "default_names", "defaults", "delivered", "executor", "gates", "machines", "mirrors",
        "names", "permits", "plus", "policy", "promises", "rules", "shared", "timed_relief",
    )  # fmt: skip

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.executor = Executor(policy)
        self.permits = Permits(Calendars(policy.calendars, policy.dates))
        self.gates = CompiledGates(policy)
        marks = marks_of(policy)
        every = [rule for machine in policy.machines.values() for rule in machine.rules]
        for rule in every:
            _refuse_unsafe(rule, policy, marks)
        self.rules = {r.name: CompiledRule(r, policy, marks.get((r.machine, r.mark or ""))) for r in every}
        self.machines = tuple(CompiledMachine(m, policy, self.rules) for m in policy.account_machines)
        self.by_name = {machine.name: machine for machine in self.machines}
        self.names = frozenset(machine.name for machine in self.machines)
        self.mirrors = tuple(
            (f.name, f.of) for f in policy.facts.values() if f.origin is Origin.MACHINE and f.of is not None
        )  # facts that are another machine's state
        self.defaults = tuple((f.name, f.default) for f in policy.facts.values() if f.default is not None)
        self.default_names = frozenset(name for name, _ in self.defaults)
        self.plus = {f.name: f.plus for f in policy.facts.values() if f.origin is Origin.MARK and f.plus}
        self.delivered: dict[str, tuple[tuple[str, timedelta], ...]] = {
            notice: tuple(
                (f.name, f.plus) for f in policy.facts.values() if f.origin is Origin.DELIVERED and f.of == notice
            )
            for notice, intent in policy.intents.items()
            if intent.kind is IntentKind.NOTICE
        }
        self.promises = tuple(
            Promise(i.name, self.rules[i.promises], self.delivered.get(i.name, ()))
            for i in policy.intents.values()
            if i.promises is not None
        )
        self.timed_relief = any(r.kind is RuleKind.RELIEF and (r.after or r.before) for r in every)
        self.shared = _assign_notices(self.machines, self.promises)
        ladders = sum(len(machine.machine.ladder) + len(machine.machine.pressure) for machine in self.machines)
        self.bound = 4 * (ladders + len(self.promises)) + 8  # passes; more means that the policy never comes to rest

    def view(self, states: Mapping[str, str], facts: Facts) -> Facts:
        """Return the facts with what is not stored with them: other machines' states, and defaults of absent facts."""
        if not self.mirrors and self.default_names <= facts.keys():
            return facts
        return {**dict(self.defaults), **facts, **{name: states.get(machine) for name, machine in self.mirrors}}


_compiled: dict[int, Compiled] = {}


def compiled(policy: Policy) -> Compiled:
    """Return the policy's compiled form, made once for as long as it is among the latest used."""
    found = _compiled.get(id(policy))
    if found is not None and found.policy is policy:
        return found
    made = Compiled(policy)
    while len(_compiled) >= KEPT_POLICIES:
        _compiled.pop(next(iter(_compiled)), None)
    _compiled[id(policy)] = made  # it holds the policy, so the id stays taken while the entry stands
    return made
