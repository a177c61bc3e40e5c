"""Which VAT rate holds: by where the organisation is, and by the day on which it was served; and why there is none."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Final

from engine.invoicing.invoice import Invoice
from engine.invoicing.metered import PlatformPrice

AT_HOME: Final = frozenset({"CH", "LI"})
"""Switzerland and Liechtenstein are one VAT territory."""
NONE: Final = Decimal("0.00")


class NoVat(StrEnum):
    """Why what is charged lies outside of the VAT, which is not the same as a rate of zero."""

    ABROAD = "abroad"
    UNREGISTERED = "unregistered"


def vat_percent(country: str, price: PlatformPrice) -> Decimal:
    """Return the rate for a service to this country: at home the rate of the day, elsewhere none.

    Swiss VAT act, art. 8 and 23: such a service is supplied where its recipient is; abroad it is not taxed here.
    A rate holds for the days on which it was in force, so a month in which it changes has lines of both (art. 115).
    """
    return price.vat_rate_chli if country in AT_HOME else NONE


def why_no_vat(invoice: Invoice) -> NoVat | None:
    """Return why an invoice lies outside of the VAT; None: it has a rate, which may be zero.

    Swiss VAT act, art. 8: a service to a recipient abroad is supplied there. Art. 10 and 27: who is not in the register
    of VAT, and so has no number of it, owes none and may name none.
    """
    if any(line.vat_percent for line in invoice.lines):
        return None
    if invoice.debtor.country not in AT_HOME:
        return NoVat.ABROAD
    return NoVat.UNREGISTERED if invoice.creditor.vat_id is None else None
