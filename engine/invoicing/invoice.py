"""The invoice as one immutable record, which the database keeps, the PDF shows and the XML carries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum

from engine.languages import ENGLISH

CENT = Decimal("0.01")
UNIT = Decimal("0.00001")
MOST = Decimal(100_000_000)
"""No amount of an invoice reaches it, nor does one of a payment."""


class InvoiceKind(StrEnum):
    """What a document is to the accountant who books it."""

    INVOICE = "invoice"
    CREDIT_NOTE = "credit_note"


class LineKind(StrEnum):
    """What a line charges for; lines are sorted in this order."""

    SETUP = "setup"
    MONTHLY = "monthly"
    SKILL = "skill"
    USAGE = "usage"


@dataclass(frozen=True, slots=True)
class Party:
    """Who sends an invoice or owes it, as it is printed. `country` is ISO 3166-1 alpha-2."""

    name: str
    street: str
    house_number: str
    postal_code: str
    town: str
    country: str
    email: str | None = None
    vat_id: str | None = None

    @property
    def has_place(self) -> bool:
        """Return whether it names a place: without one of its recipient an invoice is none for the tax office.

        Swiss VAT act, art. 26. A street is not asked for: not every village has them.
        """
        return bool(self.postal_code.strip() and self.town.strip())


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `quantity` × `unit_price` = `amount`, rounded once, half up to the cent.

    `first_on` and `last_on` are both billed days, in the organisation's zone. `tenant` is None for what is charged once
    for the organisation.
    """

    kind: LineKind
    text: str
    tenant: str | None
    first_on: date
    last_on: date
    quantity: Decimal
    unit: str
    unit_price: Decimal
    amount: Decimal
    vat_percent: Decimal


@dataclass(frozen=True, slots=True)
class VatLine:
    """The tax on all lines of one rate: `net` × `percent` / 100, rounded once, half up to the cent."""

    percent: Decimal
    net: Decimal
    vat: Decimal


@dataclass(frozen=True, slots=True)
class Invoice:
    """A preview or an issued invoice or credit note, which never changes again.

    A preview has None for `number`, `issued_on`, `due_on` and `reference`. `reference` is a structured creditor
    reference (ISO 11649) or a QR reference, `iban` what it is paid to. `corrects` is the number of the invoice that a
    credit note takes back; its amounts are positive too, `kind` says which way the money goes. `language` is what it is
    written in, fixed with all else when it is issued: whatever its customer reads later, it stays the same paper.

    INVARIANT: `net` is the sum of the lines, `vat` the sum of the tax lines, `total` their sum.
    """

    kind: InvoiceKind
    number: str | None
    corrects: str | None
    organisation: str
    creditor: Party
    debtor: Party
    iban: str | None
    reference: str | None
    currency: str
    first_on: date
    last_on: date
    issued_on: date | None
    due_on: date | None
    lines: tuple[Line, ...]
    vat_lines: tuple[VatLine, ...]
    net: Decimal
    vat: Decimal
    total: Decimal
    language: str = ENGLISH


def to_cents(amount: Decimal) -> Decimal:
    """Round `amount` half up to the cent: the one place where an invoice rounds."""
    return amount.quantize(CENT, rounding=ROUND_HALF_UP)


def is_money(amount: Decimal) -> bool:
    """Tell whether an amount, of either sign, is in cents and such that an invoice can hold it.

    Asked before anything is computed with it: what people send may be `NaN`, or have a billion digits.
    """
    return amount.is_finite() and amount.copy_abs() < MOST and amount == amount.quantize(CENT)
