"""How pages write money, days and how invoices stand, and how they read both from forms; a paper goes out as a file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from babel.dates import format_date
from litestar import Response

from engine.invoicing.days import month_of
from engine.invoicing.invoice import Invoice
from jobs.invoices import papers
from jobs.invoices.labels import untaxed
from jobs.invoices.words import LOCALE, amount_text, day_text, grouped
from web.inputs import email_address, line
from web.problems import SAFE_HEADERS, bad_input

if TYPE_CHECKING:
    from storage.invoicing.invoices import Issued
    from storage.invoicing.organisations import Organisation
    from storage.settings import Settings
    from web.services import Services

# Of an invoice's state, how it looks and what it is called.
STATES = {
    "open": ("warn", "open"),
    "partly_paid": ("warn", "partly paid"),
    "overdue": ("bad", "overdue"),
    "paid": ("good", "paid"),
    "credited": ("", "credited"),
    "credit_note": ("", "credit note"),
}
# Of each line of an address: what it is called, and how long it may be on a payment slip.
ADDRESS = {
    "street": ("Street", 70),
    "house_number": ("House number", 16),
    "postal_code": ("Postal code", 16),
    "town": ("Town", 35),
    "email": ("E-mail for invoices", 254),
    "vat_id": ("VAT number", 40),
}
NULLABLE = frozenset({"email", "vat_id"})
AMOUNT_CHARACTERS = 20
GROUPING = str.maketrans("", "", " '\N{RIGHT SINGLE QUOTATION MARK}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}")


def words() -> dict[str, Any]:
    """Return what templates write money and days with."""
    return {"money": amount_text, "unit_price": unit_text, "day": day_text, "short_day": short_day,
            "period": period, "days": days, "code": grouped, "untaxed": untaxed, "invoice_states": STATES}  # fmt: skip


def short_day(day: date | None) -> str:
    """Write a day for a table; a dash for none."""
    return "–" if day is None else str(format_date(day, "d MMM y", LOCALE))


def period(first_on: date, last_on: date) -> str:
    """Write which days an invoice is for, both within: a whole month by its name."""
    if (first_on, last_on) == month_of(first_on.year, first_on.month):
        return str(format_date(first_on, "MMMM y", LOCALE))
    return days(first_on, last_on)


def days(first_on: date, last_on: date) -> str:
    """Write days of which both are within, with what they share said once."""
    if first_on == last_on:
        return short_day(first_on)
    if (first_on.year, first_on.month) == (last_on.year, last_on.month):
        return f"{first_on.day}–{short_day(last_on)}"
    return f"{short_day(first_on)} to {short_day(last_on)}"


def unit_text(price: Decimal) -> str:
    """Write a price of a unit: at least two digits after the point, and no more than say something."""
    plain = f"{price:f}"
    whole, _, digits = plain.partition(".")
    return f"{whole}.{digits.rstrip('0').ljust(2, '0')}"


def amount_of(form: Mapping[str, str], name: str, label: str, digits: int = 2) -> Decimal | None:
    """Read an amount such as `1’234.50`; None for an empty field. Raises the 400."""
    given = form.get(name, "").strip().translate(GROUPING)
    if not given:
        return None
    try:
        found = Decimal(given) if len(given) <= AMOUNT_CHARACTERS and given.isascii() else Decimal("NaN")
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or set(given) - set("-+.0123456789") or found != round(found, digits):
        raise bad_input(f"{label} is an amount such as 1234.50, with at most {digits} digits after the point.")
    return found


def day_of(form: Mapping[str, str], name: str, label: str) -> date | None:
    """Read a day; None for an empty field. Raises the 400."""
    given = form.get(name, "").strip()
    if not given:
        return None
    try:
        found = date.fromisoformat(given)
    except ValueError:
        found = date.min
    if not 2000 <= found.year <= 2200:
        raise bad_input(f"{label} is a day such as 2030-01-31.")
    return found


def month_named(given: str) -> tuple[date, date]:
    """Read a month such as `2030-01`; return its first and its last day. Raises the 400."""
    year, _, month = given.strip().partition("-")
    if not (given.isascii() and year.isdigit() and month.isdigit() and len(year) == 4 and 1 <= int(month) <= 12):
        raise bad_input("The month is one such as 2030-01.")
    if not 2000 <= int(year) <= 2200:
        raise bad_input("The month is one such as 2030-01.")
    return month_of(int(year), int(month))


def address_of(form: Mapping[str, str]) -> dict[str, str | None]:
    """Read where invoices go; what is left empty is empty, the e-mail then the customer's own. Raises the 400."""
    found: dict[str, str | None] = {}
    for name, (label, characters) in ADDRESS.items():
        given = form.get(name, "").strip()
        if not given:
            found[name] = None if name in NULLABLE else ""
        elif name == "email":
            found[name] = email_address(given, label)
        else:
            found[name] = line(given, label, characters)
    return found


def address_fields(organisation: Organisation) -> dict[str, str]:
    """Return the fields of the form of an address, as they stand."""
    return {name: getattr(organisation, name) or "" for name in ADDRESS}


def paper(found: Issued, services: Services) -> Response[bytes]:
    """Send an invoice or credit note as a PDF: the one that was drawn first."""
    pdf = papers.paper_of(services.database, services.settings, found.id, found.invoice)
    return download(f"{found.kind.replace('_', '-')}-{found.number}.pdf", pdf)


def preview_paper(invoice: Invoice, settings: Settings) -> Response[bytes]:
    """Send a preview as a PDF, drawn for this once."""
    return download(f"preview-{invoice.first_on:%Y-%m}.pdf", papers.preview_paper(settings, invoice))


def download(name: str, pdf: bytes) -> Response[bytes]:
    """Send a PDF under a name of ours, to be kept and not shown by us."""
    headers = {
        **SAFE_HEADERS,
        "Content-Disposition": f'attachment; filename="{name}"',
        "Content-Security-Policy": "default-src 'none'; sandbox; frame-ancestors 'none'",
    }
    return Response(pdf, media_type="application/pdf", headers=headers)
