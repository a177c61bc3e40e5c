"""Credit notes: all of an issued invoice, some of its lines, or an amount on a line; never more than is left of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

from engine.invoicing.compute import vat_of
from engine.invoicing.invoice import UNIT, Invoice, InvoiceKind, Line, VatLine, is_money

NOTHING: Final[Mapping[int, Decimal]] = {}
ZERO: Final = Decimal("0.00")


class LineNotCreditable(Exception):
    """Of this line so much cannot be credited."""

    def __init__(self, position: int, why: str) -> None:
        self.position = position
        self.why = why
        super().__init__(f"line {position}: {why}")


def left_of(invoice: Invoice, taken: Mapping[int, Decimal] = NOTHING) -> dict[int, Decimal]:
    """Return what is left of each line, by its position from 1. taken: what credit notes took back of them so far."""
    return {at: line.amount - taken.get(at, ZERO) for at, line in enumerate(invoice.lines, 1)}


def wanted_of(
    invoice: Invoice, taken: Mapping[int, Decimal], wish: Mapping[int, Decimal | None] | None
) -> dict[int, Decimal]:
    """Return what is credited of each line. wish: an amount by line, None for all that is left; None: of all lines.

    Raises LineNotCreditable.
    """
    left = left_of(invoice, taken)
    if wish is None:
        return {at: amount for at, amount in left.items() if amount or not taken}
    found = {}
    for at, amount in sorted(wish.items()):
        if at not in left:
            raise LineNotCreditable(at, f"the invoice has {len(left)} lines")
        found[at] = left[at] if amount is None else amount
        if not is_money(found[at]) or found[at] <= 0:
            raise LineNotCreditable(at, "nothing is left of it" if amount is None else f"`{amount}` is no amount")
        if found[at] > left[at]:
            raise LineNotCreditable(at, f"{found[at]} is more than the {left[at]} that is left of it")
    return found


def credit(
    invoice: Invoice,
    number: str,
    issued_on: date,
    wanted: Mapping[int, Decimal] | None = None,
    taken: Mapping[int, Decimal] = NOTHING,
) -> Invoice:
    """Return the credit note of what is wanted of each line, as `wanted_of` says; None: all of an untouched invoice.

    Nothing is to be paid for it, so none is due. The tax is what that of the invoice falls by: whatever is credited in
    how many parts, all notes together take back the tax of the invoice to the cent.
    """
    wanted = left_of(invoice, taken) if wanted is None else wanted
    lines = tuple(_line(invoice.lines[at - 1], amount) for at, amount in wanted.items())
    before = left_of(invoice, taken)
    after = {at: amount - wanted.get(at, ZERO) for at, amount in before.items()}
    vat_lines = _fall(_taxed(invoice, before), _taxed(invoice, after), {line.vat_percent for line in lines})
    net, vat = sum((line.amount for line in lines), ZERO), sum((each.vat for each in vat_lines), ZERO)
    return replace(
        invoice,
        kind=InvoiceKind.CREDIT_NOTE,
        number=number,
        corrects=invoice.number,
        reference=None,
        iban=None,
        issued_on=issued_on,
        due_on=issued_on,
        lines=lines,
        vat_lines=vat_lines,
        net=net,
        vat=vat,
        total=net + vat,
    )


def _line(line: Line, amount: Decimal) -> Line:
    if amount == line.amount:
        return line
    return replace(line, quantity=Decimal(1), unit="once", unit_price=amount.quantize(UNIT), amount=amount)


def _taxed(invoice: Invoice, left: Mapping[int, Decimal]) -> dict[Decimal, VatLine]:
    """Return the tax that an invoice of what is left would have, by its rate."""
    lines = [replace(line, amount=left[at]) for at, line in enumerate(invoice.lines, 1)]
    return {each.percent: each for each in vat_of(lines)}


def _fall(
    before: Mapping[Decimal, VatLine], after: Mapping[Decimal, VatLine], rates: set[Decimal]
) -> tuple[VatLine, ...]:
    """Return what the tax of each rate falls by."""
    return tuple(
        VatLine(rate, before[rate].net - after[rate].net, before[rate].vat - after[rate].vat) for rate in sorted(rates)
    )
