"""May this happen now? The verdict on one action, and why. Anything that the matrix does not know is denied."""

from __future__ import annotations

from collections.abc import Mapping

from engine.compiled import compiled
from engine.guards import Facts
from engine.matrix import ALLOWED, UNKNOWN_ACTION, UNKNOWN_STATE, GateVerdict, States
from engine.model import Policy
from engine.snapshot import ServerState

__all__ = ["ALLOWED", "UNKNOWN_ACTION", "UNKNOWN_STATE", "GateVerdict", "verdict"]


def verdict(
    policy: Policy,
    states: States | Mapping[str, str],
    server_state: ServerState,
    action: str,
    actor: str = "customer",
    facts: Facts | None = None,
) -> GateVerdict:
    """Judge an action by the matrix, then by further reasons to deny.

    `states` are the account's, of every machine; `facts` are those that `also` lines read. An actor that the policy
    does not list has the rights of a customer.
    """
    gates = compiled(policy).gates
    if gates.judges_servers(action):
        return gates.server(action, server_state, actor, facts or {})
    return gates.account(action, states, actor, facts or {})
