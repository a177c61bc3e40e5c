"""The days of a period in a zone, and which of them a stretch of time touches. Days are the bits of a number.

A day begins at its local midnight, whatever clocks do: it has 23, 24 or 25 hours, or none if the zone has skipped it.
"""

from __future__ import annotations

import calendar
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAY: Final = timedelta(days=1)
MOST_DAYS: Final = 3_660


@dataclass(frozen=True, slots=True)
class Days:
    """The days from `first_on` to `last_on`, both within. Bit 0 of a mask is the first."""

    first_on: date
    last_on: date
    bounds: tuple[datetime, ...]
    """The instant at which each day begins, and the one at which the last ends."""
    real: int
    """Mask of the days that exist: a zone that crosses the date line skips one."""
    zone: str

    @classmethod
    def of(cls, first_on: date, last_on: date, zone: str) -> Days:
        """Lay out the days of a period. Raises ValueError when it has none, or more than ten years of them."""
        count = (last_on - first_on).days + 1
        if not 1 <= count <= MOST_DAYS:
            raise ValueError(f"from {first_on} to {last_on} is no period that can be billed")
        place = ZoneInfo(zone)
        bounds = tuple(
            datetime.combine(first_on + DAY * number, time(), place).astimezone(UTC) for number in range(count + 1)
        )
        real = sum(1 << number for number in range(count) if bounds[number] < bounds[number + 1])
        return cls(first_on, last_on, bounds, real, zone)

    @property
    def all(self) -> int:
        """Mask of every day."""
        return (1 << (len(self.bounds) - 1)) - 1

    def touched(self, start: datetime, end: datetime | None) -> int:
        """Return the days that have some time in [start, end); None: it has not ended."""
        bounds = self.bounds
        low = bisect_right(bounds, start) - 1
        high = len(bounds) - 2 if end is None else bisect_left(bounds, end) - 1
        low, high = max(low, 0), min(high, len(bounds) - 2)
        if low > high or (end is not None and end <= start):
            return 0
        return ((1 << (high - low + 1)) - 1 << low) & self.real

    def day_of(self, at: datetime) -> int:
        """Return the day of an instant as a mask; 0: it is outside."""
        return self.touched(at, at + timedelta(microseconds=1))

    def within(self, first_on: date, last_on: date) -> int:
        """Return those of the days that lie from one date to another, both within."""
        low = max((first_on - self.first_on).days, 0)
        high = min((last_on - self.first_on).days, len(self.bounds) - 2)
        return 0 if low > high else (1 << (high - low + 1)) - 1 << low

    def first_of(self, mask: int) -> date:
        """Return the first day of a mask that has one."""
        return self.first_on + DAY * ((mask & -mask).bit_length() - 1)

    def last_of(self, mask: int) -> date:
        """Return the last day of a mask that has one."""
        return self.first_on + DAY * (mask.bit_length() - 1)

    def months(self) -> list[tuple[int, int]]:
        """Return each calendar month as its mask here, and how many days it has in the calendar."""
        found = []
        on = self.first_on
        while on <= self.last_on:
            length = calendar.monthrange(on.year, on.month)[1]
            last = on.replace(day=length)
            found.append((self.within(on, last), length))
            on = last + DAY
        return found


def month_of(year: int, month: int) -> tuple[date, date]:
    """Return the first and the last day of a calendar month."""
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
