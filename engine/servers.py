"""What the account machines say about an account's servers: the strictest wins, and gives its code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.compiled import Compiled, Line, compiled
from engine.errors import UnknownState
from engine.guards import Facts
from engine.model import SERVER_BILLING_STATES, Policy
from engine.snapshot import ServerState, Snapshot

ALLOWED = SERVER_BILLING_STATES[0]


def server_state(policy: Policy, snapshot: Snapshot, server_id: str | None = None) -> ServerState:
    """Return the billing state of the account's servers, or of one. Between equals the policy's first machine wins."""
    ready = compiled(policy)
    seen = seen_by(policy, snapshot, server_id) if server_id is not None else snapshot
    return strictest(ready, seen.states, ready.view(seen.states, seen.facts))


def own_state(policy: Policy, states: Mapping[str, str]) -> ServerState:
    """Return what the rungs of one server alone say about it, whatever its account's are."""
    ready = compiled(policy)
    own = frozenset(machine.name for machine in ready.machines if machine.machine.each_server)
    return strictest(ready, states, {}, only=own)


def rungs_of(policy: Policy, account: Mapping[str, str], own: Mapping[str, str]) -> Mapping[str, str]:
    """Return the rungs under which one server stands: of its own and its account's, the higher in each machine."""
    if not own:
        return account
    machines = compiled(policy).by_name
    found = dict(account)
    for name, state in own.items():
        machine = machines.get(name)
        if machine is None or state not in machine.rank:
            raise UnknownState(name, state)
        if machine.rank[state] > machine.rank.get(account.get(name, machine.initial), 0):
            found[name] = state
    return found


def seen_by(policy: Policy, snapshot: Snapshot, server_id: str) -> Snapshot:
    """Return the account as it is for one of its servers, which may have rungs of its own."""
    own = next((server.states for server in snapshot.servers if server.server_id == server_id), {})
    return replace(snapshot, states=rungs_of(policy, snapshot.states, own)) if own else snapshot


def strictest(
    ready: Compiled, states: Mapping[str, str], facts: Facts, only: frozenset[str] | None = None
) -> ServerState:
    """Return the strictest line that holds; `only` of these machines. Raises UnknownState for one that is unknown."""
    winner: Line | None = None
    for machine in ready.machines:
        if only is not None and machine.name not in only:
            continue
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
