"""Maintenance: whether repairs rest now, and what customers are told of windows that run or come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from engine.calendar import Calendars
from engine.languages import written_instant
from engine.model import Policy


@dataclass(frozen=True, slots=True)
class Told:
    """One window as a customer reads of it."""

    calendar: str
    title: str
    text: str
    begins_at: datetime
    ends_at: datetime


def is_running(policy: Policy, now: datetime) -> bool:
    """Tell whether a window runs in which repairs rest."""
    name = policy.repairs.maintenance
    if name is None:
        return False
    window = next(Calendars(policy.calendars, policy.dates).named(name, now), None)
    return window is not None and window[0] <= now


def told(policy: Policy, now: datetime, zone: str) -> Iterator[Told]:
    """Yield the windows that run or begin soon enough to be announced; instants in words are in this zone."""
    calendars = Calendars(policy.calendars, policy.dates)
    for announcement in policy.announce:
        for begins_at, ends_at in calendars.named(announcement.calendar, now):
            if begins_at - announcement.before > now:
                break
            ends = {"{from}": written_instant(begins_at, zone), "{until}": written_instant(ends_at, zone)}
            title, text = announcement.title, announcement.text.strip()
            for field, words in ends.items():
                title, text = title.replace(field, words), text.replace(field, words)
            yield Told(announcement.calendar, title, text, begins_at, ends_at)
