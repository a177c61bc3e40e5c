"""An invoice as canonical JSON: the same invoice is always the same bytes, and what was written can be read back."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import date
from decimal import Decimal
from typing import Any, Final

from engine.invoicing.invoice import Invoice, InvoiceKind, Line, LineKind, Party, VatLine

PLAIN: Final = frozenset({str, int, type(None)})
FIELDS: Final = {kind: tuple(field.name for field in fields(kind)) for kind in (Invoice, VatLine, Party)}


def to_document(invoice: Invoice) -> str:
    """Write an invoice down. Amounts are texts, so that no reader rounds them."""
    return json.dumps(_plain(invoice), ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def from_document(text: str) -> Invoice:
    """Read an invoice back that `to_document` wrote."""
    found: dict[str, Any] = json.loads(text)
    days = {name: _day(found[name]) for name in ("first_on", "last_on", "issued_on", "due_on")}
    amounts = {name: Decimal(found[name]) for name in ("net", "vat", "total")}
    return Invoice(
        **{
            **found,
            **days,
            **amounts,
            "kind": InvoiceKind(found["kind"]),
            "creditor": Party(**found["creditor"]),
            "debtor": Party(**found["debtor"]),
            "lines": tuple(_line(each) for each in found["lines"]),
            "vat_lines": tuple(
                VatLine(**{name: Decimal(value) for name, value in each.items()}) for each in found["vat_lines"]
            ),
        }
    )


def _plain(value: Any) -> Any:
    """Return what JSON knows. By exact type: an invoice has hundreds of lines, and each ten fields."""
    kind = type(value)
    if kind in PLAIN:
        return value
    if kind is Decimal:
        return format(value, "f")
    if kind is date:
        return value.isoformat()
    if kind is tuple:
        return [_plain(each) for each in value]
    if kind is Line:
        return _plain_line(value)
    if kind in FIELDS:
        return {name: _plain(getattr(value, name)) for name in FIELDS[kind]}
    return value.value


def _plain_line(line: Line) -> dict[str, str | None]:
    """Return what JSON knows of a line, field by field: a month's run writes a hundred thousand of them."""
    return {
        "kind": line.kind.value,
        "text": line.text,
        "tenant": line.tenant,
        "first_on": line.first_on.isoformat(),
        "last_on": line.last_on.isoformat(),
        "quantity": format(line.quantity, "f"),
        "unit": line.unit,
        "unit_price": format(line.unit_price, "f"),
        "amount": format(line.amount, "f"),
        "vat_percent": format(line.vat_percent, "f"),
    }


def _line(found: dict[str, Any]) -> Line:
    days = {name: date.fromisoformat(found[name]) for name in ("first_on", "last_on")}
    amounts = {name: Decimal(found[name]) for name in ("quantity", "unit_price", "amount", "vat_percent")}
    return Line(**{**found, **days, **amounts, "kind": LineKind(found["kind"])})


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
