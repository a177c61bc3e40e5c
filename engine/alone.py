"""One server on a rung of its own, in a machine that allows it (`each_server`): what a command does to it.

Such a machine moves by commands of people alone, so nothing here waits or is due. What a server's rung says about it is
said by the same lines of `servers:` as for an account; the strictest still wins (`engine.servers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.compiled import Compiled, CompiledRule, compiled
from engine.errors import CommandRefused
from engine.executor import Subject
from engine.model import Policy, Rule
from engine.snapshot import Command


@dataclass(frozen=True, slots=True)
class ServerStep:
    """What a command made of one server's rung in one machine."""

    rule: Rule
    from_: str
    to: str
    asks: tuple[str, ...]
    """Intents for this server. What the rule asks for the whole account is not asked for."""
    states: Mapping[str, str]
    """The server's rungs afterwards, by machine, without those at which a machine begins."""

    @property
    def place(self) -> str:
        """Return the file and line of the rule."""
        return str(self.rule.place)


def knows(policy: Policy, event: str) -> bool:
    """Tell whether a single server can take this command."""
    return any(rule.event == event for rule in _rules(compiled(policy)))


def command_server(policy: Policy, states: Mapping[str, str], command: Command, now: datetime) -> ServerStep:
    """Return what a command does to one server. states: its rungs by machine; one that is absent is the first.

    Raises CommandRefused when no rule takes it, and Disagreement when the executor sees it differently.
    """
    ready = compiled(policy)
    knowing = [rule for rule in _rules(ready) if rule.event == command.event]
    reasons = []
    for rule in knowing:
        machine = ready.by_name[rule.rule.machine]
        state = states.get(machine.name, machine.initial)
        if state not in rule.rule.sources:
            reasons.append(f"{machine.name} is {state}")
        elif rule.rule.by not in {None, command.role}:
            reasons.append(f"only the role {rule.rule.by} may send it")
        else:
            subject = Subject(state, {}, now, role=command.role)
            ready.executor.fire(rule.name, subject)
            after = {**states, machine.name: subject.state}
            return ServerStep(
                rule.rule,
                state,
                subject.state,
                tuple(ask.intent for ask in rule.rule.do if ask.each_server),
                {name: each for name, each in after.items() if each != ready.by_name[name].initial},
            )
    raise CommandRefused(command.event, " and ".join(dict.fromkeys(reasons)) or "no rule of a single server knows it")


def _rules(ready: Compiled) -> list[CompiledRule]:
    return [
        ready.rules[rule.name]
        for machine in ready.machines
        if machine.machine.each_server
        for rule in machine.machine.rules
    ]
