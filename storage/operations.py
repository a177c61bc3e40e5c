"""Operations: what a customer asked for and can follow. The same Idempotency-Key is the same operation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from storage.errors import KeyReused, UnknownOperation

COLUMNS: Final = (
    "id, customer_id, account_id, idempotency_key, request_hash, kind, state, phase, server_id, error, args, reason, "
    "left_behind, created_at, updated_at"
)
# Nobody can tell whether one of these that failed has not happened after all: it is not tried again by itself.
UNSAFE_PHASES: Final = frozenset({"create", "start"})
DESTROYING: Final = "destroy"
"""The phase of a deletion from which there is no way back."""
State = Literal["queued", "in_progress", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation."""

    id: UUID
    customer_id: UUID
    account_id: UUID
    idempotency_key: str
    request_hash: bytes
    kind: str
    state: State
    phase: str | None
    """Which part is under way, for whoever follows it."""
    server_id: UUID | None
    error: str | None
    """What the customer is told when it failed."""
    args: Mapping[str, Any]
    reason: str | None
    """Why it failed, for operators."""
    left_behind: str | None
    """What the host showed of the server when it failed: `nothing`, `stopped`, `running` or `unknown`. None: nothing
    was asked of it."""
    created_at: datetime
    updated_at: datetime


def create(
    conn: Connection,
    *,
    customer_id: UUID,
    account_id: UUID,
    idempotency_key: str,
    request_hash: bytes,
    kind: str,
    args: Mapping[str, Any] | None = None,
) -> tuple[Operation, bool]:
    """Write an operation down; return it and whether it is new. Raises KeyReused when the key was another request's."""
    add = text(
        "INSERT INTO operations (customer_id, account_id, idempotency_key, request_hash, kind, args) "
        "VALUES (:customer, :account, :key, :hash, :kind, CAST(:args AS jsonb)) "
        f"ON CONFLICT (customer_id, idempotency_key) DO NOTHING RETURNING {COLUMNS}"
    )
    given = {
        "customer": customer_id,
        "account": account_id,
        "key": idempotency_key,
        "hash": request_hash,
        "kind": kind,
        "args": json.dumps(dict(args or {})),
    }
    made = conn.execute(add, given).one_or_none()
    if made is not None:
        return Operation(*made), True
    find = text(f"SELECT {COLUMNS} FROM operations WHERE customer_id = :customer AND idempotency_key = :key")
    there = Operation(*conn.execute(find, given).one())
    if bytes(there.request_hash) != request_hash:
        raise KeyReused(idempotency_key)
    return there, False


def get(conn: Connection, operation_id: UUID) -> Operation:
    """Return an operation. Raises UnknownOperation."""
    find = text(f"SELECT {COLUMNS} FROM operations WHERE id = :id")
    row = conn.execute(find, {"id": operation_id}).one_or_none()
    if row is None:
        raise UnknownOperation(operation_id)
    return Operation(*row)


def progress(
    conn: Connection,
    operation_id: UUID,
    state: State,
    *,
    phase: str | None = None,
    server_id: UUID | None = None,
    error: str | None = None,
) -> None:
    """Note how far an operation has come. One that has ended stays as it ended; None keeps a phase or server."""
    move = text(
        "UPDATE operations SET state = :state, phase = coalesce(:phase, phase), "
        "server_id = coalesce(:server, server_id), error = :error, "
        "updated_at = clock_timestamp() WHERE id = :id AND state IN ('queued', 'in_progress')"
    )
    given = {"id": operation_id, "state": state, "phase": phase, "server": server_id, "error": error}
    conn.execute(move, given)


def fail(
    conn: Connection,
    operation_id: UUID,
    *,
    error: str,
    reason: str,
    left_behind: str | None = None,
    phase: str | None = None,
) -> None:
    """End an operation that has not ended: where it failed, why, and what it left behind."""
    end = text(
        "UPDATE operations SET state = 'failed', phase = coalesce(:phase, phase), error = :error, reason = :reason, "
        "left_behind = coalesce(:left, left_behind), updated_at = clock_timestamp() "
        "WHERE id = :id AND state IN ('queued', 'in_progress')"
    )
    conn.execute(end, {"id": operation_id, "phase": phase, "error": error, "reason": reason, "left": left_behind})


def unfinished(conn: Connection, limit: int = 1000) -> list[Operation]:
    """Return operations that have not ended, oldest first."""
    find = text(
        f"SELECT {COLUMNS} FROM operations WHERE state IN ('queued', 'in_progress') ORDER BY created_at LIMIT :limit"
    )
    return [Operation(*row) for row in conn.execute(find, {"limit": limit})]


def of_server(conn: Connection, server_id: UUID, limit: int = 10) -> list[Operation]:
    """Return what was asked for about one server, newest first."""
    find = text(f"SELECT {COLUMNS} FROM operations WHERE server_id = :id ORDER BY created_at DESC, id LIMIT :limit")
    return [Operation(*row) for row in conn.execute(find, {"id": server_id, "limit": limit})]


def listed(conn: Connection, states: Sequence[str], limit: int = 100) -> list[Operation]:
    """Return operations in these states, newest first."""
    find = text(
        f"SELECT {COLUMNS} FROM operations WHERE state = ANY(:states) ORDER BY created_at DESC, id LIMIT :limit"
    )
    return [Operation(*row) for row in conn.execute(find, {"states": list(states), "limit": limit})]
