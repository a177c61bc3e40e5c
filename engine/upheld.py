"""Would what was asked for be asked for again? The question right before something that cannot be undone."""

from __future__ import annotations

from datetime import datetime

from engine.compiled import CompiledRule, compiled
from engine.model import Policy
from engine.snapshot import Snapshot
from engine.wanted import Verdict


def upheld(policy: Policy, snapshot: Snapshot, machine: str, intent: str, now: datetime) -> Verdict:
    """Judge the rule that led the machine to where it is and asked for the intent: all of it has to hold still.

    Its guard, its times, every date that a notice of the machine told, and its permits, but for brakes: those were
    passed once. Settle the snapshot first, so that relief has had its turn.
    """
    ready = compiled(policy)
    state = snapshot.states.get(machine)
    rules = [
        ready.rules[rule.name]
        for rule in (policy.machines[machine].rules if machine in policy.machines else ())
        if rule.to == state and any(ask.intent == intent for ask in rule.do)
    ]
    if not rules:
        return Verdict(False, f"{machine} is {state}, where no rule asks for it")
    reasons = [_against(policy, snapshot, rule, now) for rule in rules]
    if None in reasons:
        return Verdict(True, "all of it holds still")
    return Verdict(False, reasons[0] or "")


def _against(policy: Policy, snapshot: Snapshot, rule: CompiledRule, now: datetime) -> str | None:
    """Return what speaks against a rule now; None when nothing does."""
    ready = compiled(policy)
    facts = ready.view(snapshot.states, snapshot.facts)
    if rule.check is not None and not rule.check(facts):
        return f"the condition of `{rule.name}` does not hold any more"
    at = rule.due_at(facts, snapshot.notices)
    if at is None:
        return f"what `{rule.name}` counts from is void"
    told = [
        date
        for notice in snapshot.notices.values()
        if notice.machine == rule.rule.machine
        for date in (notice.promise_at, notice.floor_at)
        if date is not None
    ]
    if max([at, *told]) > now:
        return f"not before {max([at, *told]).isoformat(timespec='seconds')}"
    for permit in rule.needs:
        blocks, until = ready.permits.block(permit, snapshot, now)
        if blocks:
            return f"`{permit.name}` does not permit it" + (f" until {until.isoformat()}" if until else "")
    return None
