"""Settles what a customer follows when its intent ended without its action: dropped as unwanted, or given up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, Row, text

from engine.model import Policy
from jobs.context import Context
from jobs.isolation import by_itself
from jobs.logs import say
from storage import backups, operations
from storage.alerts import raise_alert
from storage.leases import Fence, check
from storage.ledger_batch import lock
from storage.ledger_servers import move_server

AT_ONCE: Final = 200

# The newest intent of an operation counts: one that was resumed has older ones, which have failed.
ENDED: Final = text(
    """
    SELECT o.id, o.server_id, o.account_id, o.phase, i.id AS intent_id, i.intent, i.status, i.outcome, i.args
    FROM operations o CROSS JOIN LATERAL (
        SELECT * FROM intents i WHERE i.server_id = o.server_id AND i.args ->> 'operation_id' = o.id::text
        ORDER BY i.created_at DESC, i.round DESC LIMIT 1
    ) i
    WHERE o.state IN ('queued', 'in_progress') AND i.status IN ('dropped', 'failed')
    ORDER BY o.created_at LIMIT :limit
    """
)
OTHERS: Final = text(
    "SELECT 1 FROM intents WHERE server_id = :server_id AND intent = :intent AND status = 'started' "
    "AND id <> :intent_id"
)
# Where a server stands while this is carried out, and what takes it off there.
WAY_OUT: Final[Mapping[str, str]] = {
    "create_backup": "backup_finished",
    "restore_backup": "restore_failed",
    "reinstall_server": "restore_failed",
    "provision_server": "provisioning_failed",
    "delete_server": "delete_withdrawn",
}
SORRY: Final[Mapping[str, str]] = {
    "dropped": "This was not done, because it is not possible for this account any more. Nothing was changed.",
    "failed": "This could not be done. Your files are as they were; please try again, or write to us.",
}
SORRY_BEGUN: Final = "The deletion had begun and could not be ended yet. We have been told, and see to it."

log = logging.getLogger(__name__)


def end_operations(context: Context, policy: Policy, fence: Fence) -> int:
    """End the operations whose intents have ended without them; return how many."""
    with context.database.begin() as conn:
        found = conn.execute(ENDED, {"limit": AT_ONCE}).all()
    count = 0
    for row in found:
        with by_itself(f"operation {row.id}"):
            work = partial(_end, context=context, policy=policy, row=row, fence=fence)
            context.database.transact(f"operation `{row.id}`", work)
            say(log, logging.INFO, f"an operation has ended: {row.intent} {row.status}", operation=row.id)
            count += 1
    return count


def _end(conn: Connection, *, context: Context, policy: Policy, row: Row[Any], fence: Fence) -> None:
    check(conn, fence)
    lock(conn, [row.account_id])
    is_begun = row.phase == operations.DESTROYING  # no half of a server is given back
    sorry = SORRY_BEGUN if is_begun else SORRY[row.status]
    left = None if row.phase in {None, "allocate"} else "unknown"  # until then nothing is asked of a host
    operations.fail(conn, row.id, error=sorry, reason=row.outcome or row.status, left_behind=left)
    if row.intent == "create_backup":
        _fail_backup(conn, row.server_id, UUID(str(row.args["backup_id"])), sorry)
    about = {"server_id": row.server_id, "intent": row.intent, "intent_id": row.intent_id}
    if is_begun and row.status == "dropped":
        # Nothing is destroyed while billing stops an account, not even what its owner has asked for. Whoever lifts that
        # has to know that half of a server waits.
        words = f"a deletion had begun when it was stopped ({row.outcome}); resume its operation once that is lifted"
        raise_alert(conn, "intent_failed", words, row.account_id, key=f"begun:{row.intent_id}")
    if row.intent in WAY_OUT and not is_begun and conn.execute(OTHERS, about).first() is None:
        # A server that was not made whole is not wanted to run: else a repair would try the rest by itself.
        desired: Literal["stopped"] | None = "stopped" if row.intent == "provision_server" else None
        role = "customer" if row.intent == "delete_server" else "worker"  # it was the customer's wish that lapsed
        more: dict[str, Any] = {"actor": "controller", "role": role, "desired": desired}
        more |= {"fence": fence, "world": context.world}
        move_server(conn, policy, row.server_id, WAY_OUT[row.intent], **more)


def _fail_backup(conn: Connection, server_id: UUID, backup_id: UUID, sorry: str) -> None:
    for each in backups.of_server(conn, server_id):
        if each.id == backup_id and each.state in {"queued", "in_progress"}:
            backups.set_state(conn, backup_id, "failed", sorry)
