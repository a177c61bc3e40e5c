"""Which invoices still ask for money, how much that is together, and what customers have paid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.invoicing.invoices import FIND, Issued, Payment

# A payment or a credit note counts from its commit on: where an invoice stands (`invoice_states`) follows later.
OPEN: Final = text(
    f"SELECT f.* FROM ({FIND} WHERE i.kind = 'invoice' AND i.customer_id = :customer) f "
    "WHERE f.paid + f.credited < f.total ORDER BY f.due_on, f.number LIMIT :limit"
)
# All invoices at once: payments and credit notes are each added up in one pass, not invoice by invoice.
ASKING: Final = (
    "SELECT i.id, i.number, i.due_on, i.currency, i.total - coalesce(p.paid, 0) - coalesce(k.credited, 0) AS open, "
    f"i.due_on < CAST({clock.NOW} AT TIME ZONE coalesce(o.zone, c.zone) AS date) AS is_late "
    "FROM invoices i JOIN customers c ON c.id = i.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id "
    "LEFT JOIN (SELECT invoice_id, sum(amount) AS paid FROM invoice_payments GROUP BY invoice_id) p "
    "ON p.invoice_id = i.id "
    "LEFT JOIN (SELECT corrects, sum(total) AS credited FROM invoices WHERE kind = 'credit_note' GROUP BY corrects) k "
    "ON k.corrects = i.id WHERE i.kind = 'invoice'"
)
SUMS: Final = text(
    f"WITH asking AS ({ASKING}) "
    "SELECT currency, count(*), sum(open), count(*) FILTER (WHERE is_late), "
    "coalesce(sum(open) FILTER (WHERE is_late), 0) FROM asking WHERE open > 0 GROUP BY currency ORDER BY currency"
)
OVERDUE: Final = text(
    f"{FIND} WHERE i.id = ANY(ARRAY(SELECT a.id FROM ({ASKING}) a WHERE a.open > 0 AND a.is_late "
    "ORDER BY a.due_on, a.number LIMIT :limit)) ORDER BY i.due_on, i.number"
)


@dataclass(frozen=True, slots=True)
class Sum:
    """What is open in one currency, and how much of it is overdue."""

    currency: str
    count: int
    open: Decimal
    overdue_count: int
    overdue: Decimal


def of_customer(conn: Connection, customer_id: UUID, *, limit: int = 100) -> list[Issued]:
    """Return the invoices of a customer that ask for money, the one that is due first before the others."""
    return [Issued(*row) for row in conn.execute(OPEN, {"customer": customer_id, "limit": limit})]


def overdue(conn: Connection, *, limit: int = 100) -> list[Issued]:
    """Return the invoices of all customers that are overdue, longest first."""
    return [Issued(*row) for row in conn.execute(OVERDUE, {"limit": limit})]


def sums(conn: Connection) -> list[Sum]:
    """Return what all invoices together still ask for."""
    return [Sum(*row) for row in conn.execute(SUMS)]


def payments_of(conn: Connection, customer_id: UUID, limit: int) -> list[tuple[str, Payment]]:
    """Return what a customer has paid, newest first, each with its invoice's number."""
    find = (
        "SELECT i.number, p.id, p.amount, p.paid_on, p.source, p.source_key, p.by, p.note, p.recorded_at, p.reason "
        "FROM invoice_payments p JOIN invoices i ON i.id = p.invoice_id WHERE i.customer_id = :customer "
        "ORDER BY p.recorded_at DESC, p.id LIMIT :limit"
    )
    found = conn.execute(text(find), {"customer": customer_id, "limit": limit})
    return [(row[0], Payment(*row[1:])) for row in found]
