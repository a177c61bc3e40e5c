"""Calendars: windows and dates of maintenance.yaml, what is announced of them, and the weekly hours of permits."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime

from engine.builders.draft import Draft, each, entries, text_of
from engine.faults import meant, shown
from engine.model_permits import Calendar, Window
from engine.model_words import Announcement
from engine.notices import fields_of
from engine.source import Node

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
ANNOUNCED = ("from", "until")  # what an announcement may name: the ends of its window


def read_calendar(draft: Draft, node: Node, *, outside: bool) -> Calendar:
    """Return what a permit names: a calendar of maintenance.yaml, or weekly hours."""
    if node.kind == "scalar":
        draft.known("calendar", node)
        return Calendar(name=node.text, outside=outside)
    return replace(_recurring(draft, node, zones="`account`"), outside=outside)


def _recurring(draft: Draft, node: Node, *, zones: str = "`UTC`") -> Calendar:
    """Return a window that recurs. zones: what else a zone may be called."""
    start, end = (_minutes(clock) for clock in (text_of(node, "hours") or "00:00-24:00").split("-"))
    zone, except_ = node.get("zone"), node.get("except")
    if except_ is not None:
        draft.known("list of dates", except_)
    if zone is not None and f"`{zone.text}`" not in {zones, "`UTC`"} and not _is_zone(zone.text):
        message = f"there is no time zone `{shown(zone.text)}`"
        draft.fault("M310", zone, message, f"name one such as `Europe/Berlin`, or {zones}")
    return Calendar(
        days=frozenset(_DAYS.index(day.text) for day in each(node.get("days"))) or frozenset(range(7)),
        weeks=frozenset(_WEEKS[week.text] for week in each(node.get("weeks"))),
        start_minutes=start,
        end_minutes=end,
        except_=except_.text if except_ is not None else None,
        zone=zone.text if zone is not None else "UTC",
    )


def _minutes(clock: str) -> int:
    hours, _, minutes = clock.partition(":")
    return int(hours) * 60 + int(minutes)


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True


def build_calendars(draft: Draft) -> tuple[dict[str, tuple[Window, ...]], dict[str, frozenset[str]]]:
    """Read maintenance.yaml: windows and dates by name."""
    windows: dict[str, tuple[Window, ...]] = {}
    dates: dict[str, frozenset[str]] = {}
    for name, key, node in entries(draft.section("maintenance", "dates")):
        draft.names["list of dates"].declare(name, key, draft.faults)
        dates[name] = frozenset(item.text for item in each(node) if _is_date(draft, item))
    for name, key, node in entries(draft.section("maintenance", "calendars")):
        draft.names["calendar"].declare(name, key, draft.faults)
        windows[name] = tuple(window for item in each(node) if (window := _window(draft, item)) is not None)
    return windows, dates


def build_announcements(draft: Draft) -> tuple[Announcement, ...]:
    """Read which windows customers are told of."""
    found = []
    for name, key, node in entries(draft.section("maintenance", "announce")):
        draft.known("calendar", key, name)
        before = draft.duration(node.get("before"))
        title, text = text_of(node, "title") or "", text_of(node, "text") or ""
        for field_ in fields_of(title + text):
            if field_ not in ANNOUNCED:
                message = f"a text of maintenance cannot name `{shown(field_)}`"
                draft.fault("M372", node.entries["text"][1], message, meant(field_, ANNOUNCED))
        if before is not None:
            found.append(Announcement(name, before, title, text, key.place))
    return tuple(found)


def _window(draft: Draft, node: Node) -> Window | None:
    if "hours" in node.entries:
        return _recurring(draft, node)
    start, end = (_instant(draft, node.entries[key][1]) for key in ("from", "until"))
    if start is None or end is None:
        return None
    if start >= end:
        draft.fault("M392", node.entries["until"][1], "the window ends before it begins", "swap `from` and `until`")
        return None
    return start, end


def _instant(draft: Draft, node: Node) -> datetime | None:
    try:
        return datetime.fromisoformat(node.text.removesuffix("Z")).replace(tzinfo=UTC)
    except ValueError:
        draft.fault("M391", node, f"there is no such instant as `{shown(node.text)}`", "check month, day and hour")
        return None


def _is_date(draft: Draft, node: Node) -> bool:
    try:
        date.fromisoformat(node.text)
    except ValueError:
        draft.fault("M391", node, f"there is no such date as `{shown(node.text)}`", "check month and day")
        return False
    return True
