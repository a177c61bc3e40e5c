"""Marks invoices as paid, in full or in part: by hand, or by what a bank reports."""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final, Protocol
from uuid import UUID

from sqlalchemy import Connection, text

from engine.invoicing.invoice import MOST, is_money
from storage.invoicing import invoices, invoices_audit
from storage.invoicing.errors import PaymentRefused
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_reversed import find_reversed

HAND: Final = "hand"
ADD: Final = text(
    "INSERT INTO invoice_payments (invoice_id, amount, paid_on, source, source_key, by, note, reason) "
    "VALUES (:invoice, :amount, :paid_on, :source, :key, :by, :note, :reason)"
)
KEYED: Final = text("SELECT invoice_id, amount FROM invoice_payments WHERE source = :source AND source_key = :key")
IN_TURN: Final = text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))")
PART: Final = 500
LOCK_NAMED: Final = text(
    "SELECT id, reference FROM invoices WHERE kind = 'invoice' AND id IN ("
    "SELECT id FROM invoices WHERE reference = ANY(:references) UNION "
    "SELECT invoice_id FROM invoice_payments WHERE source = :source AND source_key = ANY(:reversed)) "
    "ORDER BY id FOR UPDATE"
)
BEFORE: Final = text(
    "SELECT p.source_key, p.amount, i.number FROM invoice_payments p "
    "JOIN invoices i ON i.id = p.invoice_id WHERE p.source = :source AND p.source_key = ANY(:keys)"
)
ADD_MANY: Final = text(
    "INSERT INTO invoice_payments (invoice_id, amount, paid_on, source, source_key, by, note) "
    "SELECT n.invoice, n.amount, n.paid_on, :source, n.key, :by, n.note FROM unnest(CAST(:invoices AS uuid[]), "
    "CAST(:amounts AS numeric[]), CAST(:days AS date[]), CAST(:keys AS text[]), CAST(:notes AS text[])) "
    "AS n(invoice, amount, paid_on, key, note) ON CONFLICT (source, source_key) DO NOTHING RETURNING source_key"
)


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
    @property
    def line(self) -> int: ...
    @property
    def reverses(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Unmatched:
    """A payment that belongs to no invoice as far as anybody can tell: for a person to look at."""

    transfer: Transfer
    why: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a bank's file."""

    booked: tuple[tuple[str, Decimal], ...]
    """Number and amount of each payment that was booked; a negative one is what the bank took back."""
    repeated: int
    """Payments that were booked before."""
    unmatched: tuple[Unmatched, ...]


def pay(
    conn: Connection,
    invoice_id: UUID,
    amount: Decimal | None,
    *,
    by: str,
    paid_on: date | None = None,
    note: str = "",
    reason: str = "",
    seen: Decimal | None = None,
    key: str | None = None,
) -> Issued:
    """Book a payment by hand, audited; None: all that is open.

    A negative amount takes back what was booked wrongly, or tells what was paid back to the customer.

    seen: what was paid when somebody looked; it is refused when something was booked since. key: of whoever books it,
    new for each payment: a second one of the same key is the same payment. Raises UnknownInvoice, PaymentRefused.
    """
    there = invoices.get(conn, invoice_id)
    own_key = None if key is None else f"{by}:{key}"
    if own_key is not None and _is_booked(conn, there, amount, own_key):
        return invoices.get(conn, invoice_id)
    wanted = there.open if amount is None else amount
    if not is_money(wanted):
        raise PaymentRefused(there.number, wanted, there.open, "it is no amount of money")
    action = "invoice_paid" if wanted >= 0 else "invoice_payment_taken_back"
    facts = {"invoice": there.number, "amount": str(wanted)}
    invoices_audit.note(conn, invoice_id, action, by=by, reason=reason, facts=facts)
    there = _locked(conn, invoice_id)
    if seen is not None and seen != there.paid:
        raise PaymentRefused(there.number, wanted, there.open, "something was booked since it was looked at")
    if there.kind != "invoice" or (there.credited_by is not None and not wanted < 0):
        raise PaymentRefused(there.number, wanted, there.open, "nothing is owed for it")
    if not wanted:
        raise PaymentRefused(there.number, wanted, there.open, "it is no amount of money")
    if wanted > there.open:
        raise PaymentRefused(there.number, wanted, there.open, "it is more than that")
    if there.paid + wanted < 0:
        raise PaymentRefused(there.number, wanted, there.open, f"only {there.paid} was paid so far")
    given = {"invoice": there.id, "amount": wanted, "paid_on": paid_on or there.today, "source": HAND, "key": own_key}
    conn.execute(ADD, {**given, "by": by, "note": note, "reason": reason})
    return invoices.get(conn, invoice_id)


def _is_booked(conn: Connection, there: Issued, amount: Decimal | None, key: str) -> bool:
    """Tell whether a payment by hand was booked before, having waited for whoever is booking it just now."""
    conn.execute(IN_TURN, {"key": key})
    before = conn.execute(KEYED, {"source": HAND, "key": key}).one_or_none()
    if before is None:
        return False
    if before.invoice_id != there.id or amount not in {None, before.amount}:
        why = f"its key was used before, for {before.amount}; a new payment has a new key"
        raise PaymentRefused(there.number, amount or there.open, there.open, why)
    return True


def import_transfers(conn: Connection, transfers: Sequence[Transfer], *, source: str, by: str) -> Imported:
    """Book what a bank reports, each payment once however often it is reported, in the caller's transaction.

    Money that came in is booked as it came, also where it is more than was open; what no reference leads to an invoice
    is left for a person. So is what the bank takes back, unless the payment is booked here that it took back.
    """
    named = {_reference_of(transfer) for transfer in transfers} - {None}
    # In one order for all: two files that name the same invoices wait for each other, and not in a ring.
    reversed_ = [transfer.reverses for transfer in transfers if transfer.reverses is not None]
    given = {"references": sorted(map(str, named)), "source": source, "reversed": reversed_}
    ids = {row.reference: row.id for row in conn.execute(LOCK_NAMED, given)}
    # The payment first, also where the file tells of it after its end.
    transfers = sorted(transfers, key=lambda transfer: transfer.reverses is not None)
    booked: list[tuple[str, Decimal]] = []
    repeated = 0
    unmatched: list[Unmatched] = []
    for part in _parts(transfers):
        keys = [transfer.identity for transfer in part]
        before = {row.source_key: row for row in conn.execute(BEFORE, {"source": source, "keys": keys})}
        there = _there(conn, ids, part, before, source)
        fits: list[tuple[Transfer, Issued]] = []
        for transfer, found in zip(part, there, strict=True):
            known = before.get(transfer.identity)
            if known is not None and known.amount == transfer.amount:
                repeated += 1
            elif known is not None:
                why = f"the bank told it before as {known.amount}, which is booked for `{known.number}`"
                unmatched.append(Unmatched(transfer, why))
            elif isinstance(found, str):
                unmatched.append(Unmatched(transfer, found))
            else:
                fits.append((transfer, found))
        added = _add(conn, fits, source, by)
        booked += [(found.number, transfer.amount) for transfer, found in fits if transfer.identity in added]
        repeated += len(fits) - len(added)
    return Imported(tuple(booked), repeated, tuple(unmatched))


def _parts(transfers: Sequence[Transfer]) -> Iterator[Sequence[Transfer]]:
    """Part them by so many, payments and what takes them back apart: a part is booked before the next is looked at."""
    for _, alike in itertools.groupby(transfers, lambda transfer: transfer.reverses is not None):
        same = list(alike)
        yield from (same[start : start + PART] for start in range(0, len(same), PART))


def _there(
    conn: Connection, ids: Mapping[str, UUID], transfers: Sequence[Transfer], before: Container[str], source: str
) -> Sequence[Issued | str]:
    """Return for each the invoice that it is for, as it stands now that it is locked, or why none is."""
    if transfers[0].reverses is not None:
        return find_reversed(conn, ids, transfers, before, source=source)
    wanted = {ids[name] for each in transfers if (name := _reference_of(each)) is not None and name in ids}
    rows = conn.execute(text(f"{invoices.FIND} WHERE i.id = ANY(:ids)"), {"ids": list(wanted)})
    there = {str(found.reference): found for found in (Issued(*row) for row in rows)}
    return [_of(there, transfer) for transfer in transfers]


def _of(there: Mapping[str, Issued], transfer: Transfer) -> Issued | str:
    """Return the invoice that a payment is for, or why none is."""
    reference = _reference_of(transfer)
    if reference is None:
        return "it names no reference"
    if transfer.amount >= MOST:
        return "no invoice is as large"
    found = there.get(reference)
    if found is None:
        return "no invoice has its reference"
    if found.currency != transfer.currency:
        return f"it is in {transfer.currency}, the invoice in {found.currency}"
    if found.iban is not None and transfer.account.replace(" ", "") != found.iban:
        return "it came to another account than the invoice asks for"
    if found.credited_by is not None:
        return f"its invoice was credited by {found.credited_by}"
    return found


def _add(conn: Connection, fits: Sequence[tuple[Transfer, Issued]], source: str, by: str) -> set[str]:
    """Book payments; return the identities of those that were not booked before."""
    columns = {
        "invoices": [found.id for _, found in fits],
        "amounts": [transfer.amount for transfer, _ in fits],
        "days": [transfer.booked_on for transfer, _ in fits],
        "keys": [transfer.identity for transfer, _ in fits],
        "notes": [transfer.payer or "" for transfer, _ in fits],
    }
    return set(conn.execute(ADD_MANY, {**columns, "source": source, "by": by}).scalars()) if fits else set()


def _reference_of(transfer: Transfer) -> str | None:
    return None if transfer.reference is None else transfer.reference.replace(" ", "").upper()


def _locked(conn: Connection, invoice_id: UUID) -> Issued:
    conn.execute(text("SELECT 1 FROM invoices WHERE id = :id FOR UPDATE"), {"id": invoice_id})
    return invoices.get(conn, invoice_id)
