"""What the account machines say about an account's servers: the strictest wins, and gives its code."""

from __future__ import annotations

from collections.abc import Mapping

from engine.compiled import Compiled, Line, compiled
from engine.errors import UnknownState
from engine.guards import Facts
from engine.model import SERVER_BILLING_STATES, Policy
from engine.snapshot import ServerState, Snapshot

ALLOWED = SERVER_BILLING_STATES[0]


def server_state(policy: Policy, snapshot: Snapshot) -> ServerState:
    """Return the billing state of the account's servers. Between equals the policy's first machine wins."""
    ready = compiled(policy)
    return strictest(ready, snapshot.states, ready.view(snapshot.states, snapshot.facts))


def strictest(ready: Compiled, states: Mapping[str, str], facts: Facts) -> ServerState:
    """Return the strictest line that holds. Raises UnknownState when a machine is in a state that it does not have."""
    winner: Line | None = None
    for machine in ready.machines:
        try:
            lines = machine.lines[states.get(machine.name, machine.initial)]
        except KeyError as error:
            raise UnknownState(machine.name, states[machine.name]) from error
        for line in lines:
            if line.check is None or line.check(facts):
                if winner is None or line.severity > winner.severity:
                    winner = line
                break
    return winner.server if winner is not None else ServerState(ALLOWED, "", None)
