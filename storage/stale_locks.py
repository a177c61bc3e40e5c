"""Operations that lost their worker: ended, so that the server is free and whoever follows them knows."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import backups, operations, servers
from storage.alerts import raise_alert
from storage.gather import World
from storage.intents_rows import Closing, close, lock_intent
from storage.ledger_batch import lock
from storage.ledger_servers import move_server
from storage.processes import LIVING

# What holds a server at a safe point while it is carried out.
HOLDERS: Final = ("provision_server", "create_backup", "restore_backup", "reinstall_server")
SORRY: Final = "This took too long and was ended. Nothing of yours was taken away; please try again, or write to us."
REASON: Final = "its worker was lost, and its time was over"

HELD: Final = text(
    "SELECT 1 FROM intents WHERE server_id = :server AND intent = ANY(:holders) AND status = 'started' "
    f"AND claimed_until > clock_timestamp() AND (claimed_by IS NULL OR claimed_by IN ({LIVING})) LIMIT 1"
)
# What was never tried holds nothing, and waits for its turn.
OPEN: Final = text(
    "SELECT id, args ->> 'operation_id' AS operation, args ->> 'backup_id' AS backup, intent FROM intents "
    "WHERE server_id = :server AND intent = ANY(:holders) AND status IN ('open', 'started') AND tries > 0 "
    "ORDER BY created_at"
)


def clear(
    conn: Connection, policy: Policy, server_id: UUID, *, besides: UUID, world: World | None = None
) -> int | None:
    """End what a lost worker left open on a server; return how much that was. None: a worker that lives holds it.

    besides: names the request, so that people are told once.
    """
    server = servers.get(conn, server_id)
    lock(conn, [server.account_id])
    about: dict[str, Any] = {"server": server_id, "holders": list(HOLDERS)}
    if conn.execute(HELD, about).first() is not None:
        return None
    found = conn.execute(OPEN, about).all()
    for each in found:
        row = lock_intent(conn, each.id)
        assert row is not None
        close(conn, policy, row, Closing("dropped", REASON, "worker"), world=world)
        if each.operation is not None:
            operations.fail(conn, UUID(each.operation), error=SORRY, reason=REASON, left_behind="unknown")
        if each.intent == "create_backup" and each.backup is not None:
            backups.set_state(conn, UUID(each.backup), "failed", SORRY)
        if each.intent == "provision_server":
            # A server that was not made whole is not wanted to run: else a repair would try the rest by itself.
            move_server(conn, policy, server_id, "gave_up", actor="worker", desired="stopped", world=world)
    if found:
        words = f"server {server_id} was locked by {found[0].intent} for too long; {REASON}, and the lock was cleared"
        raise_alert(conn, "intent_failed", words, server.account_id, key=f"stale_lock:{besides}")
    return len(found)
