"""Moves issued invoices through their lifecycle: the one writer of `invoice_states`. Accounts are locked first.

An overdue invoice is evidence against the accounts that it bills; they are decided again in the same transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.lifecycle import lifecycle_machine, since
from engine.model import OVERDUE, Policy
from storage import clock, policies
from storage.database import raw
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.leases import Fence
from storage.ledger_batch import Change, record_batch
from storage.ledger_trip import Trip, read_stamps, stamps_text
from storage.stripe.evidence import Sought, lock_and_read

UNBORN: Final = text(
    "SELECT i.id FROM invoices i WHERE i.kind = 'invoice' "
    "AND NOT EXISTS (SELECT FROM invoice_states s WHERE s.invoice_id = i.id) ORDER BY i.issued_at, i.id LIMIT :limit"
)
# Whose servers stand on its lines; an invoice without a server's line is about all accounts of its customer.
BILLS: Final = text(
    "WITH billed AS (SELECT DISTINCT l.account_id FROM invoice_lines n "
    "JOIN tenant_billing_lifecycle l ON l.tenant = n.tenant AND l.event = 'created' "
    "JOIN accounts a ON a.id = l.account_id WHERE n.invoice_id = :id) "
    "INSERT INTO invoice_accounts (invoice_id, account_id) "
    "SELECT :id, a.id FROM accounts a JOIN invoices i ON i.customer_id = a.customer_id WHERE i.id = :id "
    "AND (a.id IN (SELECT account_id FROM billed) OR NOT EXISTS (SELECT FROM billed)) ON CONFLICT DO NOTHING"
)
BEGIN: Final = text(
    "INSERT INTO invoice_states (invoice_id, state, state_since, payable_until, stamps, due_at) "
    "SELECT i.id, :state, :now, (i.due_on + 1)::timestamp AT TIME ZONE coalesce(o.zone, c.zone), "
    "CAST(:stamps AS jsonb), :now FROM invoices i JOIN customers c ON c.id = i.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id WHERE i.id = :id ON CONFLICT DO NOTHING"
)
ACCOUNTS: Final = text("SELECT account_id FROM invoice_accounts WHERE invoice_id = :id ORDER BY account_id")
# In a statement of its own, after the lock: a payment that has just committed is seen.
READ: Final = text(
    "SELECT s.state, s.state_since, s.payable_until, s.stamps, s.due_at, i.number, "
    "coalesce(o.auto_reminders, false) AS reminds, "
    "(SELECT coalesce(sum(p.amount), 0) FROM invoice_payments p WHERE p.invoice_id = i.id) "
    "+ (SELECT coalesce(sum(k.total), 0) FROM invoices k WHERE k.corrects = i.id) >= i.total AS settled "
    "FROM invoice_states s JOIN invoices i ON i.id = s.invoice_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id WHERE s.invoice_id = :id"
)
LOCK: Final = text("SELECT FROM invoice_states WHERE invoice_id = :id FOR NO KEY UPDATE")
WRITE: Final = text(
    "UPDATE invoice_states SET state = :state, stamps = CAST(:stamps AS jsonb), due_at = :due_at, "
    "state_since = CASE WHEN state = :state THEN state_since ELSE :now END WHERE invoice_id = :id"
)
ASK: Final = text(
    "INSERT INTO invoice_reminders (invoice_id, intent, state, round, asked_at) "
    "SELECT :id, :intent, :state, count(*) + 1, :now FROM invoice_reminders "
    "WHERE invoice_id = :id AND intent = :intent AND state = :state"
)
DUE: Final = text("SELECT invoice_id FROM invoice_states WHERE due_at <= :now ORDER BY due_at LIMIT :limit")


@dataclass(frozen=True, slots=True)
class InvoiceMoved:
    """What became of one invoice. `rules` are those that fired, in order; `intents` what accounts asked for then."""

    invoice_id: UUID
    from_: str
    to: str
    rules: tuple[str, ...]
    intents: tuple[Outbox, ...]


def unborn_invoices(conn: Connection, limit: int) -> list[UUID]:
    """Find issued invoices that have no lifecycle yet, oldest first. Credit notes have none."""
    return list(conn.execute(UNBORN, {"limit": limit}).scalars())


def due_invoices(conn: Connection, now: datetime, limit: int) -> list[UUID]:
    """Find invoices that move by time alone, longest due first."""
    return list(conn.execute(DUE, {"now": now, "limit": limit}).scalars())


def begin_invoice(conn: Connection, policy: Policy, invoice_id: UUID) -> None:
    """Give an issued invoice its lifecycle, and note which accounts it bills. Again changes nothing."""
    now = clock.now(conn)
    machine = lifecycle_machine(policy, "invoice")
    stamps = stamps_text(since(policy, machine.initial, now, of="invoice"))
    conn.execute(BILLS, {"id": invoice_id})
    conn.execute(BEGIN, {"id": invoice_id, "state": machine.initial, "now": now, "stamps": stamps})


def move_invoice(
    conn: Connection,
    policy: Policy,
    invoice_id: UUID,
    event: str | None,
    *,
    role: str = "worker",
    actor: str = "controller",
    fence: Fence | None = None,
    world: World | None = None,
) -> InvoiceMoved | None:
    """Let an event, a payment or the passing of time (both None) move an invoice, and whatever follows by itself.

    None: it has no lifecycle, because the policy has none or it was not begun.
    """
    accounts = list(conn.execute(ACCOUNTS, {"id": invoice_id}).scalars())
    # INVARIANT: accounts before invoices, sorted: as every decision locks
    mirror = lock_and_read(raw(conn), policy, Sought(claims=frozenset(accounts)))
    conn.execute(LOCK, {"id": invoice_id})
    policy = policies.deciding(conn, policy, policies.digest_in_force(conn))
    row = conn.execute(READ, {"id": invoice_id}).one_or_none()
    if row is None or not any(machine.of == "invoice" for machine in policy.machines.values()):
        return None
    now = clock.now(conn)
    evidence = {"settled": row.settled, "reminds": row.reminds, "payable_until": row.payable_until}
    trip = Trip(policy, "invoice", row.state, read_stamps(row.stamps), evidence, now)
    trip.run(event, role)
    if not (trip.steps or trip.due_at != row.due_at):
        return InvoiceMoved(invoice_id, row.state, row.state, (), ())
    values = {"state": trip.state, "stamps": stamps_text(trip.stamps), "due_at": trip.due_at, "now": now}
    conn.execute(WRITE, {"id": invoice_id, **values})
    for step, _ in trip.steps:
        for ask in step.asks:
            conn.execute(ASK, {"id": invoice_id, "intent": ask.intent, "state": step.to, "now": now})
    if (row.state == OVERDUE) is not (trip.state == OVERDUE):
        # Read again, now that what counts as overdue has changed.
        mirror = lock_and_read(raw(conn), policy, Sought(claims=frozenset(accounts)))
        mirror.touched.update(dict.fromkeys(accounts))
        mirror.write(raw(conn))
    notes = trip.notes(actor, row.number, {"invoice": row.number, "settled": row.settled})
    recorded = record_batch(
        conn,
        policy,
        accounts if notes else [],
        {account_id: Change(notes=notes) for account_id in accounts},
        actor=actor,
        fence=fence,
        world=world,
    )
    asked = tuple(intent for each in recorded for intent in each.intents)
    return InvoiceMoved(invoice_id, row.state, trip.state, trip.rules, asked)
