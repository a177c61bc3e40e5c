"""States that nothing leads out of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.faults import Faults, listed
from engine.model import Machine, Place


def check_traps(faults: Faults, machine: Machine, final: Sequence[str], places: Mapping[str, Place]) -> None:
    """Note each rung that no relief leaves, and each state of servers from which no final one can be reached.

    Relief only descends, so with a way down from every rung there is a way home. `places`: where states are listed.
    """
    if machine.of == "account":
        for state in machine.ladder:
            if state not in {machine.initial, machine.ladder[0]} and not any(
                state in rule.sources for rule in machine.relief
            ):
                message = f"no relief leads down from `{state}`: who comes there stays for ever"
                faults.add("M327", places[state], message, "add a rule under `relief:`, or `from:` of one")
        return
    for state in machine.ladder:
        if not set(final) & _reached(machine, state):
            message = f"nothing leads from `{state}` to the end of a server's life, {listed(final)}"
            faults.add("M327", places[state], message, "add a move, or list the state under `final:`")


def _reached(machine: Machine, start: str) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        for rule in machine.moves:
            if state in rule.sources and rule.to is not None and rule.to not in found:
                found.add(rule.to)
                waiting.append(rule.to)
    return found
