"""How far the operation has come that somebody follows."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from sqlalchemy import Connection

from jobs.context import Context
from storage import operations
from storage.intents import Claim

Also = Callable[[Connection], None]


def operation_of(claim: Claim) -> UUID | None:
    """Return the operation that a claim belongs to, if somebody follows it."""
    found = claim.args.get("operation_id")
    return UUID(str(found)) if found else None


def show(context: Context, claim: Claim, phase: str, also: Also | None = None) -> None:
    """Show the phase before anything of it happens. also: what is written down in the same transaction."""
    operation_id = operation_of(claim)
    if operation_id is None and also is None:
        return
    with context.database.begin() as conn:
        if also is not None:
            also(conn)
        if operation_id is not None:
            operations.progress(conn, operation_id, "in_progress", phase=phase, server_id=claim.server_id)
