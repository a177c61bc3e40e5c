"""Computes an invoice: the same events, prices and period give the same invoice for ever, to the byte.

Which days count, and how sums are rounded, is in `policy/README.md` under "Invoices".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from operator import or_
from typing import Final, NamedTuple

from engine.invoicing.days import Days
from engine.invoicing.invoice import CENT, UNIT, Invoice, InvoiceKind, Line, LineKind, Party, VatLine, to_cents
from engine.invoicing.metered import Switch, Tenant, UsageKind, stretches
from engine.invoicing.tariff import Tariff
from engine.invoicing.texts import TEXTS, LineTexts
from engine.languages import ENGLISH

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
ORDER: Final = {kind: number for number, kind in enumerate(LineKind)}
USAGE_UNITS: Final = {UsageKind.MESSAGES: "message", UsageKind.MODEL_SPEND: "unit"}


@dataclass(frozen=True, slots=True)
class Lived:
    """What became of one tenant in a period, as masks of its days."""

    alive: int
    """It existed at any time in them."""
    billed: int
    """And was not suspended during all of that time: a suspension from noon on costs the day, so does a resumption."""


class _Sold(NamedTuple):
    quantity: Decimal
    unit: str
    price: Decimal
    vat: Decimal


def preview(
    tenants: Iterable[Tenant],
    tariff: Tariff,
    *,
    organisation: str,
    creditor: Party,
    debtor: Party,
    language: str = ENGLISH,
) -> Invoice:
    """Compute what a period costs an organisation. The tariff holds its days, its zone and the prices.

    language: one of `engine.invoicing.texts`.
    """
    texts = TEXTS[language]
    lines = sorted((line for tenant in tenants for line in lines_of(tenant, tariff, texts)), key=_place)
    vat_lines = vat_of(lines)
    net = sum((line.amount for line in lines), ZERO.quantize(CENT))
    vat = sum((each.vat for each in vat_lines), ZERO.quantize(CENT))
    return Invoice(
        kind=InvoiceKind.INVOICE,
        number=None,
        corrects=None,
        organisation=organisation,
        creditor=creditor,
        debtor=debtor,
        iban=None,
        reference=None,
        currency=tariff.currency,
        first_on=tariff.days.first_on,
        last_on=tariff.days.last_on,
        issued_on=None,
        due_on=None,
        lines=tuple(lines),
        vat_lines=vat_lines,
        net=net,
        vat=vat,
        total=net + vat,
        language=language,
    )


def lived(tenant: Tenant, days: Days) -> Lived:
    """Return the days on which a tenant lived, and those of them that are billed."""
    start, end = tenant.created_at, tenant.deleted_at
    alive = days.touched(start, end)
    if not alive or not tenant.suspensions:
        return Lived(alive, alive)
    billed = 0
    at = start
    for since, until in stretches(tenant.suspensions):
        if since > at:
            billed |= days.touched(at, since if end is None else min(since, end))
        if until is None:
            return Lived(alive, billed & alive)
        at = max(at, until)
    billed |= days.touched(at, end)
    return Lived(alive, billed & alive)


def lines_of(tenant: Tenant, tariff: Tariff, texts: LineTexts = TEXTS[ENGLISH]) -> Iterator[Line]:
    """Return what one tenant is charged for."""
    days = tariff.days
    there = lived(tenant, days)
    if created := days.day_of(tenant.created_at):
        text = texts.setup.format(tenant.name)
        for mask, price, vat in tariff.setup:
            if created & mask and price:
                yield _line(LineKind.SETUP, text, tenant, days, created, _Sold(ONE, "once", price, vat))
    if there.billed:
        yield from _monthly_lines(tenant, tariff, there.billed, texts)
        yield from _skill_lines(tenant, tariff, there.billed, texts)
        yield from _usage_lines(tenant, tariff, there.billed, texts)
    if tenant.late:
        yield from _late_lines(tenant, tariff, texts)


def vat_of(lines: Sequence[Line]) -> tuple[VatLine, ...]:
    """Return the tax of each rate, lowest first: rounded once, on the sum of its lines."""
    nets: dict[Decimal, Decimal] = {}
    for line in lines:
        nets[line.vat_percent] = nets.get(line.vat_percent, ZERO) + line.amount
    return tuple(VatLine(percent, nets[percent], to_cents(nets[percent] * percent / 100)) for percent in sorted(nets))


def _monthly_lines(tenant: Tenant, tariff: Tariff, billed: int, texts: LineTexts) -> Iterator[Line]:
    """The fee of a whole month, or the month's price of a day for each day.

    A day costs the fee divided by the days of its month, rounded half up to 0.00001.
    """
    for mask, length, fee, vat in tariff.monthly:
        found = billed & mask
        if not (found and fee):
            continue
        count = found.bit_count()
        daily = (fee / length).quantize(UNIT, ROUND_HALF_UP)
        sold = _Sold(ONE, "month", fee, vat) if count == length else _Sold(Decimal(count), "day", daily, vat)
        yield _line(LineKind.MONTHLY, texts.monthly.format(tenant.name), tenant, tariff.days, found, sold)


def _skill_lines(tenant: Tenant, tariff: Tariff, billed: int, texts: LineTexts) -> Iterator[Line]:
    """Each skill counts the billed days on which it was on at any time while the tenant lived."""
    for skill in sorted(tenant.skills):
        prices = tariff.of_skill(skill)
        on = _on(tenant, tenant.skills[skill], tariff.days) & billed if prices else 0
        for mask, price, vat in prices if on else ():
            if (found := on & mask) and price:
                sold = _Sold(Decimal(found.bit_count()), "day", price, vat)
                yield _line(LineKind.SKILL, texts.skill.format(skill, tenant.name), tenant, tariff.days, found, sold)


def _on(tenant: Tenant, switches: Sequence[Switch], days: Days) -> int:
    start, end = tenant.created_at, tenant.deleted_at
    found = 0
    for since, until in stretches(switches):
        found |= days.touched(max(since, start), _earlier(until, end))
    return found


def _earlier(one: datetime | None, other: datetime | None) -> datetime | None:
    return one if other is None else other if one is None else min(one, other)


def _usage_lines(tenant: Tenant, tariff: Tariff, billed: int, texts: LineTexts) -> Iterator[Line]:
    days = tariff.days
    for kind in UsageKind if tenant.usage else ():
        told = [(days.within(each.used_on, each.used_on), each.quantity) for each in tenant.usage if each.kind == kind]
        for mask, price, vat in tariff.of_usage(kind):
            counted = [(day, quantity) for day, quantity in told if day & billed & mask]
            quantity = sum((quantity for _, quantity in counted), ZERO)
            if not (quantity and price):
                continue
            found = reduce(or_, (day for day, _ in counted))
            sold = _Sold(_shortest(quantity), USAGE_UNITS[kind], price, vat)
            yield _line(LineKind.USAGE, texts.usage[kind].format(tenant.name), tenant, days, found, sold)


def _late_lines(tenant: Tenant, tariff: Tariff, texts: LineTexts) -> Iterator[Line]:
    """Usage of earlier months counts as it would have there: at their prices and VAT, on days that were billed."""
    for month in sorted({each.used_on.replace(day=1) for each in tenant.late}):
        there = tariff.of_month(month)
        told = [each for each in tenant.late if each.used_on.replace(day=1) == month]
        billed = lived(tenant, there.days).billed
        for line in _usage_lines(replace(tenant, usage=told), there, billed, texts):
            yield replace(line, text=texts.late.format(line.text, f"{month:%Y-%m}"))


def _line(kind: LineKind, text: str, tenant: Tenant, days: Days, on: int, sold: _Sold) -> Line:
    quantity, unit, price, vat = sold
    first, last = days.first_of(on), days.last_of(on)
    return Line(kind, text, tenant.name, first, last, quantity, unit, price, to_cents(quantity * price), vat)


def _shortest(quantity: Decimal) -> Decimal:
    whole = quantity.to_integral_value()
    return whole if whole == quantity else quantity.normalize()


def _place(line: Line) -> tuple[int, str, str, date, Decimal, Decimal]:
    return ORDER[line.kind], line.tenant or "", line.text, line.first_on, line.unit_price, line.vat_percent
