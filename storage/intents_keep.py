"""Keeping the outbox: what can be worked now, what died with its worker, what people have to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import audit
from storage.audit import AuditNote
from storage.errors import IntentSettled, UnknownIntent
from storage.gather import World
from storage.intents_ask import ask_again
from storage.intents_claim import ADMIN
from storage.intents_finish import REOPEN, delivery_of, failure_of, unknown_of
from storage.intents_outbox import Outbox
from storage.intents_rows import COLUMNS, Closing, IntentRow, close, lock_intent, row_of
from storage.intents_types import MOST_TRIES
from storage.leases import Fence
from storage.ledger_batch import lock
from storage.processes import LIVING

DIED: Final = "its worker died, or lost its claim, in the middle"


@dataclass(frozen=True, slots=True)
class Counts:
    """How many intents are in which condition."""

    runnable: int
    waiting: int
    """Open, and not before a later instant."""
    started: int
    unknown: int
    failed: int


def runnable(conn: Connection, now: datetime, limit: int, *, untold_for_seconds: float | None = None) -> list[Outbox]:
    """Return intents that can be worked now, oldest first.

    untold_for_seconds: only those that no queue was told of for so long, in real time; None: all.
    """
    find = text(
        "SELECT id, queue, intent FROM intents WHERE status = 'open' AND (not_before IS NULL OR not_before <= :now) "
        "AND (CAST(:untold AS float8) IS NULL OR enqueued_at IS NULL "
        "OR enqueued_at < clock_timestamp() - make_interval(secs => :untold)) ORDER BY created_at, id LIMIT :limit"
    )
    given = {"now": now, "limit": limit, "untold": untold_for_seconds}
    return [Outbox(*row) for row in conn.execute(find, given)]


def mark_enqueued(conn: Connection, intent_ids: Sequence[UUID]) -> None:
    """Note that the queues were told of these now."""
    told = text(
        "UPDATE intents SET enqueued_at = clock_timestamp() WHERE id IN "
        "(SELECT id FROM intents WHERE id = ANY(:ids) AND status = 'open' ORDER BY id FOR UPDATE SKIP LOCKED)"
    )
    conn.execute(told, {"ids": list(intent_ids)})


def requeue_dead(
    conn: Connection,
    policy: Policy,
    *,
    limit: int = 100,
    fence: Fence | None = None,
    world: World | None = None,
) -> list[Outbox]:
    """Take back what died with its worker: effects are open again, notices are unknown, and people are told.

    A claim is dead when its worker's lock is free or its time is over. Returns what can be worked again.
    """
    find = text(
        "SELECT id, account_id FROM intents WHERE status = 'started' AND (claimed_until < clock_timestamp() "
        f"OR (claimed_by IS NOT NULL AND claimed_by NOT IN ({LIVING}))) ORDER BY claimed_until LIMIT :limit"
    )
    dead = conn.execute(find, {"limit": limit}).all()
    if not dead:
        return []
    lock(conn, [row.account_id for row in dead])
    again = []
    for intent_id, _ in sorted(dead, key=lambda each: (each.account_id, each.id)):
        row = lock_intent(conn, intent_id)
        if row is not None and row.status == "started" and _is_dead(conn, intent_id):
            again += _take_back(conn, policy, row, fence, world)
    return again


def resolve(
    conn: Connection,
    policy: Policy,
    intent_id: UUID,
    how: Literal["delivered", "again"],
    *,
    actor: str,
    reason: str = "",
    world: World | None = None,
) -> tuple[Outbox, ...]:
    """Settle what is unknown or failed, as a person who has looked: it was delivered (or done), or is tried again.

    Raises UnknownIntent, and IntentSettled when it is neither unknown nor failed.
    """
    row = lock_intent(conn, intent_id)
    if row is None:
        raise UnknownIntent(intent_id)
    if row.status not in {"unknown", "failed"}:
        raise IntentSettled(intent_id, row.status)
    why = f": {reason}" if reason else ""
    if how == "delivered":
        closing = Closing("done", f"{actor} has seen that it is done{why}", actor, delivery_of(policy, row))
        return close(conn, policy, row, closing, world=world).intents
    if row.is_notice and row.machine != ADMIN:
        return ask_again(conn, policy, row.account_id, row.intent, actor=actor, reason=reason, world=world)
    said = AuditNote("admin", row.intent, actor, f"opened again by a person{why}", row.status, "open")
    audit.append(conn, row.account_id, [said], policy.digest)
    conn.execute(REOPEN, {"until": None, "why": f"opened again by {actor}", "uncounted": row.tries, "id": row.id})
    return (Outbox(row.id, row.queue, row.intent),)


def counts(conn: Connection, now: datetime) -> Counts:
    """Count what is unfinished or in trouble."""
    count = text(
        "SELECT count(*) FILTER (WHERE status = 'open' AND (not_before IS NULL OR not_before <= :now)), "
        "count(*) FILTER (WHERE status = 'open' AND not_before > :now), count(*) FILTER (WHERE status = 'started'), "
        "count(*) FILTER (WHERE status = 'unknown'), count(*) FILTER (WHERE status = 'failed') "
        "FROM intents WHERE status IN ('open', 'started', 'unknown', 'failed')"
    )
    return Counts(*conn.execute(count, {"now": now}).one())


def listed(
    conn: Connection, *, account_id: UUID | None = None, statuses: Sequence[str] = (), limit: int = 200
) -> list[IntentRow]:
    """Return intents, newest first: of an account, in certain statuses, or both."""
    find = text(
        f"SELECT {COLUMNS} FROM intents WHERE (CAST(:account AS uuid) IS NULL OR account_id = :account) "
        "AND (cardinality(CAST(:statuses AS text[])) = 0 OR status = ANY(:statuses)) "
        "ORDER BY created_at DESC, id LIMIT :limit"
    )
    given = {"account": account_id, "statuses": list(statuses), "limit": limit}
    return [row_of(row) for row in conn.execute(find, given)]


def get(conn: Connection, intent_id: UUID) -> IntentRow:
    """Return one intent, unlocked. Raises UnknownIntent."""
    find = text(f"SELECT {COLUMNS} FROM intents WHERE id = :id")
    row = conn.execute(find, {"id": intent_id}).one_or_none()
    if row is None:
        raise UnknownIntent(intent_id)
    return row_of(row)


def _is_dead(conn: Connection, intent_id: UUID) -> bool:
    """Look again under the lock: its worker may have finished and another may have claimed it meanwhile."""
    look = text(
        f"SELECT claimed_until < clock_timestamp() OR coalesce(claimed_by NOT IN ({LIVING}), false) "
        "FROM intents WHERE id = :id"
    )
    return bool(conn.execute(look, {"id": intent_id}).scalar_one())


def _take_back(
    conn: Connection, policy: Policy, row: IntentRow, fence: Fence | None, world: World | None
) -> list[Outbox]:
    if row.is_notice:
        close(conn, policy, row, unknown_of(row, DIED, "controller"), world=world, fence=fence)
        return []
    if row.tries >= MOST_TRIES[row.kind]:
        closing = failure_of(row, f"tried {row.tries} times; the last time {DIED}", "controller")
        close(conn, policy, row, closing, world=world, fence=fence)
        return []
    conn.execute(REOPEN, {"until": None, "why": DIED, "uncounted": 0, "id": row.id})
    return [Outbox(row.id, row.queue, row.intent)]
