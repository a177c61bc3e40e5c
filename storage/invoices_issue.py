"""Previews and issues invoices and credit notes: lines, then a number, then the invoice, in one transaction.

INVARIANT: a number is given out and used in the same transaction, under its counter's row lock, so the numbers of a
year have no gap, whatever is rolled back.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import date, timedelta
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from engine.invoicing import compute
from engine.invoicing.creditor import Creditor
from engine.invoicing.days import Days, month_of
from engine.invoicing.document import to_document
from engine.invoicing.invoice import Invoice
from engine.invoicing.reference import reference_of
from engine.invoicing.tariff import Tariff
from storage import clock, invoices, organisations
from storage.database import raw
from storage.errors_invoices import AlreadyIssued, MonthNotOver, NotCreditable
from storage.invoices import Issued
from storage.invoices_gather import tenants_of
from storage.organisations import Organisation
from storage.prices import PriceBook

TARIFFS_KEPT: Final = 50
NEXT: Final = text(
    "INSERT INTO invoice_number_counters (year, last) VALUES (:year, 1) "
    "ON CONFLICT (year) DO UPDATE SET last = invoice_number_counters.last + 1 RETURNING last"
)
LINES: Final = (
    "COPY invoice_lines (invoice_id, position, kind, text, tenant, first_on, last_on, quantity, unit, unit_price, "
    "amount, vat_percent) FROM STDIN"
)
FIELDS: Final = (
    "id, customer_id, kind, number, corrects, first_on, last_on, revision, issued_on, due_on, currency, net, vat, "
    "total, iban, reference, document, issued_at, issued_by"
)
ADD: Final = text(f"INSERT INTO invoices ({FIELDS}) VALUES ({', '.join(f':{name}' for name in FIELDS.split(', '))})")


class Billing:
    """Computes invoices; what many organisations share, such as prices over a month's days, is laid out once."""

    def __init__(self, creditor: Creditor) -> None:
        self.creditor = creditor
        self._book = PriceBook()
        self._tariffs: dict[tuple[Any, ...], Tariff] = {}

    def preview(self, conn: Connection, organisation: Organisation, first_on: date, last_on: date) -> Invoice:
        """Return what a period costs an organisation, both days within; of a running month, as if nothing changed.

        Prices stay so until this transaction ends.
        """
        tariff = self._tariff(conn, organisation, first_on, last_on)
        found = tenants_of(conn, organisation.customer_id, tariff.days)
        return compute.preview(
            found,
            tariff,
            organisation=organisation.name,
            creditor=self.creditor.party,
            debtor=organisation.party,
        )

    def issue(self, conn: Connection, customer_id: UUID, month: date, *, by: str) -> Issued | None:
        """Issue the invoice of a month that is over; None: there is nothing to pay for, and no number is used.

        month: any day of it. Raises UnknownCustomer, MonthNotOver, AlreadyIssued.
        """
        first_on, last_on = month_of(month.year, month.month)
        organisation = organisations.get(conn, customer_id)
        preview = self.preview(conn, organisation, first_on, last_on)
        now = clock.now(conn)
        if now < self._tariff(conn, organisation, first_on, last_on).days.bounds[-1]:
            raise MonthNotOver(first_on, organisation.zone)
        before = invoices.of_month(conn, customer_id, first_on)
        if before is not None and before.credited_by is None:
            raise AlreadyIssued(first_on, before.number)
        if not preview.total:
            return None
        today = now.astimezone(ZoneInfo(organisation.zone)).date()
        days = self.creditor.payment_days if organisation.payment_days is None else organisation.payment_days

        def numbered(number: str) -> Invoice:
            return replace(
                preview,
                number=number,
                iban=self.creditor.iban,
                reference=reference_of(number, self.creditor.iban),
                issued_on=today,
                due_on=today + timedelta(days=days),
            )

        more = {"customer_id": customer_id, "issued_at": now, "issued_by": by, "corrects": None}
        more["revision"] = 0 if before is None else before.revision + 1
        try:
            with conn.begin_nested():
                invoice_id = self._write(conn, preview, today.year, numbered, more)
        except IntegrityError as error:
            if "invoices_month" not in str(error.orig):
                raise
            raise AlreadyIssued(first_on, "another, at this moment") from error
        return invoices.get(conn, invoice_id)

    def credit(self, conn: Connection, invoice_id: UUID, *, by: str) -> Issued:
        """Take all of an invoice back by a credit note; its month may then be invoiced again. Raises NotCreditable."""
        conn.execute(text("SELECT 1 FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id})
        there = invoices.get(conn, invoice_id)
        if there.kind != "invoice":
            raise NotCreditable(there.number, "it is a credit note itself")
        if there.credited_by is not None:
            raise NotCreditable(there.number, f"`{there.credited_by}` has done so already")
        now = clock.now(conn)
        today = now.astimezone(ZoneInfo(organisations.get(conn, there.customer_id).zone)).date()
        invoice = there.invoice
        more = {"customer_id": there.customer_id, "issued_at": now, "issued_by": by, "corrects": there.id}
        more["revision"] = there.revision
        made = self._write(conn, invoice, today.year, lambda number: compute.credit(invoice, number, today), more)
        return invoices.get(conn, made)

    def _tariff(self, conn: Connection, organisation: Organisation, first_on: date, last_on: date) -> Tariff:
        prices = self._book.read(conn)
        key = (self._book.version, organisation.zone, organisation.country, first_on, last_on)
        if key not in self._tariffs:
            if len(self._tariffs) >= TARIFFS_KEPT:
                self._tariffs.clear()
            self._tariffs[key] = Tariff(Days.of(first_on, last_on, organisation.zone), prices, organisation.country)
        return self._tariffs[key]

    def _write(self, conn: Connection, lines_of: Invoice, year: int, numbered: Any, more: dict[str, Any]) -> UUID:
        """Write lines, take a number, write the invoice: nobody waits for another's lines, only for their number."""
        made = uuid.uuid4()
        with raw(conn).cursor().copy(LINES) as copy:
            for position, line in enumerate(lines_of.lines, 1):
                copy.write_row(
                    (
                        made,
                        position,
                        line.kind.value,
                        line.text,
                        line.tenant,
                        line.first_on,
                        line.last_on,
                        line.quantity,
                        line.unit,
                        line.unit_price,
                        line.amount,
                        line.vat_percent,
                    )
                )
        count: int = conn.execute(NEXT, {"year": year}).scalar_one()
        invoice: Invoice = numbered(self.creditor.number(year, count))
        shared = {name: getattr(invoice, name) for name in FIELDS.split(", ") if hasattr(invoice, name)}
        given = {**shared, **more, "id": made, "kind": invoice.kind.value, "document": to_document(invoice)}
        conn.execute(ADD, given)
        return made
