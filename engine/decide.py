"""What follows from an account as it is known now: the one decision that sweeps, webhooks, workers and proofs share."""

from __future__ import annotations

from datetime import datetime

from engine.compiled import ALWAYS, CompiledMachine, CompiledRule, compiled
from engine.errors import CommandRefused, UnknownState, Unsettled
from engine.model import Policy
from engine.servers import strictest
from engine.settle_case import Case
from engine.settle_commands import refusal, takes
from engine.settle_promises import next_upkeep_at, uphold
from engine.snapshot import Command, Settlement, Snapshot, Waiting

__all__ = ["CommandRefused", "blank", "compiled", "settle"]


def blank(policy: Policy) -> tuple[dict[str, str], dict[str, int]]:
    """Return the states and episodes of an account that nothing has happened to."""
    machines = compiled(policy).machines
    return {machine.name: machine.initial for machine in machines}, {machine.name: 0 for machine in machines}


def settle(policy: Policy, snapshot: Snapshot, now: datetime, command: Command | None = None) -> Settlement:
    """Decide until nothing more follows: relief to completion, then promises, then one rule of pressure, and again.

    Settling the returned snapshot at the same instant yields no step. Raises CommandRefused when no rule takes the
    command, and Disagreement, UnknownState or Unsettled when there is nothing safe to decide; then nothing has changed.
    """
    case = Case(compiled(policy), snapshot, now, command)
    for _ in range(case.ready.bound):
        _relieve(case)
        if not uphold(case) and not _press(case):
            break
    else:
        raise Unsettled(snapshot.account_id, tuple(step.because for step in case.steps[-4:]))
    if case.command is not None:
        raise CommandRefused(case.command.event, refusal(case, case.command))
    server = strictest(case.ready, case.states, case.facts)
    return Settlement(
        tuple(case.steps), case.outcome(), server, _next_at(case), tuple(case.waiting), tuple(case.brakes)
    )


def _relieve(case: Case) -> None:
    """Let relief run over all machines to completion, before any pressure. It only descends, so it ends."""
    quiet = False
    while not quiet:
        quiet = True
        for machine in case.ready.machines:
            state = case.states[machine.name]
            rules = machine.relief.get(state)
            if rules is None:
                raise UnknownState(machine.name, state)
            for rule in rules:
                if _relieves(case, machine, rule):
                    case.fire(machine, rule)
                    quiet = False
                    break


def _relieves(case: Case, machine: CompiledMachine, rule: CompiledRule) -> bool:
    if rule.event is not None:
        return case.command is not None and takes(case, machine, rule, case.command) is None
    if rule.check is not None and not rule.check(case.facts):
        return False
    if not rule.timers:
        return True
    at = rule.elapses_at(case.facts)
    return at is not None and at <= case.now


def _press(case: Case) -> bool:
    """Fire the first rule of pressure that is due and permitted, a command's before time's; note what is still to come.

    One rule only: relief looks at every machine again before the next.
    """
    if case.command is not None and _press_by_command(case):
        return True
    facts, now = case.facts, case.now
    earliest: datetime | None = None
    case.waiting.clear()
    for machine in case.ready.machines:
        for rule in machine.pressure[case.states[machine.name]]:
            if rule.mark is not None and facts.get(rule.mark) is not None:
                continue
            if rule.check is not None and not rule.check(facts):
                continue
            at = rule.due_at(facts, case.notices)
            if at is None:
                continue
            if at <= now:
                blocks = case.blocks(rule)
                if not blocks:
                    case.fire(machine, rule)
                    return True
                case.waiting.extend(Waiting(rule.name, permit, until) for permit, until in blocks)
                if at is ALWAYS:
                    at = now
            if earliest is None or at < earliest:
                earliest = at
    case.due_at = earliest
    return False


def _press_by_command(case: Case) -> bool:
    command = case.command
    for machine in case.ready.machines:
        for rule in machine.commands[case.states[machine.name]]:
            if command is not None and takes(case, machine, rule, command) is None:
                case.fire(machine, rule)
                return True
    return False


def _next_at(case: Case) -> datetime | None:
    """Return the earliest instant at which a settlement differs by the passing of time alone, or evidence changes."""
    earliest, now = case.due_at, case.now
    candidates = [next_upkeep_at(case), case.snapshot.recheck_at]
    if case.ready.timed_relief:
        candidates += [_relief_at(case, machine) for machine in case.ready.machines]
    for at in candidates:
        if at is not None and at > now and (earliest is None or at < earliest):
            earliest = at
    return earliest


def _relief_at(case: Case, machine: CompiledMachine) -> datetime | None:
    earliest: datetime | None = None
    for rule in machine.relief[case.states[machine.name]]:
        if rule.event is None and rule.timers and (rule.check is None or rule.check(case.facts)):
            at = rule.elapses_at(case.facts)
            if at is not None and (earliest is None or at < earliest):
                earliest = at
    return earliest
