"""When things may happen: the instant of a rule, the date that a notice may promise, and what holds it back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from engine.compiled import ALWAYS, Compiled, Promise, compiled
from engine.guards import Facts
from engine.model import Policy, Rule, Value
from engine.permits import hold_end
from engine.snapshot import Hold, Snapshot

__all__ = ["ALWAYS", "date_of", "held", "hold_on", "promise_date", "promise_of", "rule_due"]


def rule_due(
    policy: Policy, rule: Rule | str, snapshot: Snapshot, stamps: Mapping[str, Value] | None = None
) -> datetime | None:
    """Return when the rule may fire by its timers and by what notices told, its guard and permits aside.

    ALWAYS when it waits for no time; None while an anchor is null. `stamps` stand in for facts of the snapshot.
    """
    ready = compiled(policy)
    facts = ready.view(snapshot.states, snapshot.facts)
    found = ready.rules[rule if isinstance(rule, str) else rule.name]
    return found.due_at({**facts, **stamps} if stamps else facts, snapshot.notices)


def promise_date(policy: Policy, intent_name: str, snapshot: Snapshot, claimed_at: datetime) -> datetime | None:
    """Return the date that the notice may promise when it is claimed at this instant.

    It is the rule's instant with the notice's own stamp taken as `claimed_at`, and no earlier than a voiding hold ends.
    None when the notice promises nothing, or while an anchor of the rule is null.
    """
    ready = compiled(policy)
    promise = promise_of(ready, intent_name)
    if promise is None:
        return None
    return date_of(promise, ready.view(snapshot.states, snapshot.facts), snapshot.holds, claimed_at)


def held(policy: Policy, intent_name: str, snapshot: Snapshot, now: datetime) -> bool:
    """Tell whether a hold that voids promises is active, so that a promising notice must not be sent now."""
    promise = promise_of(compiled(policy), intent_name)
    return promise is not None and hold_on(promise, snapshot.holds, now)[0]


def promise_of(ready: Compiled, notice: str) -> Promise | None:
    """Return what the notice promises, if anything."""
    return next((promise for promise in ready.promises if promise.notice == notice), None)


def date_of(promise: Promise, facts: Facts, holds: tuple[Hold, ...], claimed_at: datetime) -> datetime | None:
    """Return the date that a claim at this instant leads to, as things are known now."""
    date = promise.rule.elapses_at(facts, {fact: claimed_at + plus for fact, plus in promise.stamps})
    if date is None or date is ALWAYS:
        return None
    for permit in promise.voiding:
        for hold in holds:
            if hold.kind in permit.holds and hold.until is not None and hold.until > date:
                date = hold.until
    return date


def hold_on(promise: Promise, holds: tuple[Hold, ...], now: datetime) -> tuple[bool, datetime | None]:
    """Return whether a voiding hold is active, and when the last of them ends; None: when somebody ends it."""
    if not holds:
        return False, None
    return hold_end(tuple(kind for permit in promise.voiding for kind in permit.holds), holds, now)
