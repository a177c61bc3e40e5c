"""The three functions that a queue may name. Each applies one intent; nothing else is run for a job."""

from __future__ import annotations

from contextvars import ContextVar

from jobs.apply import apply
from jobs.context import Context

COMMAND_SECONDS = 3 * 3600.0

current: ContextVar[Context] = ContextVar("current")


def billing_enforcement(intent_id: str) -> str:
    """Apply a notice or an enforcement effect."""
    return apply(current.get(), intent_id)


def provisioning(intent_id: str) -> str:
    """Apply a command on a server: make, start, stop, back up, restore. Copying a large server takes long."""
    return apply(current.get(), intent_id, claim_seconds=COMMAND_SECONDS)


def repair(intent_id: str) -> str:
    """Apply what the controller asked for."""
    return apply(current.get(), intent_id)
