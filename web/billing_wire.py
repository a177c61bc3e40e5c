"""How invoices, amounts and days look on the wire: amounts are texts, so that no reader rounds them."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

from engine.invoicing.document import to_document
from engine.invoicing.invoice import Invoice
from jobs.invoices.labels import untaxed
from storage.invoicing.invoices import Issued
from web.wire import camel, on_the_wire

HIDDEN = frozenset({"id", "customer_id", "corrects", "document", "today"})


def shown(found: Issued) -> dict[str, Any]:
    """Write an invoice for the wire, without its lines."""
    columns = plain({name: getattr(found, name) for name in Issued.__slots__ if name not in HIDDEN})
    about = {"invoiceId": str(found.id), "customerId": str(found.customer_id)}
    return {**about, **columns, "state": found.state, "open": str(found.open), "owedBack": str(found.owed_back)}


def whole(found: Invoice) -> dict[str, Any]:
    """Write an invoice or a preview for the wire, with everything that is on it, and why there is no VAT on it."""
    shown: dict[str, Any] = _camels(msgspec.json.decode(to_document(found)))
    without = untaxed(found)
    return {**shown, "noVat": None if without is None else without.reason}


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Write the columns of a row for the wire."""
    return {camel(name): _wire(value) for name, value in row.items()}


def _camels(value: Any) -> Any:
    if isinstance(value, dict):
        return {camel(name): _camels(each) for name, each in value.items()}
    return [_camels(each) for each in value] if isinstance(value, list) else value


def _wire(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    return on_the_wire(value)
