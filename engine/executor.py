"""The executor: one `transitions` machine for each machine of the policy, generated from the model, which is the truth.

Every fired rule goes through it, with the guard read afresh off the model. Where the two disagree nothing happens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import cast

from transitions import EventData, MachineError
from transitions import Machine as TransitionsMachine

from engine.errors import Disagreement
from engine.guards import Facts, holds
from engine.model import Origin, Policy, Rule


class Subject:
    """What a machine moves: an account or a server seen as one machine sees it. Never registered with a machine."""

    __slots__ = ("facts", "now", "role", "state", "told")

    def __init__(
        self, state: str, facts: Facts, now: datetime, *, told: datetime | None = None, role: str | None = None
    ) -> None:
        self.state = state
        self.facts = facts
        self.now = now
        self.told = told  # the date that a notice promised for the rule
        self.role = role  # who sent the rule's event; None without one


class Executor:
    """Fires rules on slotted subjects; shared by all accounts, as it keeps nothing about any."""

    __slots__ = ("_events", "_expected")

    def __init__(self, policy: Policy) -> None:
        logging.getLogger("transitions").setLevel(logging.CRITICAL)  # it formats a message for each refused trigger
        self._events: dict[str, Callable[[Subject], bool]] = {}
        self._expected: dict[str, str | None] = {}
        marks = marks_of(policy)
        for machine in policy.machines.values():
            built = TransitionsMachine(
                model=None,
                states=list(machine.ladder),
                initial=machine.initial,
                auto_transitions=False,
                send_event=True,
                queued=False,
            )
            for rule in machine.rules:
                condition = partial(_allows, rule, marks.get((rule.machine, rule.mark or "")))
                built.add_transition(rule.name, list(rule.sources), rule.to, conditions=condition)
                self._events[rule.name] = built.events[rule.name].trigger
                self._expected[rule.name] = rule.to

    def allows(self, rule: Rule, subject: Subject) -> bool:
        """Tell whether the machine would fire this rule, trying it on a copy."""
        copy = Subject(subject.state, subject.facts, subject.now, told=subject.told, role=subject.role)
        try:
            return self._events[rule.name](copy)
        except (MachineError, ValueError):  # not from this state, or no such state
            return False

    def fire(self, name: str, subject: Subject) -> None:
        """Move the subject by the rule of this name. Raises Disagreement when the machine refuses or goes elsewhere."""
        start = subject.state
        try:
            fired = self._events[name](subject)
        except (MachineError, ValueError) as error:
            raise Disagreement(name, start, str(error)) from error
        if not fired:
            raise Disagreement(name, start, "its conditions do not hold")
        if subject.state != (self._expected[name] or start):
            raise Disagreement(name, start, f"it leads to `{subject.state}`")


def marks_of(policy: Policy) -> Mapping[tuple[str, str], str]:
    """Return the fact that each (machine, mark) stamps."""
    return {
        (machine.name, fact.of): fact.name
        for machine in policy.machines.values()
        for fact in machine.facts.values()
        if fact.origin is Origin.MARK and fact.of is not None
    }


def _allows(rule: Rule, mark: str | None, event: EventData) -> bool:
    """Read the rule's conditions off the model, not off what decisions compiled."""
    subject = cast("Subject", event.model)
    facts = subject.facts
    if rule.event is not None and (subject.role is None or (rule.by is not None and subject.role != rule.by)):
        return False
    if mark is not None and facts.get(mark) is not None:
        return False
    if rule.when is not None and not holds(rule.when, facts):
        return False
    if subject.told is not None and subject.now < subject.told:
        return False
    for timer in rule.after:
        anchor = facts.get(timer.anchor)
        if not isinstance(anchor, datetime) or subject.now < anchor + timer.duration:
            return False
    for timer in rule.before:
        anchor = facts.get(timer.anchor)
        if not isinstance(anchor, datetime) or subject.now < anchor - timer.duration:
            return False
    return True
