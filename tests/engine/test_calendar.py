"""When calendars open: weekly windows in zones, on days when clocks change, around dates and named intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.calendar import Calendars
from engine.model_permits import Calendar

PLAIN = Calendars({}, {"holidays": frozenset({"2026-03-03"})})
OFFICE = Calendar(days=frozenset({0, 1, 2, 3}), start_minutes=9 * 60, end_minutes=16 * 60, zone="UTC")
MINUTE = timedelta(minutes=1)


def utc(text: str) -> datetime:
    """Return the UTC instant written as `2026-03-01 08:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-03-02 08:59", "2026-03-02 09:00"),  # a Monday
        ("2026-03-02 09:00", "2026-03-02 09:00"),
        ("2026-03-02 15:59", "2026-03-02 15:59"),
        ("2026-03-02 16:00", "2026-03-03 09:00"),
        ("2026-03-05 16:00", "2026-03-09 09:00"),  # Friday to Sunday are closed
        ("2026-03-07 12:00", "2026-03-09 09:00"),
    ],
)
def test_a_weekly_window_opens_at_its_start_and_is_closed_at_its_end(now: str, opening: str) -> None:
    assert PLAIN.opening(OFFICE, utc(now), "UTC") == utc(opening)


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-03-02 09:00", "2026-03-02 16:00"),
        ("2026-03-02 15:59", "2026-03-02 16:00"),
        ("2026-03-02 16:00", "2026-03-02 16:00"),
        ("2026-03-02 08:00", "2026-03-02 08:00"),
    ],
)
def test_outside_means_outside(now: str, opening: str) -> None:
    outside = Calendar(
        days=OFFICE.days, start_minutes=OFFICE.start_minutes, end_minutes=OFFICE.end_minutes, outside=True
    )
    assert PLAIN.opening(outside, utc(now), "UTC") == utc(opening)


def test_a_listed_date_is_taken_out() -> None:
    without = Calendar(days=OFFICE.days, start_minutes=540, end_minutes=960, except_="holidays")
    assert PLAIN.opening(without, utc("2026-03-02 16:00"), "UTC") == utc("2026-03-04 09:00")


def test_a_window_past_midnight_belongs_to_the_day_that_it_starts_on() -> None:
    friday_night = Calendar(days=frozenset({4}), start_minutes=22 * 60, end_minutes=6 * 60)
    assert PLAIN.opening(friday_night, utc("2026-03-07 05:59"), "UTC") == utc("2026-03-07 05:59")
    assert PLAIN.opening(friday_night, utc("2026-03-07 06:00"), "UTC") == utc("2026-03-13 22:00")
    assert PLAIN.opening(friday_night, utc("2026-03-06 21:59"), "UTC") == utc("2026-03-06 22:00")


def test_windows_that_touch_are_one() -> None:
    always_closed = Calendar(outside=True)  # outside of every whole day
    assert PLAIN.opening(always_closed, utc("2026-03-02 12:00"), "UTC") is None
    assert PLAIN.opening(Calendar(), utc("2026-03-02 00:00"), "UTC") == utc("2026-03-02 00:00")


@pytest.mark.parametrize(
    ("zone", "day", "start", "end", "opens", "closes"),
    [
        # clocks go forward: a time that does not exist is the moment of the change
        ("Europe/Zurich", "2026-03-29", 2 * 60 + 30, 4 * 60, "2026-03-29 01:00", "2026-03-29 02:00"),
        ("America/New_York", "2026-03-08", 2 * 60 + 30, 4 * 60, "2026-03-08 07:00", "2026-03-08 08:00"),
        ("Australia/Lord_Howe", "2026-10-04", 2 * 60 + 15, 4 * 60, "2026-10-03 15:30", "2026-10-03 17:00"),
        # a window that ends in the gap ends at the change
        ("Europe/Zurich", "2026-03-29", 60, 2 * 60 + 30, "2026-03-29 00:00", "2026-03-29 01:00"),
        # clocks go back: a time that exists twice is the first
        ("Europe/Zurich", "2026-10-25", 2 * 60 + 30, 4 * 60, "2026-10-25 00:30", "2026-10-25 03:00"),
        ("America/New_York", "2026-11-01", 60 + 30, 3 * 60, "2026-11-01 05:30", "2026-11-01 08:00"),
        ("Australia/Lord_Howe", "2026-04-05", 60 + 45, 4 * 60, "2026-04-04 14:45", "2026-04-04 17:30"),
        # an ordinary day, for comparison
        ("Europe/Zurich", "2026-06-01", 9 * 60, 16 * 60, "2026-06-01 07:00", "2026-06-01 14:00"),
        ("America/New_York", "2026-06-01", 9 * 60, 16 * 60, "2026-06-01 13:00", "2026-06-01 20:00"),
        ("Australia/Lord_Howe", "2026-06-01", 9 * 60, 16 * 60, "2026-05-31 22:30", "2026-06-01 05:30"),
    ],
)
def test_windows_on_days_when_clocks_change(zone: str, day: str, start: int, end: int, opens: str, closes: str) -> None:
    weekday = datetime.fromisoformat(day).weekday()
    calendar = Calendar(days=frozenset({weekday}), start_minutes=start, end_minutes=end, zone="account")
    assert PLAIN.opening(calendar, utc(opens) - MINUTE, zone) == utc(opens)
    assert PLAIN.opening(calendar, utc(closes) - MINUTE, zone) == utc(closes) - MINUTE
    after = PLAIN.opening(calendar, utc(closes), zone)
    assert after is not None
    assert after > utc(closes) + timedelta(days=5)


def test_a_window_that_lies_in_the_gap_does_not_open_that_day() -> None:
    calendar = Calendar(days=frozenset({6}), start_minutes=2 * 60, end_minutes=3 * 60, zone="Europe/Zurich")
    assert PLAIN.opening(calendar, utc("2026-03-28 12:00"), "UTC") == utc("2026-04-05 00:00")


def test_a_local_day_that_was_skipped_has_no_window() -> None:
    calendar = Calendar(days=frozenset({4}), start_minutes=540, end_minutes=960, zone="Pacific/Apia")  # Fridays
    assert PLAIN.opening(calendar, utc("2011-12-29 12:00"), "UTC") == utc("2012-01-05 19:00")


MAINTENANCE = (
    (utc("2026-03-10 22:00"), utc("2026-03-11 02:00")),
    (utc("2026-03-11 01:00"), utc("2026-03-11 04:00")),
)


@pytest.mark.parametrize(
    ("now", "opening"),
    [
        ("2026-03-10 21:59", "2026-03-10 21:59"),
        ("2026-03-10 22:00", "2026-03-11 04:00"),
        ("2026-03-11 03:59", "2026-03-11 04:00"),
        ("2026-03-11 04:00", "2026-03-11 04:00"),
    ],
)
def test_maintenance_blocks_while_one_of_its_windows_runs(now: str, opening: str) -> None:
    calendars = Calendars({"maintenance": MAINTENANCE}, {})
    assert calendars.opening(Calendar(name="maintenance", outside=True), utc(now), "UTC") == utc(opening)


def test_an_empty_list_of_windows_never_blocks_and_never_opens() -> None:
    calendars = Calendars({"maintenance": ()}, {})
    now = utc("2026-03-10 21:59")
    assert calendars.opening(Calendar(name="maintenance", outside=True), now, "UTC") == now
    assert calendars.opening(Calendar(name="maintenance"), now, "UTC") is None


@pytest.mark.parametrize(
    "calendar",
    [Calendar(zone="Mars/Olympus"), Calendar(name="nothing"), Calendar(except_="nothing"), Calendar(days=frozenset())],
)
def test_what_is_not_known_never_opens(calendar: Calendar) -> None:
    assert PLAIN.opening(calendar, utc("2026-03-02 12:00"), "UTC") is None


def test_an_account_in_an_unknown_zone_never_opens() -> None:
    assert PLAIN.opening(Calendar(zone="account"), utc("2026-03-02 12:00"), "../../etc/passwd") is None


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 - made aware below
    st.sampled_from(("Europe/Zurich", "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kathmandu")),
    st.frozensets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.booleans(),
)
def test_nothing_opens_between_now_and_the_opening(
    moment: datetime, zone: str, days: frozenset[int], start: int, end: int, outside: bool
) -> None:
    calendar = Calendar(days=days, start_minutes=start, end_minutes=end, zone=zone, outside=outside)
    now = moment.replace(tzinfo=UTC, microsecond=0)
    opening = PLAIN.opening(calendar, now, "UTC")
    if opening is None:
        assert outside
        return
    assert opening >= now
    assert PLAIN.opening(calendar, opening, "UTC") == opening
    for share in (0.0, 0.3, 0.999):
        between = now + (opening - now) * share
        if between < opening:
            assert PLAIN.opening(calendar, between, "UTC") == opening


@pytest.mark.parametrize(
    ("weeks", "days"),
    [
        ({1}, ["2026-03-01", "2026-04-05", "2026-05-03"]),
        ({-1}, ["2026-03-29", "2026-04-26", "2026-05-31"]),
        ({2, 4}, ["2026-03-08", "2026-03-22", "2026-04-12"]),
        ({5}, ["2026-03-29", "2026-05-31", "2026-08-30"]),
        ({5, -1}, ["2026-03-29", "2026-04-26", "2026-05-31"]),
        (set(), ["2026-03-01", "2026-03-08", "2026-03-15"]),
    ],
)
def test_recurring_maintenance_runs_in_those_weeks_of_the_month(weeks: set[int], days: list[str]) -> None:
    sundays = Calendar(days=frozenset({6}), weeks=frozenset(weeks), start_minutes=120, end_minutes=300)
    windows = Calendars({"maintenance": (sundays,)}, {}).named("maintenance", utc("2026-03-01 00:00"))
    assert [f"{start:%Y-%m-%d}" for start, _ in islice(windows, 3)] == days


def test_single_and_recurring_windows_are_told_in_order_and_close_together() -> None:
    nightly = Calendar(start_minutes=60, end_minutes=120, zone="Europe/Zurich")
    single = utc("2026-03-10 00:30"), utc("2026-03-10 03:00")
    calendars = Calendars({"maintenance": (nightly, single)}, {})
    now = utc("2026-03-09 12:00")
    starts = [start for start, _ in islice(calendars.named("maintenance", now), 3)]
    assert starts == [utc("2026-03-10 00:00"), utc("2026-03-10 00:30"), utc("2026-03-11 00:00")]
    outside = Calendar(name="maintenance", outside=True)
    assert calendars.opening(outside, utc("2026-03-10 00:10"), "UTC") == utc("2026-03-10 03:00")
    assert calendars.opening(Calendar(name="maintenance"), now, "UTC") == utc("2026-03-10 00:00")


@pytest.mark.parametrize(("day", "start", "end"), [("2026-03-29", "01:00", "01:30"), ("2026-10-25", "00:30", "02:30")])
def test_maintenance_by_the_clock_on_the_wall_bears_the_days_on_which_clocks_change(
    day: str, start: str, end: str
) -> None:
    # Zurich: from 02:30 to 03:30; in spring 02:30 does not exist, in autumn it exists twice
    night = Calendar(days=frozenset({6}), start_minutes=150, end_minutes=210, zone="Europe/Zurich")
    (window,) = islice(Calendars({"m": (night,)}, {}).named("m", utc(f"{day} 00:00")), 1)
    assert window == (utc(f"{day} {start}"), utc(f"{day} {end}"))
