"""When a calendar is open: weekly windows in a zone, dates taken out, and named intervals.

A window's ends are wall-clock times. On the day that clocks go forward, a time that does not exist means the moment of
the change; on the day that they go back, a time that exists twice means the first. So a window is one interval.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from engine.model_permits import Calendar, Interval, Window

_UTC = ZoneInfo("UTC")
HORIZON_DAYS = 400  # a calendar that does not open within this is taken as never opening


class Calendars:
    """The calendars of one policy, with the lists that they name."""

    __slots__ = ("_dates", "_windows")

    def __init__(self, windows: Mapping[str, tuple[Window, ...]], dates: Mapping[str, frozenset[str]]) -> None:
        self._windows = windows
        self._dates = dates

    def opening(self, calendar: Calendar, now: datetime, account_zone: str) -> datetime | None:
        """Return the earliest instant from `now` on at which the calendar is open; `now` itself when it is open.

        None when it never opens, or the zone or a list is unknown.
        """
        zone = zone_of(account_zone if calendar.zone == "account" else calendar.zone)
        known = (calendar.name is None or calendar.name in self._windows) and (
            calendar.except_ is None or calendar.except_ in self._dates
        )
        if zone is None or not known:
            return None
        intervals = self._from(calendar, now, zone)
        return _first_gap(intervals, now) if calendar.outside else _first_open(intervals, now)

    def named(self, name: str, now: datetime) -> Iterator[Interval]:
        """Yield the windows of a named list that end after `now`, in order of their start."""
        single = sorted(each for each in self._windows[name] if not isinstance(each, Calendar) and each[1] > now)
        recurring = [each for each in self._windows[name] if isinstance(each, Calendar)]
        yield from heapq.merge(single, *(self._from(each, now, zone_of(each.zone) or _UTC) for each in recurring))

    def _from(self, calendar: Calendar, now: datetime, zone: ZoneInfo) -> Iterator[Interval]:
        """Yield the calendar's intervals that end after `now`, in order of their start."""
        if calendar.name is not None:
            yield from self.named(calendar.name, now)
            return
        without = self._dates[calendar.except_] if calendar.except_ is not None else frozenset[str]()
        day = now.astimezone(zone).date() - timedelta(days=1)  # yesterday's window may run past midnight
        for offset in range(HORIZON_DAYS):
            start, end = _window(calendar, day + timedelta(days=offset), zone, without)
            if start < end and end > now:
                yield start, end


def _first_open(intervals: Iterator[Interval], now: datetime) -> datetime | None:
    return next((max(start, now) for start, _ in intervals), None)


def _first_gap(intervals: Iterator[Interval], now: datetime) -> datetime | None:
    at = now
    for start, end in intervals:
        if start > at:
            return at
        at = max(at, end)
    return at if at < now + timedelta(days=HORIZON_DAYS - 2) else None


def _window(calendar: Calendar, day: date, zone: ZoneInfo, without: frozenset[str]) -> Interval:
    """Return the window that starts on this local day; an empty one when there is none."""
    if day.weekday() not in calendar.days or day.isoformat() in without or not _is_week(calendar, day):
        return datetime.min.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    past_midnight = calendar.end_minutes <= calendar.start_minutes
    start = _instant(day, calendar.start_minutes, zone)
    end = _instant(day + timedelta(days=1) if past_midnight else day, calendar.end_minutes, zone)
    return start, end


def _is_week(calendar: Calendar, day: date) -> bool:
    """Tell whether this is, say, the first or the last such day of the week in its month."""
    if not calendar.weeks:
        return True
    is_last = (day + timedelta(days=7)).month != day.month
    return (day.day + 6) // 7 in calendar.weeks or (is_last and -1 in calendar.weeks)


def _instant(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """Return the first instant at which the wall clock of the zone shows this time of this day, or has passed it."""
    local = datetime.combine(day, time.min) + timedelta(minutes=minutes)
    late = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
    if late.astimezone(zone).replace(tzinfo=None) == local:
        return late
    early = local.replace(tzinfo=zone, fold=1).astimezone(UTC)  # the wall clock jumps over this time somewhere between
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(zone).replace(tzinfo=None) < local:
            early = middle
        else:
            late = middle
    return late.replace(microsecond=0)


@lru_cache(maxsize=1024)
def zone_of(name: str) -> ZoneInfo | None:
    """Return the zone of this IANA name; None when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None
