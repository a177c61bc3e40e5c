"""What a person may do about an operation that failed: resume it where it stands, or clean up what it left behind.

Nothing of this happens by itself. Both may be asked for twice, and both are audited with the reason that was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import STOPPED_BILLING_STATES, Policy
from storage import audit, servers
from storage.audit import AuditNote
from storage.errors import OperationRefused, ServersStopped
from storage.gather import World
from storage.intents_ask import ask_server
from storage.intents_outbox import Outbox
from storage.ledger_batch import lock
from storage.ledger_servers import move_server
from storage.operations import Operation, get, of_server
from storage.servers import Server

# What carries an operation of this kind out, and the gate that its resumption has to pass.
CARRIED_OUT_BY: Final[Mapping[str, str]] = {"create_server": "provision_server", "delete_server": "delete_server"}
GATE_OF: Final[Mapping[str, str]] = {"create_server": "host.start", "delete_server": "server.delete"}
CLEANING, CLEANED = "clean_up", "cleaned_up"
"""The phases of a failed operation that is, or was, cleaned up."""

LIVING: Final = frozenset({"requested", "provisioning", "starting", "running", "stopping", "stopped", "failed"})

REOPEN: Final = text(
    "UPDATE operations SET state = 'queued', phase = NULL, error = NULL, reason = NULL, updated_at = clock_timestamp() "
    "WHERE id = :id"
)
ENTER: Final = text("UPDATE operations SET phase = :phase, updated_at = clock_timestamp() WHERE id = :id")
LEFT_NOTHING: Final = text(
    "UPDATE operations SET phase = :phase, left_behind = 'nothing', updated_at = clock_timestamp() WHERE id = :id"
)
UNDER_WAY: Final = text(
    "SELECT 1 FROM intents WHERE server_id = :server AND args ->> 'operation_id' = :operation "
    "AND status IN ('open', 'started') LIMIT 1"
)


def resume(
    conn: Connection, policy: Policy, operation_id: UUID, *, actor: str, reason: str, world: World | None = None
) -> tuple[Operation, tuple[Outbox, ...]]:
    """Let a failed operation go on: what is seen to have happened is not done again. One that goes on is left alone.

    Raises UnknownOperation, OperationRefused, and ServersStopped while billing keeps the server stopped.
    """
    found, server = _locked(conn, operation_id, "resumed")
    if found.state in {"queued", "in_progress"}:
        return found, ()
    if found.state != "failed" or found.phase in {CLEANING, CLEANED}:
        raise OperationRefused(operation_id, "resumed", _why_not(found))
    if found.kind not in CARRIED_OUT_BY:
        raise OperationRefused(operation_id, "resumed", f"`{found.kind}` is simply asked for again")
    stands = {"deleting"} if found.kind == "delete_server" else LIVING
    if server.lifecycle not in stands:
        raise OperationRefused(operation_id, "resumed", f"its server is {server.lifecycle}")
    if server.server_billing_state in STOPPED_BILLING_STATES:
        raise ServersStopped(server.id, server.server_billing_state)
    conn.execute(REOPEN, {"id": operation_id})
    _note(conn, policy, found, "resume_operation", actor, reason)
    args = {**found.args, "operation_id": str(operation_id), "server_id": str(server.id)}
    if found.kind == "create_server":
        move_server(conn, policy, server.id, "resumed", actor=actor, desired="running", world=world)
    asked = ask_server(
        conn, policy, server.id, CARRIED_OUT_BY[found.kind], actor=actor, because=reason, args=args, world=world
    )
    return get(conn, operation_id), asked


def take_up(conn: Connection, policy: Policy, server: Server, *, actor: str) -> Operation | None:
    """Let a repair go on with the order of a server that never came to be, so that its phases show and count.

    `None`: nobody follows it. Raises OperationRefused while the order is under way, or once it was cleaned up.
    """
    lock(conn, [server.account_id])
    orders = [each for each in of_server(conn, server.id) if each.kind == "create_server"]
    if not orders or orders[0].state == "succeeded":
        return None
    found = orders[0]
    if conn.execute(UNDER_WAY, {"server": server.id, "operation": str(found.id)}).first() is not None:
        raise OperationRefused(found.id, "made again", "somebody goes on with it already")
    if found.phase in {CLEANING, CLEANED}:
        raise OperationRefused(found.id, "made again", _why_not(found))
    if found.state == "failed":
        conn.execute(REOPEN, {"id": found.id})
        facts = {"operation_id": str(found.id), "server_id": str(server.id), "phase": found.phase}
        note = AuditNote("server", "resume_operation", actor, "a repair makes it again", found.state, None, facts=facts)
        audit.append(conn, found.account_id, [note], policy.digest)
    return get(conn, found.id)


def clean_up(
    conn: Connection, policy: Policy, operation_id: UUID, *, actor: str, reason: str, world: World | None = None
) -> tuple[Operation, tuple[Outbox, ...]]:
    """Let what a failed order made be taken away: only that, and never a server that has run.

    Billing never denies this. Raises UnknownOperation, OperationRefused.
    """
    found, server = _locked(conn, operation_id, "cleaned up")
    about = {"server": server.id, "operation": str(operation_id)}
    if found.phase == CLEANED or (found.phase == CLEANING and conn.execute(UNDER_WAY, about).first() is not None):
        return found, ()
    if found.state != "failed":
        raise OperationRefused(operation_id, "cleaned up", _why_not(found))
    if found.kind != "create_server":
        raise OperationRefused(operation_id, "cleaned up", f"`{found.kind}` made no server")
    if (why := has_run(server)) is not None:
        raise OperationRefused(operation_id, "cleaned up", why)
    moved = move_server(
        conn, policy, server.id, "clean_up_requested", role="admin", actor=actor, desired="stopped", world=world
    )
    if moved.to != "deleting":
        raise OperationRefused(operation_id, "cleaned up", f"its server is {moved.to}; wait, or stop it first")
    conn.execute(ENTER, {"id": operation_id, "phase": CLEANING})
    _note(conn, policy, found, "clean_up_operation", actor, reason)
    asked = ask_server(
        conn, policy, server.id, "clean_up_server", actor=actor, because=reason,
        args={"operation_id": str(operation_id)}, world=world,
    )  # fmt: skip
    return get(conn, operation_id), asked


def has_run(server: Server) -> str | None:
    """Say that a server may hold somebody's work; None when it never ran."""
    if server.ran_at is None and server.observed != "running":
        return None
    return "its server has run and may hold its customer's work; whoever wants that gone deletes the server"


def cleaned(conn: Connection, operation_id: UUID) -> None:
    """Note that nothing of a failed operation is left."""
    conn.execute(LEFT_NOTHING, {"id": operation_id, "phase": CLEANED})


def _locked(conn: Connection, operation_id: UUID, wish: str) -> tuple[Operation, Server]:
    """Read an operation and its server behind every decision that is being made about the account."""
    found = get(conn, operation_id)
    if found.server_id is None:
        raise OperationRefused(operation_id, wish, "it has no server")
    lock(conn, [found.account_id])
    return get(conn, operation_id), servers.get(conn, found.server_id)


def _why_not(found: Operation) -> str:
    return f"it was {CLEANED.replace('_', ' ')}" if found.phase == CLEANED else f"it is {found.phase or found.state}"


def _note(conn: Connection, policy: Policy, found: Operation, action: str, actor: str, reason: str) -> None:
    facts = {"operation_id": str(found.id), "server_id": str(found.server_id), "phase": found.phase}
    note = AuditNote("admin", action, actor, reason, found.state, None, facts=facts)
    audit.append(conn, found.account_id, [note], policy.digest)
