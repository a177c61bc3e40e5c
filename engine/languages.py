"""Instants and amounts as a language writes them. English is written here; babel, loaded when asked, knows others."""

from __future__ import annotations

import functools
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from engine.calendar import zone_of

if TYPE_CHECKING:
    from babel import Locale

ENGLISH = "en"  # what every text is written in, and what a customer reads whose own language has no text
TAG = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")

# Currencies whose smallest unit is the whole one, as Stripe counts (docs.stripe.com/currencies#zero-decimal).
ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"}
)
# And those with thousandths (docs.stripe.com/currencies#three-decimal).
THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip


def is_language(tag: str) -> bool:
    """Tell whether dates can be written in the language of this tag, such as `de` or `pt-BR`."""
    return tag == ENGLISH or _locale(tag) is not None


def named(tag: str) -> str:
    """Return what a language calls itself."""
    locale = None if tag == ENGLISH else _locale(tag)
    return "English" if locale is None else locale.get_display_name() or tag


def written_instant(instant: datetime, zone: str, language: str = ENGLISH) -> str:
    """Write an instant for a person in this zone, the zone named; an unknown zone is written in UTC."""
    place = zone_of(zone)
    local = instant.astimezone(place or UTC)
    minutes = round((local.utcoffset() or timedelta(0)).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60}" + (f":{abs(minutes) % 60:02}" if minutes % 60 else "")
    named = f"{zone}, UTC{offset}" if place is not None and zone != "UTC" else "UTC"
    return f"{_day(local, language)}, {local.hour:02}:{local.minute:02} ({named})"


def written_day(day: date, language: str = ENGLISH) -> str:
    """Write a day for a person, without the day of the week."""
    locale = None if language == ENGLISH else _locale(language)
    if locale is None:
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"
    from babel.dates import format_date

    return format_date(day, "long", locale)


def written_amount(minor_units: int, currency: str, language: str = ENGLISH) -> str:
    """Write an amount of a currency's smallest unit, the currency by its code: a sign may mean several."""
    places = 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2
    value = Decimal(minor_units).scaleb(-places)
    locale = None if language == ENGLISH else _locale(language)
    if locale is None:
        return f"{value:.{places}f} {currency}".strip()
    from babel.numbers import format_decimal

    pattern = f"#,##0.{'0' * places}".rstrip(".")
    return f"{format_decimal(value, pattern, locale)} {currency}".strip()


def _day(local: datetime, language: str) -> str:
    locale = None if language == ENGLISH else _locale(language)
    if locale is None:
        return f"{_DAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}"
    from babel.dates import format_date

    return format_date(local.date(), "full", locale)


@functools.cache
def _locale(tag: str) -> Locale | None:
    if TAG.fullmatch(tag) is None:
        return None
    from babel import Locale, UnknownLocaleError

    try:
        return Locale.parse(tag, sep="-")
    except (UnknownLocaleError, ValueError):
        return None
