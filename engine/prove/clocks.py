"""Which anchors a rule may still be compared with: the others' ages are forgotten, so that fewer states differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.compiled import CompiledMachine, CompiledRule
from engine.model import Fact

Waited = tuple[tuple[str, int], ...]


class Clocks:
    """The anchors of a space: the constants that rules compare them with, and where they are compared no longer."""

    def __init__(self, machines: Sequence[CompiledMachine], stamps: Mapping[str, Fact], elapsed: Sequence[str]) -> None:
        """Take the stamps in their order; `elapsed` are those that a guarantee compares with now, everywhere."""
        self.machines = machines
        self.stamps = stamps
        self.count = len(stamps)
        self.always = frozenset(name for name in elapsed if name in stamps)
        self._waited: dict[str, Waited] = {}
        self._idle: dict[tuple[str, ...], tuple[int, ...]] = {}
        self.longest = self._longest()

    def waited(self, rule: CompiledRule) -> Waited:
        """Return for each stamp that the rule waits for how many seconds must have passed since it was set."""
        if rule.name not in self._waited:
            self._waited[rule.name] = tuple(
                (anchor, int((span + self.stamps[anchor].plus).total_seconds()))
                for anchor, span in rule.timers
                if anchor in self.stamps
            )
        return self._waited[rule.name]

    def idle(self, states: tuple[str, ...]) -> tuple[int, ...]:
        """Return the variables of the anchors with which nothing compares from these states on, until set anew."""
        if states not in self._idle:
            used = set(self.always)
            for machine, state in zip(self.machines, states, strict=True):
                used |= self._used_from(machine, state)
            self._idle[states] = tuple(at + 1 for at, name in enumerate(self.stamps) if name not in used)
        return self._idle[states]

    def _used_from(self, machine: CompiledMachine, state: str) -> set[str]:
        """Return the anchors that rules of the machine can still wait for; its own are cleared where it begins anew."""
        here = _reached(machine, state, through_initial=False)
        anywhere = _reached(machine, state, through_initial=True)
        own = machine.machine.facts
        used = set()
        for rule in machine.machine.rules:
            for anchor in (timer.anchor for timer in rule.after + rule.before if timer.anchor in self.stamps):
                if (here if anchor in own else anywhere) & set(rule.sources):
                    used.add(anchor)
        return used

    def _longest(self) -> tuple[int, ...]:
        longest = dict.fromkeys(self.stamps, 0)
        for machine in self.machines:
            for rules in (machine.relief, machine.pressure, machine.commands):
                for anchor, seconds in (w for each in rules.values() for rule in each for w in self.waited(rule)):
                    longest[anchor] = max(longest[anchor], seconds)
        for anchor in self.always:
            longest[anchor] = max(longest[anchor], int(self.stamps[anchor].plus.total_seconds()))
        return (0, *longest.values())


def _reached(machine: CompiledMachine, state: str, *, through_initial: bool) -> set[str]:
    """Return the states that rules can lead to from this one, itself included."""
    found, waiting = {state}, [state]
    while waiting:
        start = waiting.pop()
        if start == machine.initial and start != state and not through_initial:
            continue
        for rule in machine.machine.rules:
            if rule.to is not None and start in rule.sources and rule.to not in found:
                found.add(rule.to)
                waiting.append(rule.to)
    return found
