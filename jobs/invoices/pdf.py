"""An invoice as the PDF/A-3 that is sent: a page for people, a payment part for banks, XML inside for programs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import typst
from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, Party
from engine.invoicing.texts import written_in
from jobs.invoices.e_invoice import e_invoice
from jobs.invoices.factur_x import mark_as_factur_x
from jobs.invoices.fonts import fonts_with, payment_typeface
from jobs.invoices.glyphs import readable
from jobs.invoices.labels import Labels, labels_of, untaxed
from jobs.invoices.payment_part import has_payment_part, payment_part
from jobs.invoices.words import LOCALE, amount_text, day_text, grouped

STANDARD: Final = "a-3b"
UNIT_PRICE_FORMAT = "#,##0.00###"
DAY = "day"
ONCE = "once"  # the unit of what is charged a single time: said by the text already
NOTHING: Final = Decimal(0)
MOST_CHARACTERS = 300
"""Of one text on the page; a longer name is cut there, never in the database."""


def pdf_of(invoice: Invoice, fonts: Path | None = None) -> bytes:
    """Set an invoice, credit note or preview; the same one gives the same bytes.

    fonts: a folder that may have a better typeface for the payment part (`jobs.invoices.fonts`).

    A preview says so on every page and carries neither payment part nor XML. Raises PaymentPartWrong when the
    creditor's account or reference cannot be paid to.
    """
    is_preview = invoice.number is None
    preview = labels_of(invoice.language).preview.upper() if is_preview else ""
    page = {**_words_of(invoice), "preview": preview, "payment_part": "", "xml": ""}
    if has_payment_part(invoice):
        page["payment_part"] = payment_part(invoice, payment_typeface(fonts)).decode()
    if not is_preview:
        page["xml"] = e_invoice(invoice).decode()
    drawn = _draw(page, invoice.issued_on or invoice.last_on, fonts)
    return drawn if is_preview else mark_as_factur_x(drawn)


def reminder_pdf(
    invoice: Invoice, title: str, paid: Decimal, on: date, *, credited: Decimal = NOTHING, fonts: Path | None = None
) -> bytes:
    """Set a reminder of an invoice: what was asked, what was paid or credited of it, and a payment part for the rest.

    It is written in the invoice's `language`, which whoever writes a letter in another sets before.
    """
    rest, labels = replace(invoice, total=invoice.total - paid - credited), labels_of(invoice.language)
    issued, due, today = (day_text(day, labels.locale) for day in (invoice.issued_on, invoice.due_on, on))
    called = labels.titles[InvoiceKind.INVOICE]
    facts = ((called, invoice.number), (labels.of, issued), (labels.was_due, due), (labels.date, today))
    less = [(labels.paid, paid)] + ([(labels.credited, credited)] if credited else [])
    sums = [(f"{called} {invoice.number}", invoice.total)]
    sums += [(name, -amount if amount else amount) for name, amount in less]
    page = {
        **_words_of(invoice),
        "title": title,
        "heading": labels.reminder.format(title=title, number=invoice.number),
        "facts": [{"name": name, "value": value} for name, value in facts],
        "groups": [],
        "sums": [{"name": name, "value": amount_text(amount)} for name, amount in sums],
        "total_name": labels.still_open,
        "total": amount_text(rest.total),
        "note": "",
        "payment": _how_to_pay(replace(invoice, due_on=None)),
        "preview": "",
        "payment_part": payment_part(rest, payment_typeface(fonts)).decode() if has_payment_part(rest) else "",
        "xml": "",
    }
    return _draw(page, on, fonts)


def _draw(page: dict[str, Any], on: date, fonts: Path | None) -> bytes:
    drawn = typst.compile(
        files("jobs.invoices").joinpath("page.typ").read_bytes(),
        font_paths=fonts_with(fonts),
        sys_inputs={"page": json.dumps(page)},
        pdf_standards=[STANDARD],
        timestamp=datetime.combine(on, time(), UTC),
        format="pdf",
    )
    assert isinstance(drawn, bytes), "one PDF, whatever its number of pages"
    return drawn


def _words_of(invoice: Invoice) -> dict[str, Any]:
    """Return what the page says, each in its final form: the page itself only places it."""
    labels = labels_of(invoice.language)
    title = labels.titles[invoice.kind]
    home, without = invoice.creditor.country, untaxed(invoice)
    return {
        "language": written_in(invoice.language),
        "words": {name: getattr(labels, name) for name in ("to", "days", "quantity", "price", "page", "pages")},
        "title": title,
        "heading": f"{title} {invoice.number}" if invoice.number else f"{title} ({labels.preview})",
        "creditor": _party_words(invoice.creditor, labels, home=home),
        "debtor": _party_words(invoice.debtor, labels, home=home),
        "facts": [{"name": name, "value": value} for name, value in _facts_of(invoice)],
        "groups": [_group_words(tenant, list(lines), labels) for tenant, lines in _by_tenant(invoice.lines)],
        "sums": [{"name": name, "value": value} for name, value in _sums_of(invoice)],
        "currency": invoice.currency,
        "total_name": labels.total[invoice.kind],
        "total": amount_text(invoice.total),
        "note": "" if without is None else without.reason,
        "payment": _how_to_pay(invoice),
    }


def _party_words(party: Party, labels: Labels, *, home: str) -> dict[str, Any]:
    abroad = "" if party.country == home else Locale.parse(labels.locale).territories.get(party.country, party.country)
    lines = (party.name, f"{party.street} {party.house_number}", f"{party.postal_code} {party.town}", abroad)
    return {
        "lines": [_cut(line) for line in lines if line.strip()],
        "email": _cut(party.email or ""),
        "vat_id": _cut(party.vat_id or ""),
    }


def _facts_of(invoice: Invoice) -> list[tuple[str, str]]:
    labels = labels_of(invoice.language)
    issued, due, first, last = (
        day_text(day, labels.locale) for day in (invoice.issued_on, invoice.due_on, invoice.first_on, invoice.last_on)
    )
    facts = [(labels.number, invoice.number), (labels.corrects, invoice.corrects), (labels.date, issued)]
    facts += [
        (labels.due, due if invoice.kind is InvoiceKind.INVOICE else ""),
        (labels.period, f"{first} {labels.until} {last}"),
        (labels.customer, invoice.organisation),
    ]
    return [(name, _cut(value)) for name, value in facts if value]


def _by_tenant(lines: tuple[Line, ...]) -> Iterator[tuple[str, Iterator[Line]]]:
    """Readers look for a server, not for a kind of charge: what is for no tenant first, then each tenant's lines."""
    return itertools.groupby(sorted(lines, key=_tenant_of), _tenant_of)


def _tenant_of(line: Line) -> str:
    return line.tenant or ""


def _group_words(tenant: str, lines: list[Line], labels: Labels) -> dict[str, Any]:
    return {
        "tenant": _cut(tenant),
        "lines": [_line_words(line, labels) for line in lines],
        "sum": amount_text(sum((line.amount for line in lines), Decimal(0))),
    }


def _line_words(line: Line, labels: Labels) -> dict[str, str]:
    first, last = (_short_day(day, labels.locale) for day in (line.first_on, line.last_on))
    return {
        "text": _cut(line.text),
        "period": first if first == last else f"{first} – {last}",
        "quantity": _quantity(line, labels),
        "unit_price": format_decimal(line.unit_price, UNIT_PRICE_FORMAT, LOCALE),
        "amount": amount_text(line.amount),
    }


def _quantity(line: Line, labels: Labels) -> str:
    number = format_decimal(line.quantity, "#,##0.###", LOCALE)
    if line.unit == ONCE:
        return number
    span = (line.last_on - line.first_on).days + 1
    one, several = labels.units.get(line.unit, (line.unit, line.unit))
    if line.unit == DAY and line.quantity < span:  # the other days are free: suspended, or with the skill off
        return f"{number} / {span} {several}"
    return f"{number} {one if line.quantity == 1 else several}"


def _sums_of(invoice: Invoice) -> list[tuple[str, str]]:
    labels = labels_of(invoice.language)
    sums = [(labels.net, amount_text(invoice.net))]
    if (without := untaxed(invoice)) is not None:
        return [*sums, (without.name, amount_text(invoice.vat))]
    for rate in invoice.vat_lines:
        percent = format_decimal(rate.percent, "0.0#", LOCALE)
        sums.append((labels.vat.format(percent=percent, net=amount_text(rate.net)), amount_text(rate.vat)))
    return sums


def _how_to_pay(invoice: Invoice) -> str:
    if invoice.kind is InvoiceKind.CREDIT_NOTE or invoice.number is None:
        return ""
    labels = labels_of(invoice.language)
    parts = [labels.pay_by.format(day=day_text(invoice.due_on, labels.locale)) if invoice.due_on else ""]
    if invoice.iban:
        parts.append(labels.account.format(grouped(invoice.iban)))
    if invoice.reference:
        parts.append(labels.reference.format(grouped(invoice.reference)))
    return " ".join(part for part in parts if part)


def _cut(text: str) -> str:
    flat = readable(" ".join(text.split()))
    return flat if len(flat) <= MOST_CHARACTERS else f"{flat[: MOST_CHARACTERS - 1]}…"


def _short_day(day: date, locale: str) -> str:
    return format_date(day, "d MMM" if locale == LOCALE else "d. MMM", locale)
