"""The ledger: the one writer of account states and server lifecycles.

Everything that may move an account goes through `record_many`: a sweep with thousands, a webhook with a few, a worker
with one. In one transaction it locks the accounts in sorted order, reads them in a later statement, settles them, gives
out the brakes' slots, and writes states, audit and intents.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from engine.model import Policy
from engine.snapshot import Command
from storage.audit import AuditNote
from storage.database import raw
from storage.gather import World
from storage.leases import Fence
from storage.ledger_alone import Commanded, command_server
from storage.ledger_batch import Change, Order, Recorded, lock, record_batch
from storage.ledger_invoices import InvoiceMoved, begin_invoice, due_invoices, move_invoice, unborn_invoices
from storage.ledger_servers import Moved, due_servers, move_server, move_servers

__all__ = [
    "AuditNote",
    "Change",
    "Commanded",
    "Fence",
    "InvoiceMoved",
    "Moved",
    "Order",
    "Recorded",
    "World",
    "begin_invoice",
    "command_server",
    "due",
    "due_invoices",
    "due_servers",
    "lock",
    "move_invoice",
    "move_server",
    "move_servers",
    "record",
    "record_many",
    "unborn_invoices",
]


def record_many(
    conn: Connection,
    policy: Policy,
    account_ids: Sequence[UUID],
    *,
    command: Command | None = None,
    actor: str = "sweep",
    fence: Fence | None = None,
    evidence: Mapping[UUID, AuditNote | Sequence[AuditNote]] | None = None,
    changes: Mapping[UUID, Change] | None = None,
    world: World | None = None,
    first: Callable[[psycopg.Connection[Any]], None] | None = None,
) -> list[Recorded]:
    """Decide these accounts now and write down what follows. Their order is the order in which brakes give slots.

    conn: inside a transaction; evidence that it wrote before is seen, and commits with what follows from it. An error
    leaves the transaction to be rolled back: nothing of the batch stays. If another policy has come into force than the
    one given, that one decides.
    evidence: audited before the steps that follow from it. first: sends what has to be written before the accounts are
    read, in the same round trip. Raises UnknownAccount, FenceLost, CommandRefused.
    """
    every = dict(changes or {})
    for account_id, notes in (evidence or {}).items():
        given = (notes,) if isinstance(notes, AuditNote) else tuple(notes)
        every[account_id] = Change(notes=given)
    return record_batch(
        conn, policy, account_ids, every, command=command, actor=actor, fence=fence, world=world, first=first
    )


def record(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    *,
    command: Command | None = None,
    actor: str = "sweep",
    fence: Fence | None = None,
    evidence: AuditNote | Sequence[AuditNote] = (),
    world: World | None = None,
) -> Recorded:
    """Decide one account now: `record_many` of one."""
    notes = {account_id: evidence} if evidence else None
    (recorded,) = record_many(
        conn, policy, [account_id], command=command, actor=actor, fence=fence, evidence=notes, world=world
    )
    return recorded


# Written so that the partial index `accounts_due` serves it: the instant is a parameter, never a function.
DUE = """
SELECT id FROM accounts WHERE due_at IS NOT NULL AND GREATEST(due_at, held_until) <= %(now)s
ORDER BY GREATEST(due_at, held_until) LIMIT %(limit)s
"""
DUE_HELD = "SELECT id FROM accounts WHERE due_at IS NOT NULL AND due_at <= %(now)s ORDER BY due_at LIMIT %(limit)s"
STALE = "SELECT id FROM accounts WHERE epoch < (SELECT epoch FROM policy_in_force) ORDER BY epoch LIMIT %(limit)s"


def due(conn: Connection, now: datetime, limit: int, *, force: bool = False) -> list[UUID]:
    """Find accounts to decide: those that are due, longest first, then those decided under what is no longer in force.

    force: also those whose permit is looked at only later. The work locks them and decides again.
    """
    pg = raw(conn)
    with pg.pipeline():
        first = pg.execute(DUE_HELD if force else DUE, {"now": now, "limit": limit})
        stale = pg.execute(STALE, {"limit": limit})
    found = dict.fromkeys(row[0] for row in first)
    if len(found) < limit:
        found |= dict.fromkeys(row[0] for row in stale)
    return list(found)[:limit]
