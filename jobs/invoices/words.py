"""Amounts, days and codes as invoices, letters about them and pages write them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from babel.dates import format_date
from babel.numbers import format_decimal

LOCALE = "en_CH"
AMOUNT_FORMAT = "#,##0.00"


def amount_text(amount: Decimal) -> str:
    """Write an amount as the Swiss do: 12’345.60."""
    return format_decimal(amount, AMOUNT_FORMAT, LOCALE)


def day_text(day: date | None, locale: str = LOCALE) -> str:
    """Write a day out; nothing for none."""
    return "" if day is None else format_date(day, "d MMMM y" if locale == LOCALE else "long", locale)


def grouped(code: str) -> str:
    """Write an account or reference in groups of four."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))
