"""Invoices as they were issued, with what was paid and credited of them since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.invoicing.document import from_document
from engine.invoicing.invoice import Invoice
from storage import clock
from storage.invoicing.errors import UnknownInvoice

State = Literal["open", "partly_paid", "overdue", "paid", "credited", "credit_note"]


@dataclass(frozen=True, slots=True)
class Issued:
    """One invoice or credit note."""

    id: UUID
    customer_id: UUID
    kind: str
    number: str
    corrects: UUID | None
    first_on: date
    last_on: date
    revision: int
    issued_on: date
    due_on: date
    currency: str
    net: Decimal
    vat: Decimal
    total: Decimal
    iban: str | None
    reference: str | None
    document: str
    issued_at: datetime
    issued_by: str
    reason: str
    """Why a credit note was written."""
    paid: Decimal
    """Sum of its payments; above the total when a bank reported more."""
    credited: Decimal
    """Sum of its credit notes, which may take back a part."""
    credited_by: str | None
    """The number of the credit note that took the last of it back; None while something stands."""
    organisation: str
    today: date

    @property
    def open(self) -> Decimal:
        """Return what is still to be paid."""
        if self.kind != "invoice" or self.credited_by is not None:
            return Decimal("0.00")
        return max(self.total - self.paid - self.credited, Decimal("0.00"))

    @property
    def owed_back(self) -> Decimal:
        """Return what was paid beyond what stands: it belongs to the customer."""
        if self.kind != "invoice":
            return Decimal("0.00")
        return max(self.paid + self.credited - self.total, Decimal("0.00"))

    @property
    def state(self) -> State:
        """Say how it stands today."""
        if self.kind != "invoice":
            return "credit_note"
        if self.credited_by is not None:
            return "credited"
        if not self.open:
            return "paid"
        if self.due_on < self.today:
            return "overdue"
        return "partly_paid" if self.paid else "open"

    @property
    def invoice(self) -> Invoice:
        """Return it as it was issued."""
        return from_document(self.document)


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of an invoice; a negative one takes another back."""

    id: UUID
    amount: Decimal
    paid_on: date
    source: str
    source_key: str | None
    by: str
    note: str
    recorded_at: datetime
    reason: str
    """Why somebody booked it by hand."""


_OTHER: Final = {"paid", "credited", "credited_by", "organisation", "today"}
_OWN: Final = ", ".join(f"i.{name}" for name in Issued.__slots__ if name not in _OTHER)
# Of the invoice `i`, what credit notes took back: less than its total, and it stands.
CREDITED: Final = "(SELECT coalesce(sum(k.total), 0) FROM invoices k WHERE k.corrects = i.id)"
STANDS: Final = f"{CREDITED} < i.total"
FIND: Final = (
    f"SELECT {_OWN}, coalesce((SELECT sum(p.amount) FROM invoice_payments p WHERE p.invoice_id = i.id), 0) AS paid, "
    f"{CREDITED} AS credited, CASE WHEN NOT {STANDS} THEN (SELECT n.number FROM invoices n WHERE n.corrects = i.id "
    "ORDER BY n.issued_at DESC, n.number DESC LIMIT 1) END AS credited_by, c.name AS organisation, "
    f"CAST({clock.NOW} AT TIME ZONE coalesce(o.zone, c.zone) AS date) AS today "
    "FROM invoices i JOIN customers c ON c.id = i.customer_id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id"
)


def get(conn: Connection, invoice: UUID | str, *, customer_id: UUID | None = None) -> Issued:
    """Return one, by its id or number; of this customer alone, where one is given. Raises UnknownInvoice."""
    key = "id" if isinstance(invoice, UUID) else "number"
    find = f"{FIND} WHERE i.{key} = :key AND (CAST(:customer AS uuid) IS NULL OR i.customer_id = :customer)"
    row = conn.execute(text(find), {"key": invoice, "customer": customer_id}).one_or_none()
    if row is None:
        raise UnknownInvoice(invoice)
    return Issued(*row)


def of_month(conn: Connection, customer_id: UUID, month: date) -> Issued | None:
    """Return the newest invoice of an organisation's month, credited or not; None: there is none."""
    find = f"{FIND} WHERE i.kind = 'invoice' AND i.customer_id = :customer AND i.first_on = :month "
    row = conn.execute(
        text(find + "ORDER BY i.revision DESC LIMIT 1"), {"customer": customer_id, "month": month}
    ).one_or_none()
    return None if row is None else Issued(*row)


def listed(
    conn: Connection, *, customer_id: UUID | None = None, after: UUID | None = None, limit: int = 100
) -> list[Issued]:
    """Return invoices and credit notes, newest first, a page at a time; `after` is the last one of the page before."""
    given: dict[str, Any] = {"customer": customer_id, "after": after, "limit": limit}
    find = (
        f"{FIND} WHERE (CAST(:customer AS uuid) IS NULL OR i.customer_id = :customer) "
        "AND (CAST(:after AS uuid) IS NULL OR (i.issued_at, i.id) < "
        "(SELECT a.issued_at, a.id FROM invoices a WHERE a.id = :after)) "
        "ORDER BY i.issued_at DESC, i.id DESC LIMIT :limit"
    )
    return [Issued(*row) for row in conn.execute(text(find), given)]


def credit_notes(conn: Connection, invoice_id: UUID) -> list[Issued]:
    """Return the credit notes of an invoice, oldest first."""
    find = text(f"{FIND} WHERE i.corrects = :id ORDER BY i.issued_at, i.number")
    return [Issued(*row) for row in conn.execute(find, {"id": invoice_id})]


def taken(conn: Connection, invoice_id: UUID) -> dict[int, Decimal]:
    """Return what credit notes took back of each line of an invoice, by its position."""
    find = text(
        "SELECT coalesce(l.corrects_position, l.position), sum(l.amount) FROM invoice_lines l "
        "JOIN invoices k ON k.id = l.invoice_id WHERE k.corrects = :id GROUP BY 1"
    )
    return {row[0]: row[1] for row in conn.execute(find, {"id": invoice_id})}


def payments(conn: Connection, invoice_id: UUID) -> list[Payment]:
    """Return what was paid of an invoice, in the order in which it was booked."""
    find = (
        "SELECT id, amount, paid_on, source, source_key, by, note, recorded_at, reason FROM invoice_payments "
        "WHERE invoice_id = :id ORDER BY recorded_at, id"
    )
    return [Payment(*row) for row in conn.execute(text(find), {"id": invoice_id})]
