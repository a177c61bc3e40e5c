"""Asking for intents by name: what admins, customers and the controller want done outside a rule.

The re-check at the claim is the same as for any intent. What destroys data is refused here, and the refusal is audited.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.delivered import issued_again
from engine.model import Intent, IntentKind, Policy
from engine.snapshot import Asked, NoticeStatus, Snapshot
from storage import audit, policies
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.errors import DestructiveRefused, UnknownAccount, UnknownIntent, UnknownServer
from storage.gather import World
from storage.intents_claim import ADMIN
from storage.intents_outbox import Outbox
from storage.leases import Fence
from storage.ledger_batch import Change, Order, lock, record_change

UNFINISHED: Final = text(
    "SELECT id, queue, intent FROM intents WHERE account_id = :account AND intent = :intent "
    "AND server_id IS NOT DISTINCT FROM :server AND machine = :machine AND status IN ('open', 'started')"
)
ROUND: Final = text(
    "SELECT id, queue, intent FROM intents WHERE account_id = :account AND intent = :intent AND machine = :machine "
    "AND episode = :episode AND round = :round"
)
REPLACED: Final = text(
    "UPDATE intents SET status = 'dropped', outcome = 'a further round was asked for by a person' "
    "WHERE account_id = :account AND intent = :notice AND status IN ('unknown', 'failed')"
)
NUDGE: Final = text("UPDATE intents SET not_before = NULL WHERE id = ANY(:ids) AND status = 'open'")


def ask(
    conn: Connection,
    policy: Policy,
    action: str,
    account_id: UUID,
    server_id: UUID | None = None,
    *,
    actor: str,
    reason: str = "",
    world: World | None = None,
) -> tuple[Outbox, ...] | DestructiveRefused:
    """Ask for an intent as an admin; per server, without a server: for each one that the account has.

    What destroys is refused: the error is returned, not raised, so that the record of the refusal commits. A notice is
    never sent beside its rule: a round that is open is nudged, one that is unknown or failed is issued again, and any
    other ask is dropped and audited. Raises UnknownIntent, UnknownAccount, UnknownServer.
    """
    policy = policies.deciding(conn, policy, policies.digest_in_force(conn))
    intent = policy.intents.get(action)
    if intent is None:
        raise UnknownIntent(action)
    if intent.destructive:
        return _refuse(conn, policy, action, account_id, server_id, actor)
    lock(conn, [account_id])
    servers = _servers_of(conn, account_id, server_id)
    about = [server_id] if server_id is not None else list(servers) if intent.per_server else [None]
    if intent.kind is IntentKind.NOTICE:
        return _ask_notice(conn, policy, intent, account_id, actor=actor, reason=reason, world=world)
    found = [_unfinished(conn, account_id, action, server, ADMIN) for server in about]
    asks = [server for server, there in zip(about, found, strict=True) if there is None]
    there = tuple(outbox for outbox in found if outbox is not None)
    if there:
        conn.execute(NUDGE, {"ids": [outbox.intent_id for outbox in there]})
    return there + _ask_effects(conn, policy, intent, account_id, asks, actor=actor, reason=reason, world=world)


def ask_server(
    conn: Connection,
    policy: Policy,
    server_id: UUID,
    action: str,
    *,
    actor: str,
    machine: str = "server",
    because: str = "",
    args: Mapping[str, Any] | None = None,
    queue: str | None = None,
    fence: Fence | None = None,
    world: World | None = None,
) -> tuple[Outbox, ...]:
    """Ask for work on one server: a request that a gate has let through, or a repair.

    While the same work by the same `machine` (who asks: `server`, `repair`, …) is open or under way and takes no
    `args`, nothing is added. Raises UnknownServer, UnknownIntent.
    """
    intent = policy.intents.get(action)
    if intent is None:
        raise UnknownIntent(action)
    account_id = conn.execute(
        text("SELECT account_id FROM servers WHERE id = :id"), {"id": server_id}
    ).scalar_one_or_none()
    if account_id is None:
        raise UnknownServer(server_id)
    lock(conn, [account_id])
    if not args and _unfinished(conn, account_id, action, server_id, machine) is not None:
        return ()
    number = conn.execute(
        text("UPDATE servers SET round = round + 1 WHERE id = :id RETURNING round"), {"id": server_id}
    ).scalar_one()
    asked = Asked(action, intent.kind, machine, 0, number, str(server_id))
    facts = {"server_id": str(server_id)}
    note = AuditNote("server", action, actor, because or "asked for", facts=facts, asked=(f"{action}:{server_id}",))
    change = Change(notes=(note,), orders=(Order(asked, json.dumps(dict(args or {})), queue),))
    return record_change(conn, policy, account_id, change, actor=actor, fence=fence, world=world).intents


def ask_again(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    notice: str,
    *,
    actor: str,
    reason: str = "",
    world: World | None = None,
) -> tuple[Outbox, ...]:
    """Issue a notice again whose round is unknown or failed: a person looked, and it did not arrive.

    Raises EngineError when no round of the running episode ended so.
    """
    orders: list[Order] = []

    def apply(snapshot: Snapshot, now: datetime) -> Snapshot:
        after, asked = issued_again(policy, snapshot, notice, now)
        orders.append(Order(asked))
        return after

    lock(conn, [account_id])
    conn.execute(REPLACED, {"account": account_id, "notice": notice})
    note = AuditNote("admin", notice, actor, f"issued again by a person{': ' if reason else ''}{reason}")
    change = Change(notes=(note,), apply=apply, orders=orders)
    return record_change(conn, policy, account_id, change, actor=actor, world=world).intents


def _refuse(
    conn: Connection, policy: Policy, action: str, account_id: UUID, server_id: UUID | None, actor: str
) -> DestructiveRefused:
    """Write down that somebody asked for destruction, also on an account that nobody knows."""
    facts = {"account_id": str(account_id), "server_id": str(server_id) if server_id is not None else None}
    note = AuditNote("rejected", action, actor, "destructive intents are never carried out on request", facts=facts)
    try:
        audit.append(conn, account_id, [note], policy.digest)
    except UnknownAccount:
        audit.append(conn, None, [note], policy.digest)
    words = f"{actor} asked for {action}, which destroys data; it was refused"
    raise_alert(conn, "intent_rejected", words, account_id)
    return DestructiveRefused(action)


def _ask_notice(
    conn: Connection, policy: Policy, intent: Intent, account_id: UUID, *, actor: str, reason: str, world: World | None
) -> tuple[Outbox, ...]:
    seen: list[Snapshot] = []

    def look(snapshot: Snapshot, now: datetime) -> Snapshot:
        seen.append(snapshot)
        return snapshot

    note = AuditNote("admin", intent.name, actor, reason or "asked for")
    record_change(conn, policy, account_id, Change(notes=(note,), apply=look), actor=actor, world=world)
    state = seen[0].notices.get(intent.name)
    if state is not None and state.status in {NoticeStatus.UNKNOWN, NoticeStatus.FAILED}:
        return ask_again(conn, policy, account_id, intent.name, actor=actor, reason=reason, world=world)
    if state is not None and state.status is NoticeStatus.OPEN:
        which = {"episode": state.episode, "round": state.round, "machine": state.machine}
        row = conn.execute(ROUND, {"account": account_id, "intent": intent.name, **which}).one_or_none()
        if row is not None:
            conn.execute(NUDGE, {"ids": [row.id]})
            return (Outbox(*row),)
    reason = "dropped: no round of it is open, and no notice is sent beside its rule"
    dropped = AuditNote("notice", intent.name, actor, reason, to="dropped")
    audit.append(conn, account_id, [dropped], policy.digest)
    return ()


def _ask_effects(
    conn: Connection,
    policy: Policy,
    intent: Intent,
    account_id: UUID,
    servers: Sequence[UUID | None],
    *,
    actor: str,
    reason: str,
    world: World | None,
) -> tuple[Outbox, ...]:
    orders: list[Order] = []
    notes = tuple(
        AuditNote(
            "admin", intent.name, actor, reason or "asked for", facts={"server_id": str(server)} if server else {}
        )
        for server in servers or [None]
    )

    def number(snapshot: Snapshot, now: datetime) -> Snapshot:
        """Each ask is an intent of its own: its round is the instant, in microseconds."""
        round_ = int(now.timestamp() * 1_000_000)
        for server in servers:
            name = str(server) if server is not None else None
            orders.append(Order(Asked(intent.name, intent.kind, ADMIN, 0, round_, name)))
        return replace(snapshot)

    change = Change(notes=notes, apply=number, orders=orders)
    return record_change(conn, policy, account_id, change, actor=actor, world=world).intents if servers else ()


def _servers_of(conn: Connection, account_id: UUID, server_id: UUID | None) -> tuple[UUID, ...]:
    find = text("SELECT id FROM servers WHERE account_id = :id AND lifecycle <> 'deleted' ORDER BY created_at, id")
    servers = tuple(conn.execute(find, {"id": account_id}).scalars())
    if server_id is not None and server_id not in servers:
        raise UnknownServer(server_id)
    return servers


def _unfinished(conn: Connection, account_id: UUID, action: str, server_id: UUID | None, machine: str) -> Outbox | None:
    about = {"account": account_id, "intent": action, "server": server_id, "machine": machine}
    row = conn.execute(UNFINISHED, about).first()
    return None if row is None else Outbox(*row)
