"""The gates' matrix made ready: verdicts are looked up, not computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.guards import Check, Facts, compile_guard
from engine.model import Policy
from engine.snapshot import ServerState

UNKNOWN_ACTION = "UNKNOWN_ACTION"
UNKNOWN_STATE = "UNKNOWN_STATE"
UNNAMED_CODE = "DENIED"  # a cell denies and names no code; the policy's check reports it
KEPT_VERDICTS = 4096  # verdicts remembered; bounded, as states and codes come from outside

States = tuple[tuple[str, str], ...]
NO_FACTS: Facts = {}


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether an action may happen now. `code`, `machine` and `place` (file:line of the policy) say what denied it."""

    allow: bool
    code: str | None = None
    machine: str | None = None
    reason: str = ""
    place: str | None = None


ALLOWED = GateVerdict(allow=True)
NEVER: tuple[tuple[str, frozenset[str]], ...] = (("", frozenset()),)  # what allows an action that is not known


class CompiledGates:
    """The gates of one policy. What is not listed as allowed is denied."""

    __slots__ = ("_account", "_allowed", "_also", "_codes", "_fast", "_may_also", "_memory", "_places", "_server")

    def __init__(self, policy: Policy) -> None:
        gates = policy.gates
        self._account = gates.account
        self._server = gates.server
        self._codes = gates.codes
        self._may_also = gates.may_also
        self._places = {action: str(place) for action, place in gates.places.items()}
        self._also: dict[str, list[tuple[Check, GateVerdict]]] = {}
        for also in gates.also:
            denial = GateVerdict(False, also.deny, None, "a limit is reached", str(also.place))
            self._also.setdefault(also.action, []).append((compile_guard(also.when), denial))
        self._fast = {
            action: {state: ALLOWED for state, allow in row.items() if allow is True}
            for action, row in gates.server.items()
            if action not in self._also
        }
        self._allowed: dict[str, tuple[tuple[str, frozenset[str]], ...]] = {
            action: tuple(
                (machine, frozenset(state for (of, state), allow in row.items() if of == machine and allow is True))
                for machine in dict.fromkeys(machine for machine, _ in row)
            )
            for action, row in gates.account.items()
        }
        self._memory: dict[tuple[str, States | ServerState, str], GateVerdict] = {}

    def server(self, action: str, server: ServerState, actor: str = "customer", facts: Facts = NO_FACTS) -> GateVerdict:
        """Judge an action on a server by the server's billing state."""
        row = self._fast.get(action)
        if row is not None:
            verdict = row.get(server.state)
            if verdict is not None:
                return verdict
        return self._remembered(action, server, actor, facts)

    def account(
        self, action: str, states: States | Mapping[str, str], actor: str = "customer", facts: Facts = NO_FACTS
    ) -> GateVerdict:
        """Judge an action on an account by its rung in every machine; the first machine that denies gives the code."""
        held = dict(states) if isinstance(states, tuple) else states
        for machine, allowed in self._allowed.get(action, NEVER):
            if held.get(machine) not in allowed:
                return self._remembered(action, tuple(held.items()), actor, facts)
        for check, denial in self._also.get(action, ()):
            if check(facts):
                return denial
        return ALLOWED

    def knows(self, action: str) -> bool:
        """Tell whether the matrix has a row for the action."""
        return action in self._account or action in self._server

    def judges_servers(self, action: str) -> bool:
        """Tell whether the action is judged by a server's billing state rather than by the account's rungs."""
        return action in self._server

    def _remembered(self, action: str, columns: States | ServerState, actor: str, facts: Facts) -> GateVerdict:
        key = (action, columns, actor)
        verdict = self._memory.get(key)
        if verdict is None:
            if len(self._memory) >= KEPT_VERDICTS:
                self._memory.clear()
            verdict = (
                self._judge_server(action, columns)
                if isinstance(columns, ServerState)
                else self._judge_account(action, columns)
            )
            if not verdict.allow and self.knows(action) and action in self._may_also.get(actor, ()):
                verdict = ALLOWED
            self._memory[key] = verdict
        if verdict.allow:
            for check, denial in self._also.get(action, ()):
                if check(facts):
                    return denial
        return verdict

    def _judge_server(self, action: str, server: ServerState) -> GateVerdict:
        row = self._server.get(action)
        if row is None:
            return GateVerdict(False, UNKNOWN_ACTION, None, f"`{action}` is not an action on a server")
        allow = row.get(server.state)
        if allow is True:
            return ALLOWED
        place = self._places.get(action)
        if allow is None:
            return GateVerdict(False, UNKNOWN_STATE, server.machine, f"`{server.state}` has no column", place)
        code = server.code or UNNAMED_CODE
        return GateVerdict(False, code, server.machine, f"servers are {server.state} by {server.machine}", place)

    def _judge_account(self, action: str, states: States) -> GateVerdict:
        row = self._account.get(action)
        if row is None:
            return GateVerdict(False, UNKNOWN_ACTION, None, f"`{action}` is not an action on an account")
        place = self._places.get(action)
        held = dict(states)
        for machine in dict.fromkeys(machine for machine, _ in row):  # in the policy's order: billing's codes first
            state = held.get(machine, "")
            allow = row.get((machine, state))
            if allow is None:
                return GateVerdict(False, UNKNOWN_STATE, machine, f"`{machine}.{state}` has no column", place)
            if not allow:
                code = self._codes.get((machine, state), UNNAMED_CODE)
                return GateVerdict(False, code, machine, f"{machine} is {state}", place)
        return ALLOWED
