"""Commands of people and workers: whether a rule takes one now, and if none does, why not."""

from __future__ import annotations

from engine.compiled import CompiledMachine, CompiledRule
from engine.model import RuleKind
from engine.settle_case import Case
from engine.snapshot import Command


def takes(case: Case, machine: CompiledMachine, rule: CompiledRule, command: Command) -> str | None:
    """Return why the rule, which leaves the machine's state, does not take the command; None when it does."""
    if rule.event != command.event or command.machine not in {None, machine.name}:
        return f"`{rule.name}` waits for `{rule.event}`"
    if rule.rule.by is not None and command.role != rule.rule.by:
        return f"only the role {rule.rule.by} may send it"
    other = rule.rule.other_than
    if other is not None:
        sender = case.senders.get(other)
        if sender is None:
            return f"nobody is known to have sent `{other}`"
        if sender == command.actor:
            return f"whoever sent `{other}` may not send it too"
    if rule.mark is not None and case.facts.get(rule.mark) is not None:
        return f"`{rule.rule.mark}` is set already"
    if rule.check is not None and not rule.check(case.facts):
        return f"the condition of `{rule.name}` does not hold"
    at = rule.due_at(case.facts, case.notices)
    if at is None:
        missing = [anchor for anchor, _ in rule.timers if case.facts.get(anchor) is None]
        return f"it counts from {' and '.join(f'`{name}`' for name in missing)}, which has not happened"
    if at > case.now:
        return f"not before {at.isoformat(timespec='seconds')}"
    if rule.rule.kind is RuleKind.PRESSURE:
        for permit, until in case.blocks(rule):
            return f"`{permit}` does not permit it" + (f" until {until.isoformat(timespec='seconds')}" if until else "")
    return None


def refusal(case: Case, command: Command) -> str:
    """Return why no rule takes the command, from the rule that came nearest."""
    knowing = [
        (machine, rule)
        for machine in case.ready.machines
        for rule in machine.machine.rules
        if rule.event == command.event and command.machine in {None, machine.name}
    ]
    if not knowing:
        return "no rule knows it"
    for machine, rule in knowing:
        if case.states[machine.name] in rule.sources:
            reason = takes(case, machine, case.ready.rules[rule.name], command)
            if reason is not None:
                return reason
    return " and ".join(dict.fromkeys(f"{m.name} is {case.states[m.name]}" for m, _ in knowing))
