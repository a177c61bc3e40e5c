"""Moves servers through their lifecycles: the one writer of `servers.lifecycle`. The account's row is locked first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.lifecycle import Move, due, lifecycle_machine, move
from engine.model import STOPPED_BILLING_STATES, Ask, Policy, Value
from engine.snapshot import Asked
from storage import clock, policies
from storage.audit import AuditNote
from storage.errors import ServersStopped, UnknownServer
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.leases import Fence
from storage.ledger_batch import Change, Order, lock, record_batch

MOST_MOVES: Final = 10  # that follow from one event without a further one

OWNER: Final = text("SELECT account_id FROM servers WHERE id = :id")
READ: Final = text(
    "SELECT s.lifecycle, s.desired, s.observed, s.stamps, s.round, s.due_at, a.server_billing_state "
    "FROM servers s JOIN accounts a ON a.id = s.account_id WHERE s.id = :id FOR NO KEY UPDATE OF s"
)
WRITE: Final = text(
    "UPDATE servers SET lifecycle = :lifecycle, desired = :desired, stamps = CAST(:stamps AS jsonb), due_at = :due_at, "
    "round = :round, lifecycle_since = CASE WHEN lifecycle = :lifecycle THEN lifecycle_since ELSE :now END "
    "WHERE id = :id"
)
DUE: Final = text("SELECT id FROM servers WHERE due_at <= :now ORDER BY due_at LIMIT :limit")


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of one server."""

    server_id: UUID
    from_: str
    to: str
    rules: tuple[str, ...]
    """Those that fired, in order; empty when nothing followed."""
    intents: tuple[Outbox, ...]


def move_server(
    conn: Connection,
    policy: Policy,
    server_id: UUID,
    event: str | None,
    *,
    role: str = "worker",
    actor: str = "controller",
    desired: Literal["running", "stopped"] | None = None,
    args: Mapping[str, Any] | None = None,
    fence: Fence | None = None,
    world: World | None = None,
) -> Moved:
    """Let an event, or the passing of time (None), move a server, and whatever follows from that by itself.

    desired: what people want of it from now on, written in the same transaction. args: for the actions that the moves
    ask for. The account is decided again afterwards: a server that leaves a safe point may be what it waited for.
    Raises UnknownServer, and ServersStopped when a suspended server is asked to run.
    """
    account_id = conn.execute(OWNER, {"id": server_id}).scalar_one_or_none()
    if account_id is None:
        raise UnknownServer(server_id)
    lock(conn, [account_id])
    policy = policies.deciding(conn, policy, policies.digest_in_force(conn))
    row = conn.execute(READ, {"id": server_id}).one()
    if desired == "running" and row.server_billing_state in STOPPED_BILLING_STATES:
        # INVARIANT: checked under the lock that a suspension takes, whatever a gate has said before
        raise ServersStopped(server_id, row.server_billing_state)
    trip = _Trip(policy, server_id, row, desired or row.desired, clock.now(conn))
    trip.run(event, role)
    if not (trip.moves or trip.desired != row.desired or trip.due_at != row.due_at):
        return Moved(server_id, row.lifecycle, row.lifecycle, (), ())
    conn.execute(WRITE, trip.values())
    (recorded,) = record_batch(
        conn,
        policy,
        [account_id],
        {account_id: trip.change(actor, event, json.dumps(dict(args or {})), row.desired)},
        command=None,
        actor=actor,
        fence=fence,
        world=world or World(),
    )
    names = tuple(each.rule.name for each in trip.moves)
    return Moved(server_id, row.lifecycle, trip.lifecycle, names, recorded.intents)


def due_servers(conn: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find servers whose lifecycle moves by time alone, longest due first."""
    return list(conn.execute(DUE, {"now": now, "limit": limit}).scalars())


class _Trip:
    """One server on its way, from the state that was read to where nothing more follows."""

    def __init__(self, policy: Policy, server_id: UUID, row: Any, desired: str, now: datetime) -> None:
        self.policy = policy
        self.server_id = server_id
        self.lifecycle: str = row.lifecycle
        self.desired = desired
        self.round: int = row.round
        self.now = now
        self.facts: dict[str, Value] = {
            **{name: datetime.fromisoformat(at) for name, at in row.stamps.items()},
            "desired": desired,
            "observed": row.observed,
        }
        self.stamped = set(row.stamps)
        self.moves: list[Move] = []
        self.notes: list[AuditNote] = []
        self.orders: list[tuple[Ask, int]] = []
        self.due_at: datetime | None = None

    def run(self, event: str | None, role: str) -> None:
        for _ in range(MOST_MOVES):
            step = move(self.policy, self.lifecycle, self.facts, event, self.now, role)
            if step is None:
                break
            self._take(step)
            event = None
        self.due_at = due(self.policy, self.lifecycle, self.facts)

    def _take(self, step: Move) -> None:
        self.moves.append(step)
        for ask in step.asks:
            self.round += 1
            self.orders.append((ask, self.round))
        asked = tuple(f"{ask.intent}:{self.server_id}" for ask in step.asks)
        facts = {"server_id": str(self.server_id), "desired": self.desired, "observed": self.facts["observed"]}
        action = step.mark or step.rule.id
        because, before = step.rule.name, self.lifecycle
        self.notes.append(AuditNote("server", action, "", because, before, step.to, step.place, facts, asked))
        self.lifecycle = step.to
        self.facts.update(step.stamps)
        self.stamped |= set(step.stamps)

    def values(self) -> dict[str, Any]:
        """Return what is written on the server's row."""
        stamps = {name: self.facts[name] for name in self.stamped}
        text_of = {name: at.isoformat() for name, at in stamps.items() if isinstance(at, datetime)}
        return {
            "id": self.server_id,
            "lifecycle": self.lifecycle,
            "desired": self.desired,
            "stamps": json.dumps(text_of),
            "due_at": self.due_at,
            "round": self.round,
            "now": self.now,
        }

    def change(self, actor: str, event: str | None, args: str, desired_before: str) -> Change:
        """Return what is audited and asked for on the account."""
        notes = [_by(note, actor) for note in self.notes]
        if self.desired != desired_before and not notes:
            facts: dict[str, Value] = {"server_id": str(self.server_id)}
            action = event or "desire"
            notes.append(AuditNote("server", action, actor, "desired", desired_before, self.desired, facts=facts))
        machine = lifecycle_machine(self.policy).name
        orders = [
            Order(Asked(a.intent, self.policy.intents[a.intent].kind, machine, 0, number, str(self.server_id)), args)
            for a, number in self.orders
        ]
        return Change(notes=tuple(notes), orders=orders)


def _by(note: AuditNote, actor: str) -> AuditNote:
    return AuditNote(
        note.kind, note.action, actor, note.because, note.from_, note.to, note.place, note.facts, note.asked
    )


def move_servers(
    conn: Connection, policy: Policy, events: Sequence[tuple[UUID, str | None]], **more: Any
) -> list[Moved]:
    """Move several servers in one transaction, their accounts locked in sorted order first."""
    owners = text("SELECT DISTINCT account_id FROM servers WHERE id = ANY(:ids)")
    lock(conn, list(conn.execute(owners, {"ids": [server_id for server_id, _ in events]}).scalars()))
    return [move_server(conn, policy, server_id, event, **more) for server_id, event in events]
