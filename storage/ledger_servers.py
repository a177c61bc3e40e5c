"""Moves servers through their lifecycles: the one writer of `servers.lifecycle`. The account's row is locked first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.lifecycle import lifecycle_machine
from engine.model import STOPPED_BILLING_STATES, Policy, Value
from engine.snapshot import Asked
from storage import clock, policies
from storage.audit import AuditNote
from storage.errors import ServersStopped, UnknownServer
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.leases import Fence
from storage.ledger_batch import Change, Order, lock, record_change
from storage.ledger_trip import Trip, read_stamps, stamps_text

OWNER: Final = text("SELECT account_id FROM servers WHERE id = :id")
READ: Final = text(
    "SELECT s.lifecycle, s.desired, s.observed, s.stamps, s.round, s.due_at, "
    "stricter(a.server_billing_state, s.own_billing_state) AS server_billing_state "
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
    wanted = desired or row.desired
    now = clock.now(conn)
    evidence = {"desired": wanted, "observed": row.observed}
    trip = Trip(policy, "server", row.lifecycle, read_stamps(row.stamps), evidence, now)
    trip.run(event, role)
    if not (trip.steps or wanted != row.desired or trip.due_at != row.due_at):
        return Moved(server_id, row.lifecycle, row.lifecycle, (), ())
    values = {"lifecycle": trip.state, "desired": wanted, "stamps": stamps_text(trip.stamps), "due_at": trip.due_at}
    conn.execute(WRITE, {"id": server_id, "round": row.round + len(trip.asks), "now": now, **values})
    change = Change(
        notes=_notes(trip, server_id, actor, event, row.desired),
        orders=_orders(trip, server_id, row.round, json.dumps(dict(args or {}))),
    )
    recorded = record_change(conn, policy, account_id, change, actor=actor, fence=fence, world=world)
    return Moved(server_id, row.lifecycle, trip.state, trip.rules, recorded.intents)


def due_servers(conn: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find servers whose lifecycle moves by time alone, longest due first."""
    return list(conn.execute(DUE, {"now": now, "limit": limit}).scalars())


def _notes(trip: Trip, server_id: UUID, actor: str, event: str | None, desired_before: str) -> tuple[AuditNote, ...]:
    name, desired = str(server_id), str(trip.evidence["desired"])
    if trip.steps or desired == desired_before:
        return trip.notes(actor, name, {"server_id": name, **trip.evidence})
    facts: dict[str, Value] = {"server_id": name}
    return (AuditNote("server", event or "desire", actor, "desired", desired_before, desired, facts=facts),)


def _orders(trip: Trip, server_id: UUID, round_before: int, args: str) -> list[Order]:
    machine, intents = lifecycle_machine(trip.policy).name, trip.policy.intents
    return [
        Order(Asked(ask.intent, intents[ask.intent].kind, machine, 0, number, str(server_id)), args)
        for number, ask in enumerate(trip.asks, round_before + 1)
    ]


def move_servers(
    conn: Connection, policy: Policy, events: Sequence[tuple[UUID, str | None]], **more: Any
) -> list[Moved]:
    """Move several servers in one transaction, their accounts locked in sorted order first."""
    owners = text("SELECT DISTINCT account_id FROM servers WHERE id = ANY(:ids)")
    lock(conn, list(conn.execute(owners, {"ids": [server_id for server_id, _ in events]}).scalars()))
    return [move_server(conn, policy, server_id, event, **more) for server_id, event in events]
