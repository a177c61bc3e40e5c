"""Moves issued invoices on: those just issued begin, those whose time has come or that were paid go further.

It only finds candidates: the ledger locks each and decides on what is true then, so repeating is harmless.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from engine.model import Policy
from jobs.context import Context
from jobs.isolation import by_itself
from storage import clock, ledger
from storage.invoicing import reminders
from storage.leases import Fence

MOST_A_PASS = 200


def move_invoices(context: Context, policy: Policy, fence: Fence) -> int:
    """Move what there is to move, oldest first; return how many invoices went on. Raises FenceLost."""
    if not any(machine.of == "invoice" for machine in policy.machines.values()):
        return 0
    with context.database.begin() as conn:
        reminders.give_up_lost(conn)
        unborn = ledger.unborn_invoices(conn, MOST_A_PASS)
        due = ledger.due_invoices(conn, clock.now(conn), MOST_A_PASS)
    moved = 0
    for invoice_id in dict.fromkeys((*unborn, *due)):
        with by_itself(f"invoice `{invoice_id}`"):
            moved += _move(context, policy, fence, invoice_id, begin=invoice_id in unborn)
    return moved


def _move(context: Context, policy: Policy, fence: Fence, invoice_id: UUID, *, begin: bool) -> bool:
    def work(conn: Connection) -> bool:
        if begin:
            ledger.begin_invoice(conn, policy, invoice_id)
        moved = ledger.move_invoice(conn, policy, invoice_id, None, fence=fence, world=context.world)
        return moved is not None and bool(moved.rules)

    return context.database.transact(f"invoice `{invoice_id}`", work)
