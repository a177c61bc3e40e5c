"""Marks invoices as paid, in full or in part: by hand, or by what a bank reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from engine.invoicing.invoice import CENT
from storage import invoices
from storage.errors_invoices import PaymentRefused
from storage.invoices import Issued

HAND: Final = "hand"
MOST: Final = Decimal(100_000_000)
"""No amount of an invoice reaches it: `numeric(10,2)`."""
ADD: Final = text(
    "INSERT INTO invoice_payments (invoice_id, amount, paid_on, source, source_key, by, note) "
    "VALUES (:invoice, :amount, :paid_on, :source, :key, :by, :note) ON CONFLICT (source, source_key) DO NOTHING"
)
BY_REFERENCE: Final = text("SELECT id FROM invoices WHERE reference = :reference AND kind = 'invoice'")


class Transfer(Protocol):
    """What a bank reports of one payment; see `jobs.invoices.bank_file`."""

    @property
    def identity(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def booked_on(self) -> date: ...
    @property
    def amount(self) -> Decimal: ...
    @property
    def currency(self) -> str: ...
    @property
    def reference(self) -> str | None: ...
    @property
    def payer(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A payment that belongs to no invoice as far as anybody can tell: for a person to look at."""

    transfer: Transfer
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a bank's file."""

    booked: tuple[tuple[str, Decimal], ...]
    """Number and amount of each payment that was booked."""
    repeated: int
    """Payments that were booked before."""
    unmatched: tuple[Unmatched, ...]


def pay(
    conn: Connection, invoice_id: UUID, amount: Decimal | None, *, by: str, paid_on: date | None = None, note: str = ""
) -> Issued:
    """Book a payment by hand; None: all that is open. A negative amount takes back what was booked wrongly.

    Raises UnknownInvoice, PaymentRefused.
    """
    there = _locked(conn, invoice_id)
    wanted = there.open if amount is None else amount
    if there.kind != "invoice" or there.credited_by is not None:
        raise PaymentRefused(there.number, wanted, there.open, "nothing is owed for it")
    if not wanted.is_finite() or not wanted or wanted.copy_abs() >= MOST or wanted != wanted.quantize(CENT):
        raise PaymentRefused(there.number, wanted, there.open, "it is no amount of money")
    if wanted > there.open:
        raise PaymentRefused(there.number, wanted, there.open, "it is more than that")
    if there.paid + wanted < 0:
        raise PaymentRefused(there.number, wanted, there.open, f"only {there.paid} was paid so far")
    given = {"invoice": there.id, "amount": wanted, "paid_on": paid_on or there.today, "source": HAND, "key": None}
    conn.execute(ADD, {**given, "by": by, "note": note})
    return invoices.get(conn, invoice_id)


def import_transfers(conn: Connection, transfers: Sequence[Transfer], *, source: str, by: str) -> Imported:
    """Book what a bank reports, each payment once however often it is reported, in the caller's transaction.

    Money that came in is booked as it came, also where it is more than was open; what no reference leads to an invoice
    is left for a person.
    """
    booked: list[tuple[str, Decimal]] = []
    repeated = 0
    unmatched: list[Unmatched] = []
    for transfer in transfers:
        found = _of(conn, transfer)
        if isinstance(found, str):
            unmatched.append(Unmatched(transfer, found))
            continue
        given = {"invoice": found.id, "amount": transfer.amount, "paid_on": transfer.booked_on, "source": source}
        made = conn.execute(ADD, {**given, "key": transfer.identity, "by": by, "note": transfer.payer or ""})
        if made.rowcount:
            booked.append((found.number, transfer.amount))
        else:
            repeated += 1
    return Imported(tuple(booked), repeated, tuple(unmatched))


def _of(conn: Connection, transfer: Transfer) -> Issued | str:
    """Return the invoice that a payment is for, or why none is."""
    if transfer.reference is None:
        return "it names no reference"
    if transfer.amount >= MOST:
        return "no invoice is as large"
    found = conn.execute(BY_REFERENCE, {"reference": transfer.reference.replace(" ", "").upper()}).scalar_one_or_none()
    if found is None:
        return "no invoice has its reference"
    there = _locked(conn, found)
    if there.currency != transfer.currency:
        return f"it is in {transfer.currency}, the invoice in {there.currency}"
    if there.iban is not None and transfer.account.replace(" ", "") != there.iban:
        return "it came to another account than the invoice asks for"
    if there.credited_by is not None:
        return f"its invoice was credited by {there.credited_by}"
    return there


def _locked(conn: Connection, invoice_id: UUID) -> Issued:
    conn.execute(text("SELECT 1 FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id})
    return invoices.get(conn, invoice_id)
