"""An invoice as the PDF/A-3 that is sent: a page for people, a payment part for banks, XML inside for programs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Final

import typst
from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, Party
from jobs.invoices.e_invoice import e_invoice
from jobs.invoices.factur_x import mark_as_factur_x
from jobs.invoices.glyphs import FOLDER, readable
from jobs.invoices.payment_part import has_payment_part, payment_part
from jobs.invoices.words import LOCALE, amount_text, day_text, grouped

STANDARD: Final = "a-3b"
UNIT_PRICE_FORMAT = "#,##0.00###"
ONCE = "once"  # the unit of what is charged a single time: said by the text already
TITLES = {InvoiceKind.INVOICE: "Invoice", InvoiceKind.CREDIT_NOTE: "Credit note"}
MOST_CHARACTERS = 300
"""Of one text on the page; a longer name is cut there, never in the database."""


def pdf_of(invoice: Invoice) -> bytes:
    """Set an invoice, credit note or preview; the same one gives the same bytes.

    A preview says so on every page and carries neither payment part nor XML. Raises PaymentPartWrong when the
    creditor's account or reference cannot be paid to.
    """
    is_preview = invoice.number is None
    page = {**_words_of(invoice), "preview": is_preview, "payment_part": "", "xml": ""}
    if has_payment_part(invoice):
        page["payment_part"] = payment_part(invoice).decode()
    if not is_preview:
        page["xml"] = e_invoice(invoice).decode()
    drawn = _draw(page, invoice.issued_on or invoice.last_on)
    return drawn if is_preview else mark_as_factur_x(drawn)


def reminder_pdf(invoice: Invoice, title: str, paid: Decimal, on: date) -> bytes:
    """Set a reminder of an invoice: what was asked, what was paid of it, and a payment part for the rest."""
    rest = replace(invoice, total=invoice.total - paid)
    page = {
        **_words_of(invoice),
        "title": title,
        "heading": f"{title}: invoice {invoice.number}",
        "facts": [
            {"name": name, "value": value}
            for name, value in (("Invoice", invoice.number), ("Of", day_text(invoice.issued_on)),
                                ("Was due", day_text(invoice.due_on)), ("Date", day_text(on)))
        ],
        "groups": [],
        "sums": [
            {"name": f"Invoice {invoice.number}", "value": amount_text(invoice.total)},
            {"name": "Paid so far", "value": amount_text(-paid if paid else paid)},
        ],
        "total_name": "Still to be paid",
        "total": amount_text(rest.total),
        "payment": _how_to_pay(replace(invoice, due_on=None)),
        "preview": False,
        "payment_part": payment_part(rest).decode() if has_payment_part(rest) else "",
        "xml": "",
    }  # fmt: skip
    return _draw(page, on)


def _draw(page: dict[str, Any], on: date) -> bytes:
    drawn = typst.compile(
        files("jobs.invoices").joinpath("page.typ").read_bytes(),
        font_paths=_fonts(),
        sys_inputs={"page": json.dumps(page)},
        pdf_standards=[STANDARD],
        timestamp=datetime.combine(on, time(), UTC),
        format="pdf",
    )
    assert isinstance(drawn, bytes), "one PDF, whatever its number of pages"
    return drawn


@cache
def _fonts() -> typst.Fonts:
    """Our own fonts alone: with a machine's, the same invoice would look different elsewhere."""
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[FOLDER])


def _words_of(invoice: Invoice) -> dict[str, Any]:
    """Return what the page says, each in its final form: the page itself only places it."""
    title = TITLES[invoice.kind]
    return {
        "title": title,
        "heading": f"{title} {invoice.number}" if invoice.number else f"{title} (preview)",
        "creditor": _party_words(invoice.creditor, home=invoice.creditor.country),
        "debtor": _party_words(invoice.debtor, home=invoice.creditor.country),
        "facts": [{"name": name, "value": value} for name, value in _facts_of(invoice)],
        "groups": [_group_words(tenant, list(lines)) for tenant, lines in _by_tenant(invoice.lines)],
        "sums": [{"name": name, "value": value} for name, value in _sums_of(invoice)],
        "currency": invoice.currency,
        "total_name": "Total credited" if invoice.kind is InvoiceKind.CREDIT_NOTE else "Total due",
        "total": amount_text(invoice.total),
        "payment": _how_to_pay(invoice),
    }


def _party_words(party: Party, *, home: str) -> dict[str, Any]:
    abroad = "" if party.country == home else Locale.parse(LOCALE).territories.get(party.country, party.country)
    lines = (party.name, f"{party.street} {party.house_number}", f"{party.postal_code} {party.town}", abroad)
    return {
        "lines": [_cut(line) for line in lines if line.strip()],
        "email": _cut(party.email or ""),
        "vat_id": _cut(party.vat_id or ""),
    }


def _facts_of(invoice: Invoice) -> list[tuple[str, str]]:
    facts = [("Number", invoice.number), ("Corrects invoice", invoice.corrects)]
    facts += [("Date", day_text(invoice.issued_on)), ("Due", day_text(invoice.due_on))]
    facts += [
        ("Period", f"{day_text(invoice.first_on)} to {day_text(invoice.last_on)}"),
        ("Customer", invoice.organisation),
    ]
    return [(name, _cut(value)) for name, value in facts if value]


def _by_tenant(lines: tuple[Line, ...]) -> Iterator[tuple[str, Iterator[Line]]]:
    """Readers look for a server, not for a kind of charge: what is for no tenant first, then each tenant's lines."""
    return itertools.groupby(sorted(lines, key=_tenant_of), _tenant_of)


def _tenant_of(line: Line) -> str:
    return line.tenant or ""


def _group_words(tenant: str, lines: list[Line]) -> dict[str, Any]:
    return {
        "tenant": _cut(tenant),
        "lines": [_line_words(line) for line in lines],
        "sum": amount_text(sum((line.amount for line in lines), Decimal(0))),
    }


def _line_words(line: Line) -> dict[str, str]:
    return {
        "text": _cut(line.text),
        "period": _short_day(line.first_on) if line.first_on == line.last_on else _days(line.first_on, line.last_on),
        "quantity": _quantity(line),
        "unit_price": format_decimal(line.unit_price, UNIT_PRICE_FORMAT, LOCALE),
        "amount": amount_text(line.amount),
    }


def _quantity(line: Line) -> str:
    number = format_decimal(line.quantity, "#,##0.###", LOCALE)
    if line.unit == ONCE:
        return number
    return f"{number} {line.unit if line.quantity == 1 or line.unit.endswith('s') else f'{line.unit}s'}"


def _sums_of(invoice: Invoice) -> list[tuple[str, str]]:
    sums = [("Net", amount_text(invoice.net))]
    for rate in invoice.vat_lines:
        percent = format_decimal(rate.percent, "0.0#", LOCALE)
        sums.append((f"VAT {percent} % on {amount_text(rate.net)}", amount_text(rate.vat)))
    return sums


def _how_to_pay(invoice: Invoice) -> str:
    if invoice.kind is InvoiceKind.CREDIT_NOTE or invoice.number is None:
        return ""
    parts = [f"Please pay by {day_text(invoice.due_on)}." if invoice.due_on else ""]
    if invoice.iban:
        parts.append(f"Account {grouped(invoice.iban)}.")
    if invoice.reference:
        parts.append(f"Reference {grouped(invoice.reference)}.")
    return " ".join(part for part in parts if part)


def _cut(text: str) -> str:
    flat = readable(" ".join(text.split()))
    return flat if len(flat) <= MOST_CHARACTERS else f"{flat[: MOST_CHARACTERS - 1]}…"


def _short_day(day: date) -> str:
    return format_date(day, "d MMM", LOCALE)


def _days(first_on: date, last_on: date) -> str:
    return f"{_short_day(first_on)} – {_short_day(last_on)}"
