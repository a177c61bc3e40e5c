"""What a person does about a dispute that is lost: forgives it, because it was paid elsewhere or is not asked for."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import clock
from storage.audit import AuditNote
from storage.database import raw
from storage.errors import DisputeNotLost, UnknownDispute
from storage.gather import World
from storage.ledger import Recorded, lock, record_many
from storage.stripe.evidence import Sought, lock_and_read

FIND: Final = text("SELECT account_id, status, settled_at FROM disputes WHERE id = :id")
SETTLE: Final = text(
    "UPDATE disputes SET settled_at = :now, settled_by = :by, settled_reason = :reason WHERE id = :id RETURNING 1"
)


def settle(
    conn: Connection,
    policy: Policy,
    dispute_id: str,
    *,
    by: str,
    reason: str,
    account_id: UUID | None = None,
    world: World | None = None,
) -> Recorded | None:
    """Count a lost dispute as settled, and decide its account. None: it was settled already, and nothing changed.

    account_id: whose it has to be; None: anybody's.
    Raises UnknownDispute, and DisputeNotLost while the bank may still decide otherwise.
    """
    row = conn.execute(FIND, {"id": dispute_id}).one_or_none()
    if row is None or account_id not in {None, row.account_id}:
        raise UnknownDispute(dispute_id)
    lock(conn, [row.account_id])
    row = conn.execute(FIND, {"id": dispute_id}).one()
    if row.settled_at is not None:
        return None
    if row.status not in policy.standing.lost_dispute_statuses:
        raise DisputeNotLost(dispute_id, row.status)
    conn.execute(SETTLE, {"id": dispute_id, "now": clock.now(conn), "by": by, "reason": reason})
    mirror = lock_and_read(raw(conn), policy, Sought(claims=frozenset({row.account_id})))
    mirror.touched[row.account_id] = None
    mirror.write(raw(conn))
    note = AuditNote("admin", "settle_dispute", by, reason, facts={"dispute": dispute_id})
    return record_many(conn, policy, [row.account_id], actor=by, evidence={row.account_id: note}, world=world)[0]
