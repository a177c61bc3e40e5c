"""Which invoices still ask for money, how much that is together, and what customers have paid."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import clock
from storage.invoicing.invoices import FIND, Issued, Payment

# A payment or a credit note counts from its commit on: where an invoice stands (`invoice_states`) follows later.
OPEN: Final = (
    f"SELECT f.* FROM ({FIND} WHERE i.kind = 'invoice' "
    "AND (CAST(:customer AS uuid) IS NULL OR i.customer_id = :customer) "
    ") f WHERE f.paid + f.credited < f.total"
)
# All invoices at once: payments and credit notes are each added up in one pass, not invoice by invoice.
SUMS: Final = text(
    "WITH asking AS (SELECT i.currency, i.total - coalesce(p.paid, 0) - coalesce(k.credited, 0) AS open, "
    f"i.due_on < CAST({clock.NOW} AT TIME ZONE coalesce(o.zone, c.zone) AS date) AS is_late "
    "FROM invoices i JOIN customers c ON c.id = i.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id "
    "LEFT JOIN (SELECT invoice_id, sum(amount) AS paid FROM invoice_payments GROUP BY invoice_id) p "
    "ON p.invoice_id = i.id "
    "LEFT JOIN (SELECT corrects, sum(total) AS credited FROM invoices WHERE kind = 'credit_note' GROUP BY corrects) k "
    "ON k.corrects = i.id WHERE i.kind = 'invoice') "
    "SELECT currency, count(*), sum(open), count(*) FILTER (WHERE is_late), "
    "coalesce(sum(open) FILTER (WHERE is_late), 0) FROM asking WHERE open > 0 GROUP BY currency ORDER BY currency"
)


@dataclass(frozen=True, slots=True)
class Sum:
    """What is open in one currency, and how much of it is overdue."""

    currency: str
    count: int
    open: Decimal
    overdue_count: int
    overdue: Decimal


def listed(
    conn: Connection, *, customer_id: UUID | None = None, overdue: bool = False, limit: int = 100
) -> list[Issued]:
    """Return invoices that ask for money, the one that is due first before the others; overdue: those alone."""
    more = " AND f.due_on < f.today" if overdue else ""
    given: dict[str, Any] = {"customer": customer_id, "limit": limit}
    find = f"{OPEN}{more} ORDER BY f.due_on, f.number LIMIT :limit"
    return [Issued(*row) for row in conn.execute(text(find), given)]


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
