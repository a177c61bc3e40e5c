"""How one server or invoice moves through its lifecycle: by events that people and workers send, and by time.

The ledger's `move_server` and `move_invoice` write what is decided here. Entering a state sets its stamp and clears
every other stamp and mark of the machine, so that `forced_at` of one stop says nothing about the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from engine.compiled import CompiledRule, compiled
from engine.errors import UnknownState
from engine.executor import Subject
from engine.guards import Facts
from engine.model import Ask, Machine, Origin, Policy, Rule, Runner, Value


@dataclass(frozen=True, slots=True)
class Move:
    """What it does next. `to` equals the present state when only a mark is set."""

    to: str
    mark: str | None  # the mark's name; its fact is among `stamps`
    rule: Rule
    asks: tuple[Ask, ...]
    stamps: Mapping[str, Value] = field(default_factory=dict)  # facts to write; None clears

    @property
    def place(self) -> str:
        """Return the file and line of the rule."""
        return str(self.rule.place)


def lifecycle_machine(policy: Policy, of: Runner = "server") -> Machine:
    """Return the machine that servers, or invoices, run. Raises StopIteration for a policy without one."""
    return next(machine for machine in policy.machines.values() if machine.of == of)


def move(
    policy: Policy,
    lifecycle: str,
    facts: Facts,
    event: str | None,
    now: datetime,
    role: str = "worker",
    *,
    of: Runner = "server",
) -> Move | None:
    """Return the first move that follows in this state; None when there is none.

    With an event, only moves that wait for it and that this role may send; without, those that follow from facts and
    time. Raises Disagreement when the executor sees it differently.
    """
    ready = compiled(policy)
    machine = lifecycle_machine(policy, of)
    view = ready.view({}, facts)
    for rule in _leaving(policy, machine, lifecycle):
        if rule.event != event or (event is not None and rule.rule.by not in {None, role}):
            continue
        at = _due_at(rule, view)
        if at is None or at > now:
            continue
        subject = Subject(lifecycle, view, now, role=role if event is not None else None)
        ready.executor.fire(rule.name, subject)
        return Move(subject.state, rule.rule.mark, rule.rule, rule.rule.do, _stamps(machine, rule, subject))
    return None


def due(policy: Policy, lifecycle: str, facts: Facts, *, of: Runner = "server") -> datetime | None:
    """Return the earliest instant at which a move follows by time alone; None when none does."""
    view = compiled(policy).view({}, facts)
    leaving = _leaving(policy, lifecycle_machine(policy, of), lifecycle)
    instants = [_due_at(rule, view) for rule in leaving if rule.event is None]
    return min((at for at in instants if at is not None), default=None)


def since(policy: Policy, lifecycle: str, entered_at: datetime, *, of: Runner = "server") -> dict[str, Value]:
    """Return the stamps of what entered its state at this instant and has no mark."""
    return {
        fact.name: entered_at + fact.plus if fact.of == lifecycle else None
        for fact in lifecycle_machine(policy, of).facts.values()
        if fact.origin is Origin.ENTERED
    }


def _leaving(policy: Policy, machine: Machine, lifecycle: str) -> list[CompiledRule]:
    if lifecycle not in machine.ladder:
        raise UnknownState(machine.name, lifecycle)
    rules = compiled(policy).rules
    return [rules[rule.name] for rule in machine.moves if lifecycle in rule.sources]


def _due_at(rule: CompiledRule, facts: Facts) -> datetime | None:
    """Return when the move may happen; None while its condition or mark keeps it from happening at all."""
    if rule.mark is not None and facts.get(rule.mark) is not None:
        return None
    if rule.check is not None and not rule.check(facts):
        return None
    return rule.elapses_at(facts)


def _stamps(machine: Machine, rule: CompiledRule, subject: Subject) -> dict[str, Value]:
    if rule.mark is not None:
        return {rule.mark: subject.now + machine.facts[rule.mark].plus}
    stamps: dict[str, Value] = {
        fact.name: None for fact in machine.facts.values() if fact.origin in {Origin.ENTERED, Origin.MARK}
    }
    return stamps | {
        fact.name: subject.now + fact.plus
        for fact in machine.facts.values()
        if fact.origin is Origin.ENTERED and fact.of == subject.state
    }
