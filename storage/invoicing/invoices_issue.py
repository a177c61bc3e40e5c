"""Previews and issues invoices and credit notes: lines, then a number, then the invoice, in one transaction.

INVARIANT: a number is given out and used in the same transaction, under its counter's row lock, so the numbers of a
year have no gap, whatever is rolled back.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from engine.invoicing import compute, crediting
from engine.invoicing.creditor import Creditor
from engine.invoicing.days import Days, month_of
from engine.invoicing.document import to_document
from engine.invoicing.invoice import MOST, Invoice
from engine.invoicing.metered import Prices, Tenant
from engine.invoicing.reference import reference_of
from engine.invoicing.tariff import Tariff
from engine.invoicing.texts import written_in
from storage import clock
from storage.database import raw
from storage.invoicing import invoices, invoices_audit, organisations, reminders
from storage.invoicing.errors import (
    AlreadyIssued,
    MonthNotOver,
    NotCreditable,
    TooLargeToInvoice,
    VatNumberMissing,
)
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_gather import tenants_of
from storage.invoicing.organisations import Organisation
from storage.invoicing.prices import PriceBook

TARIFFS_KEPT: Final = 50
MOST_QUANTITY: Final = Decimal(10_000_000_000)
NEXT: Final = text(
    "INSERT INTO invoice_number_counters (year, last) VALUES (:year, :count) "
    "ON CONFLICT (year) DO UPDATE SET last = invoice_number_counters.last + :count RETURNING last"
)
LINE_FIELDS: Final = (
    "kind",
    "text",
    "tenant",
    "first_on",
    "last_on",
    "quantity",
    "unit",
    "unit_price",
    "amount",
    "vat_percent",
)
_LINE_VALUES: Final = attrgetter(*LINE_FIELDS)
LINES: Final = f"COPY invoice_lines (invoice_id, position, {', '.join(LINE_FIELDS)}, corrects_position) FROM STDIN"
SHARED: Final = (
    "kind",
    "number",
    "first_on",
    "last_on",
    "issued_on",
    "due_on",
    "currency",
    "net",
    "vat",
    "total",
    "iban",
    "reference",
)
FIELDS: Final = (*SHARED, "id", "customer_id", "corrects", "revision", "document", "issued_at", "issued_by", "reason")
ADD: Final = text(f"INSERT INTO invoices ({', '.join(FIELDS)}) VALUES ({', '.join(f':{name}' for name in FIELDS)})")


@dataclass(frozen=True, slots=True)
class Made:
    """What was issued."""

    id: UUID
    total: Decimal


@dataclass(frozen=True, slots=True)
class _Draft:
    """An invoice or credit note that has everything but its number."""

    id: UUID
    customer_id: UUID
    year: int
    lines: Invoice
    """What its lines are taken from."""
    numbered: Callable[[str], Invoice]
    revision: int
    corrects: UUID | None
    reason: str = ""
    positions: tuple[int, ...] = ()
    """Of a credit note's lines: those of the invoice that they take back."""


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
        prices = self._book.read(conn)
        (found,) = self._previews(conn, prices, [organisation], first_on, last_on)
        return found

    def issue(self, conn: Connection, customer_id: UUID, month: date, *, by: str) -> Issued | None:
        """Issue the invoice of a month that is over; None: there is nothing to pay for, and no number is used.

        month: any day of it. Raises UnknownCustomer, MonthNotOver, AlreadyIssued, VatNumberMissing, TooLargeToInvoice.
        """
        first_on, _ = month_of(month.year, month.month)
        organisation = organisations.get(conn, customer_id)
        before = invoices.of_month(conn, customer_id, first_on)
        if before is not None and before.credited_by is None:
            raise AlreadyIssued(first_on, before.number)
        revision = 0 if before is None else before.revision + 1
        try:
            with conn.begin_nested():
                (made,) = self.issue_many(conn, [organisation], month, by=by, revision=revision)
        except IntegrityError as error:
            if "invoices_month" not in str(error.orig):
                raise
            raise AlreadyIssued(first_on, "another, at this moment") from error
        return None if made is None else invoices.get(conn, made.id)

    def issue_many(
        self, conn: Connection, found: Sequence[Organisation], month: date, *, by: str, revision: int = 0
    ) -> list[Made | None]:
        """Issue a month that is over for organisations that have no invoice of it; None: nothing to pay for.

        All of them or none; the database refuses a second invoice of a month. Raises MonthNotOver, VatNumberMissing,
        TooLargeToInvoice.
        """
        prices, now = self._book.read(conn), clock.now(conn)
        previews = self._previews(conn, prices, found, *month_of(month.year, month.month))
        drafts: list[_Draft] = []
        for organisation, preview in zip(found, previews, strict=True):
            if now < self._tariff(prices, organisation, preview.first_on, preview.last_on).days.bounds[-1]:
                raise MonthNotOver(preview.first_on, organisation.zone)
            if preview.vat and self.creditor.party.vat_id is None:
                raise VatNumberMissing
            if preview.total:
                _check(preview)
                drafts.append(self._draft(preview, organisation, now, revision))
        made = {draft.customer_id: Made(draft.id, draft.lines.total) for draft in drafts}
        self._write(conn, drafts, now, by)
        return [made.get(organisation.customer_id) for organisation in found]

    def credit(
        self,
        conn: Connection,
        invoice_id: UUID,
        *,
        by: str,
        reason: str = "",
        wish: Mapping[int, Decimal | None] | None = None,
    ) -> Issued:
        """Take an invoice back by a credit note, audited and mailed; its month may be invoiced anew once all of it is.

        wish: of which lines, by their positions from 1, an amount or None for all that is left of it; None: all of all.
        Raises UnknownInvoice, NotCreditable.
        """
        there = invoices.get(conn, invoice_id)
        facts = {"invoice": there.number, "total": str(there.total)} | _parts(wish)
        invoices_audit.note(conn, invoice_id, "invoice_credited", by=by, reason=reason, facts=facts)
        conn.execute(text("SELECT 1 FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id})
        there = invoices.get(conn, invoice_id)
        if there.kind != "invoice":
            raise NotCreditable(there.number, "it is a credit note itself")
        if there.credited_by is not None:
            raise NotCreditable(there.number, f"`{there.credited_by}` has done so already")
        now = clock.now(conn)
        today = now.astimezone(ZoneInfo(organisations.get(conn, there.customer_id).zone)).date()
        invoice, taken = there.invoice, invoices.taken(conn, invoice_id)
        try:
            wanted = crediting.wanted_of(invoice, taken, wish)
        except crediting.LineNotCreditable as refused:
            raise NotCreditable(there.number, str(refused)) from None
        if not wanted:
            raise NotCreditable(there.number, "no line was named")

        def numbered(number: str) -> Invoice:
            return crediting.credit(invoice, number, today, wanted, taken)

        about = (there.customer_id, today.year, numbered(""), numbered, there.revision, there.id, reason)
        draft = _Draft(uuid.uuid4(), *about, tuple(wanted))
        self._write(conn, [draft], now, by)
        reminders.ask_for_credit_note(conn, draft.id)
        return invoices.get(conn, draft.id)

    def _draft(self, preview: Invoice, organisation: Organisation, now: datetime, revision: int) -> _Draft:
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

        return _Draft(uuid.uuid4(), organisation.customer_id, today.year, preview, numbered, revision, None)

    def _previews(
        self, conn: Connection, prices: Prices, found: Sequence[Organisation], first_on: date, last_on: date
    ) -> list[Invoice]:
        by_zone: dict[str, list[Organisation]] = {}
        for organisation in found:
            by_zone.setdefault(organisation.zone, []).append(organisation)
        tenants: dict[UUID, list[Tenant]] = {}
        for zone in by_zone.values():
            days = self._tariff(prices, zone[0], first_on, last_on).days
            tenants |= tenants_of(conn, [each.customer_id for each in zone], days)
        return [
            compute.preview(
                tenants[each.customer_id],
                self._tariff(prices, each, first_on, last_on),
                organisation=each.name,
                creditor=self.creditor.party,
                debtor=each.party,
                language=written_in(each.language),
            )
            for each in found
        ]

    def _tariff(self, prices: Prices, organisation: Organisation, first_on: date, last_on: date) -> Tariff:
        key = (self._book.version, organisation.zone, organisation.country, first_on, last_on)
        if key not in self._tariffs:
            if len(self._tariffs) >= TARIFFS_KEPT:
                self._tariffs.clear()
            self._tariffs[key] = Tariff(Days.of(first_on, last_on, organisation.zone), prices, organisation.country)
        return self._tariffs[key]

    def _write(self, conn: Connection, drafts: Sequence[_Draft], now: datetime, by: str) -> None:
        """Write lines, take numbers, write invoices: nobody waits for another's lines, only for their numbers."""
        with raw(conn).cursor().copy(LINES) as copy:
            for draft in drafts:
                for position, line in enumerate(draft.lines.lines, 1):
                    corrected = draft.positions[position - 1] if draft.positions else None
                    copy.write_row((draft.id, position, *_LINE_VALUES(line), corrected))
        rows = []
        for year in sorted({draft.year for draft in drafts}):
            of_year = [draft for draft in drafts if draft.year == year]
            last: int = conn.execute(NEXT, {"year": year, "count": len(of_year)}).scalar_one()
            for count, draft in enumerate(of_year, last - len(of_year) + 1):
                invoice = draft.numbered(self.creditor.number(year, count))
                shared = {name: getattr(invoice, name) for name in SHARED}
                own: dict[str, Any] = {
                    "id": draft.id,
                    "customer_id": draft.customer_id,
                    "corrects": draft.corrects,
                    "issued_by": by,
                    "reason": draft.reason,
                }
                own |= {"revision": draft.revision, "issued_at": now, "document": to_document(invoice)}
                rows.append({**shared, **own})
        if rows:
            conn.execute(ADD, rows)


def _check(preview: Invoice) -> None:
    """Let nothing through that the columns cannot hold. Raises TooLargeToInvoice."""
    for line in preview.lines:
        if line.quantity >= MOST_QUANTITY:
            raise TooLargeToInvoice(preview.organisation, f"the quantity of `{line.text}`", line.quantity)
    if preview.total >= MOST:
        raise TooLargeToInvoice(preview.organisation, "the total", preview.total)


def _parts(wish: Mapping[int, Decimal | None] | None) -> dict[str, str]:
    """Return what the audit says of a credit note of a part."""
    parts = sorted((wish or {}).items())
    return {"lines": ", ".join(f"{at}: {'the rest' if part is None else part}" for at, part in parts)} if parts else {}
