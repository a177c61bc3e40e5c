"""Where two people have agreed: on which rungs of a machine an account can only be because a second admin said so."""

from __future__ import annotations

from engine.model import Machine, Rule


def asks_two(rule: Rule) -> bool:
    """Tell whether the rule is a command of an admin who is not the one that sent another command."""
    return rule.event is not None and rule.by == "admin" and rule.other_than is not None


def consented(machine: Machine) -> frozenset[str]:
    """Return the rungs to which every way leads through a command that two admins share."""
    reached, waiting = {machine.initial}, [machine.initial]
    while waiting:
        state = waiting.pop()
        for rule in machine.rules:
            if state in rule.sources and rule.to is not None and rule.to not in reached and not asks_two(rule):
                reached.add(rule.to)
                waiting.append(rule.to)
    return frozenset(machine.ladder) - reached - set(machine.mapping.values())


def may_destroy(machine: Machine, rule: Rule) -> bool:
    """Tell whether a rule may ask for what destroys: an admin's command, or a rule on rungs that two admins agreed to.

    INVARIANT: neither time nor evidence gets an account onto such a rung.
    """
    commanded = rule.event is not None and rule.by == "admin"
    return commanded or set(rule.sources) <= consented(machine)
