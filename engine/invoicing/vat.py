"""Which VAT rate holds: by where the organisation is, and by the day on which it was served."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from engine.invoicing.metered import PlatformPrice

AT_HOME: Final = frozenset({"CH", "LI"})
"""Switzerland and Liechtenstein are one VAT territory."""
NONE: Final = Decimal("0.00")


def vat_percent(country: str, price: PlatformPrice) -> Decimal:
    """Return the rate for a service to this country: at home the rate of the day, elsewhere none.

    Swiss VAT act, art. 8 and 23: such a service is supplied where its recipient is; abroad it is not taxed here.
    A rate holds for the days on which it was in force, so a month in which it changes has lines of both (art. 115).
    """
    return price.vat_rate_chli if country in AT_HOME else NONE
