"""Prices laid over the days of one period: for each day what it costs, and which VAT rate holds. Made once for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import NamedTuple, TypeVar

from engine.invoicing.days import DAY, Days, month_of
from engine.invoicing.invoice import CENT, UNIT
from engine.invoicing.metered import PlatformPrice, Prices, SkillPrice, UsageKind
from engine.invoicing.vat import vat_percent

Dated = TypeVar("Dated", PlatformPrice, SkillPrice)


class Priced(NamedTuple):
    """Days that cost the same."""

    mask: int
    price: Decimal
    vat: Decimal


class Monthly(NamedTuple):
    """Days of one calendar month under one fee."""

    mask: int
    length: int
    """How many days the month has in the calendar."""
    fee: Decimal
    vat: Decimal


class Tariff:
    """What each day of a period costs an organisation in a country."""

    def __init__(self, days: Days, prices: Prices, country: str) -> None:
        self.days = days
        self.currency = prices.currency
        self._prices = prices
        self._country = country
        self._months: dict[date, Tariff] = {}
        self._skill_prices = prices.skills
        self._skills: dict[str, tuple[Priced, ...]] = {}
        self._platform = _laid_out(days, prices.platform)
        self._vat = [(mask, vat_percent(country, price).quantize(CENT)) for mask, price in self._platform]
        self.setup = self._priced(lambda price: price.setup_fee.quantize(UNIT))
        self.monthly = tuple(
            Monthly(mask & month, length, fee, vat)
            for mask, fee, vat in self._priced(lambda price: price.monthly_fee.quantize(UNIT))
            for month, length in days.months()
            if mask & month
        )
        self._usage = {
            UsageKind.MESSAGES: self._priced(lambda price: price.per_message_price.quantize(UNIT)),
            UsageKind.MODEL_SPEND: self._priced(lambda price: price.model_spend_factor.quantize(UNIT)),
        }

    def of_month(self, on: date) -> Tariff:
        """Return what each day of another month costs: the one of this day, in the same zone."""
        first_on, last_on = month_of(on.year, on.month)
        if first_on not in self._months:
            days = Days.of(first_on, last_on, self.days.zone)
            self._months[first_on] = Tariff(days, self._prices, self._country)
        return self._months[first_on]

    def of_usage(self, kind: UsageKind) -> tuple[Priced, ...]:
        """Return what one unit of a kind costs."""
        return self._usage[kind]

    def of_skill(self, skill: str) -> tuple[Priced, ...]:
        """Return what a day of a skill costs. One without a price costs nothing."""
        if skill not in self._skills:
            laid_out = _laid_out(self.days, self._skill_prices.get(skill, ()))
            self._skills[skill] = _merged(
                (mask & days, price.daily_price.quantize(UNIT), vat)
                for mask, price in laid_out
                for days, vat in self._vat
            )
        return self._skills[skill]

    def _priced(self, price_of: Callable[[PlatformPrice], Decimal]) -> tuple[Priced, ...]:
        return _merged(
            (mask, price_of(price), vat) for (mask, price), (_, vat) in zip(self._platform, self._vat, strict=True)
        )


def _laid_out(days: Days, prices: Sequence[Dated]) -> list[tuple[int, Dated]]:
    """Return which days each price holds for."""
    in_order = sorted(prices, key=_from)
    found = []
    for number, price in enumerate(in_order):
        is_last = number + 1 == len(in_order)
        if not is_last and in_order[number + 1].valid_from <= max(price.valid_from, days.first_on):
            continue  # another one takes its place before it holds for any of these days
        until = days.last_on if is_last else in_order[number + 1].valid_from - DAY
        if price.valid_from <= until and (mask := days.within(price.valid_from, until)):
            found.append((mask, price))
    return found


def _from(price: PlatformPrice | SkillPrice) -> date:
    return price.valid_from


def _merged(found: Iterable[tuple[int, Decimal, Decimal]]) -> tuple[Priced, ...]:
    masks: dict[tuple[Decimal, Decimal], int] = {}
    for mask, price, vat in found:
        if mask:
            masks[price, vat] = masks.get((price, vat), 0) | mask
    return tuple(Priced(mask, price, vat) for (price, vat), mask in masks.items())
