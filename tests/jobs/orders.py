"""What customers order: a new server, or work on one. An operation is written down, and an intent names it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from storage import backups, operations, servers
from storage.intents_ask import ask_server
from storage.operations import Operation
from tests.jobs.floor import Floor


def ordered(floor: Floor, account: UUID) -> tuple[UUID, Operation]:
    """Order a server as the API does."""
    with floor.begin() as conn:
        operation = floor.operation(conn, account, "create_server")
        args = {"operation_id": str(operation.id)}
        server, _ = servers.create(conn, floor.policy, account, name="new", kind="game", actor="Ada", args=args)
        operations.progress(conn, operation.id, "queued", server_id=server)
    return server, operation


def order(floor: Floor, server: UUID, action: str, *, actor: str = "Ada", **args: Any) -> Operation:
    """Order work on a server as the API does."""
    account = floor.seat(server).account_id
    with floor.begin() as conn:
        operation = floor.operation(conn, account, action)
        if action == "create_backup":
            backups.create(conn, server, backup_id=UUID(args["backup_id"]))
        if action == "delete_server":
            servers.request_deletion(conn, floor.policy, server, actor=actor)
        operations.progress(conn, operation.id, "queued", server_id=server)
        ask_server(conn, floor.policy, server, action, actor=actor, args={**args, "operation_id": str(operation.id)})
    return operation


def at(floor: Floor, operation: Operation) -> tuple[str, str | None, str | None]:
    """Return an operation's state, phase and error."""
    with floor.begin() as conn:
        now = operations.get(conn, operation.id)
    return now.state, now.phase, now.error
