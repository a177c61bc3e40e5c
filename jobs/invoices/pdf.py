"""An invoice as the PDF/A-3 that is sent: a page for people, a payment part for banks, XML inside for programs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import font_source_sans_pro
import typst
from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, Party
from jobs.invoices.e_invoice import e_invoice
from jobs.invoices.factur_x import mark_as_factur_x
from jobs.invoices.payment_part import has_payment_part, payment_part

STANDARD: Final = "a-3b"
LOCALE = "en_CH"
AMOUNT_FORMAT = "#,##0.00"
UNIT_PRICE_FORMAT = "#,##0.00###"
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
    drawn_at = datetime.combine(invoice.issued_on or invoice.last_on, time(), UTC)
    drawn = typst.compile(
        files("jobs.invoices").joinpath("page.typ").read_bytes(),
        font_paths=_fonts(),
        sys_inputs={"page": json.dumps(page)},
        pdf_standards=[STANDARD],
        timestamp=drawn_at,
        format="pdf",
    )
    assert isinstance(drawn, bytes), "one PDF, whatever its number of pages"
    return drawn if is_preview else mark_as_factur_x(drawn)


@cache
def _fonts() -> typst.Fonts:
    """Our own fonts alone: with a machine's, the same invoice would look different elsewhere."""
    folder = Path(font_source_sans_pro.font_directory)
    return typst.Fonts(include_system_fonts=False, include_embedded_fonts=False, font_paths=[folder])


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
        "total": _amount(invoice.total),
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
    facts += [("Date", _day(invoice.issued_on)), ("Due", _day(invoice.due_on))]
    facts += [("Period", f"{_day(invoice.first_on)} to {_day(invoice.last_on)}"), ("Customer", invoice.organisation)]
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
        "sum": _amount(sum((line.amount for line in lines), Decimal(0))),
    }


def _line_words(line: Line) -> dict[str, str]:
    return {
        "text": _cut(line.text),
        "period": _short_day(line.first_on) if line.first_on == line.last_on else _days(line.first_on, line.last_on),
        "quantity": f"{format_decimal(line.quantity, '#,##0.###', LOCALE)} {_units(line)}",
        "unit_price": format_decimal(line.unit_price, UNIT_PRICE_FORMAT, LOCALE),
        "amount": _amount(line.amount),
    }


def _units(line: Line) -> str:
    return line.unit if line.quantity == 1 or line.unit.endswith("s") else f"{line.unit}s"


def _sums_of(invoice: Invoice) -> list[tuple[str, str]]:
    sums = [("Net", _amount(invoice.net))]
    for rate in invoice.vat_lines:
        percent = format_decimal(rate.percent, "0.0#", LOCALE)
        sums.append((f"VAT {percent} % on {_amount(rate.net)}", _amount(rate.vat)))
    return sums


def _how_to_pay(invoice: Invoice) -> str:
    if invoice.kind is InvoiceKind.CREDIT_NOTE or invoice.number is None:
        return ""
    parts = [f"Please pay by {_day(invoice.due_on)}." if invoice.due_on else ""]
    if invoice.iban:
        parts.append(f"Account {_grouped(invoice.iban)}.")
    if invoice.reference:
        parts.append(f"Reference {_grouped(invoice.reference)}.")
    return " ".join(part for part in parts if part)


def _grouped(code: str) -> str:
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_CHARACTERS else f"{flat[: MOST_CHARACTERS - 1]}…"


def _amount(amount: Decimal) -> str:
    return format_decimal(amount, AMOUNT_FORMAT, LOCALE)


def _day(day: date | None) -> str:
    return "" if day is None else format_date(day, "d MMMM y", LOCALE)


def _short_day(day: date) -> str:
    return format_date(day, "d MMM", LOCALE)


def _days(first_on: date, last_on: date) -> str:
    return f"{_short_day(first_on)} – {_short_day(last_on)}"
