"""The servers of an account on a timeline: their lifecycles, and a host that does as it is told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from engine import alone
from engine.errors import CommandRefused
from engine.lifecycle import due, lifecycle_machine, move, since
from engine.model import STOPPED_BILLING_STATES, Policy, Value
from engine.servers import own_state
from engine.snapshot import Asked, Command, ServerFacts, ServerState, Snapshot
from engine.wanted import wanted

if TYPE_CHECKING:
    from engine.timeline.items import Timeline

# What the host shows once it has carried an intent out.
SHOWS = {
    "shutdown_suspended_server": "stopped",
    "stop_server": "stopped",
    "force_stop_server": "stopped",
    "start_server": "running",
    "restart_server": "running",
}
WISHES = {"start_requested": "running", "restart_requested": "running", "stop_requested": "stopped"}


@dataclass(frozen=True, slots=True)
class ServerMove:
    """One move of one server, or what was asked for it and dropped: then `rule` is empty and `reason` says why."""

    server_id: str
    rule: str
    place: str
    from_: str
    to: str
    event: str | None
    asked: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    reason: str = ""
    facts: Mapping[str, Value] = field(default_factory=dict)  # of the server, as the move read them


@dataclass(slots=True)
class Server:
    """One server as it is now."""

    server_id: str
    lifecycle: str
    entered_at: datetime
    """When it entered its lifecycle's state."""
    facts: dict[str, Value] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    """Its own rungs, by machine."""


class Servers:
    """All servers of the account. `moves` collects what happened to them since it was last cleared."""

    def __init__(self, policy: Policy, timeline: Timeline, snapshot: Snapshot) -> None:
        self.policy = policy
        self.obeys = True
        self.moves: list[ServerMove] = []
        self.has_lifecycle = any(machine.of == "server" for machine in policy.machines.values())
        states = lifecycle_machine(policy).ladder if self.has_lifecycle else ()
        begins = "running" if "running" in states or not states else states[0]
        known = snapshot.servers or tuple(
            ServerFacts(name, timeline.begins.get(name, begins), "stopped" if name in timeline.begins else "running")
            for name in timeline.servers
        )
        self.all = {each.server_id: self._server(each, timeline.start) for each in known}

    def _server(self, known: ServerFacts, now: datetime) -> Server:
        desired = "stopped" if known.lifecycle == "stopped" else "running"
        stamps = since(self.policy, known.lifecycle, now) if self.has_lifecycle else {}
        return Server(
            known.server_id,
            known.lifecycle,
            now,
            {"observed": known.observed, "desired": desired, **stamps},
            known.states,
        )

    def facts(self) -> tuple[ServerFacts, ...]:
        """Return what decisions about the account read of its servers."""
        return tuple(
            ServerFacts(each.server_id, each.lifecycle, str(each.facts["observed"]), each.states)
            for each in self.all.values()
        )

    def all_observed(self, observed: str) -> bool:
        """Tell whether the host shows every server so."""
        return all(each.facts["observed"] == observed for each in self.all.values())

    def due_at(self) -> datetime | None:
        """Return when time alone moves the next server."""
        if not self.has_lifecycle:
            return None
        instants = (due(self.policy, each.lifecycle, each.facts) for each in self.all.values())
        return min((at for at in instants if at is not None), default=None)

    def pass_time(self, now: datetime, snapshot: Snapshot) -> None:
        """Make the moves that are due."""
        if not self.has_lifecycle:
            return
        for each in self.all.values():
            for _ in range(len(lifecycle_machine(self.policy).moves)):
                at = due(self.policy, each.lifecycle, each.facts)
                if at is None or at > now or not self._move(each, None, snapshot, now, "worker"):
                    break

    def event(self, server_id: str, event: str, snapshot: Snapshot, now: datetime, by: str | None = None) -> None:
        """Send an event to one server, by this role or whoever may send it; a wish of the customer is remembered."""
        each = self.all[server_id]
        if alone.knows(self.policy, event):
            self._command(each, Command(event, by or "admin", by or "admin"), snapshot, now)
            return
        if event in WISHES:
            each.facts["desired"] = WISHES[event]
        role = by or next(
            (rule.by for rule in lifecycle_machine(self.policy).moves if rule.event == event and rule.by is not None),
            "customer",
        )
        if not self._move(each, event, snapshot, now, role):
            reason = f"a server that is {each.lifecycle} does not take `{event}`"
            self.moves.append(ServerMove(server_id, "", "", each.lifecycle, each.lifecycle, event, reason=reason))

    def observe(self, server_id: str, observed: str, now: datetime, snapshot: Snapshot | None = None) -> None:
        """Take in what the host shows, and let the lifecycle follow."""
        each = self.all[server_id]
        each.facts["observed"] = observed
        if self.has_lifecycle:
            self._move(each, f"observed_{observed}", snapshot, now, "worker")

    def apply(self, asked: Iterable[Asked], snapshot: Snapshot, server: ServerState, now: datetime) -> None:
        """Carry out what the account's rules asked for its servers; a stopped billing state overrides every wish."""
        if server.state in STOPPED_BILLING_STATES:
            for each in self.all.values():
                each.facts["desired"] = "stopped"
        for one in asked:
            if one.server_id in self.all and self._is_wanted(one, snapshot, now):
                self._carry_out(self.all[one.server_id], one.intent, snapshot, now)

    def _command(self, each: Server, command: Command, snapshot: Snapshot, now: datetime) -> None:
        """Let a person's command put one server on a rung of its own, or take it off."""
        try:
            step = alone.command_server(self.policy, each.states, command, now)
        except CommandRefused as error:
            refused = ServerMove(each.server_id, "", "", "", "", command.event, reason=error.reason)
            self.moves.append(refused)
            return
        each.states = step.states
        if own_state(self.policy, step.states).state in STOPPED_BILLING_STATES:
            each.facts["desired"] = "stopped"
        rule, place = step.rule.name, step.place
        moved = ServerMove(each.server_id, rule, place, step.from_, step.to, command.event, step.asks)
        self.moves.append(moved)
        seen = replace(snapshot, servers=self.facts())
        asks = [
            Asked(name, self.policy.intents[name].kind, step.rule.machine, 0, 0, each.server_id) for name in step.asks
        ]
        for one in asks:
            if self._is_wanted(one, seen, now):
                self._carry_out(each, one.intent, seen, now)

    def _is_wanted(self, one: Asked, snapshot: Snapshot, now: datetime) -> bool:
        about = one.server_id
        return wanted(self.policy, snapshot, one.intent, one.machine, one.episode, now, server_id=about).ok

    def _carry_out(self, each: Server, intent: str, snapshot: Snapshot | None, now: datetime) -> None:
        shows = SHOWS.get(intent)
        if shows is not None and self.obeys:
            self.observe(each.server_id, shows, now, snapshot)

    def _move(self, each: Server, event: str | None, snapshot: Snapshot | None, now: datetime, role: str) -> bool:
        found = move(self.policy, each.lifecycle, each.facts, event, now, role)
        if found is None:
            return False
        start, each.lifecycle = each.lifecycle, found.to
        each.entered_at = each.entered_at if found.to == start else now
        read = dict(each.facts)
        each.facts.update(found.stamps)
        asked, dropped, why = [], [], ""
        for ask in found.asks:
            about = each.server_id
            verdict = (
                wanted(self.policy, snapshot, ask.intent, "server", 0, now, server_id=about)
                if snapshot is not None
                else None
            )
            if verdict is None or verdict.ok:
                asked.append(ask.intent)
            else:
                dropped.append(ask.intent)
                why = verdict.reason
        self.moves.append(
            ServerMove(
                each.server_id,
                found.rule.name,
                found.place,
                start,
                found.to,
                event,
                tuple(asked),
                tuple(dropped),
                why,
                read,
            )
        )
        for intent in asked:
            self._carry_out(each, intent, snapshot, now)
        return True
