"""Permits: what may delay pressure and never cause it. What is not known does not permit."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from engine.calendar import Calendars
from engine.model_permits import Permit, PermitKind
from engine.snapshot import Hold, Snapshot


class Permits:
    """The permits of one policy, asked about one snapshot at a time."""

    __slots__ = ("_calendars",)

    def __init__(self, calendars: Calendars) -> None:
        self._calendars = calendars

    def block(self, permit: Permit, snapshot: Snapshot, now: datetime) -> tuple[bool, datetime | None]:
        """Return whether the permit blocks now, and until when; None: not known."""
        if permit.kind is PermitKind.HOLD:
            return hold_end(permit.holds, snapshot.holds, now)
        if permit.kind is PermitKind.NO_SERVER:
            return any(server.lifecycle in permit.lifecycles for server in snapshot.servers), None
        if permit.kind is PermitKind.CALENDAR and permit.calendar is not None:
            opening = self._calendars.opening(permit.calendar, now, snapshot.zone)
            return opening != now, opening
        return snapshot.permits.get(permit.name) is not True, None  # services and brakes answer with the snapshot


def hold_end(kinds: Iterable[str], holds: tuple[Hold, ...], now: datetime) -> tuple[bool, datetime | None]:
    """Return whether a hold of these kinds is active, and when the last of them ends; None: when somebody ends it."""
    ends = [hold.until for hold in holds if hold.kind in kinds and (hold.until is None or hold.until > now)]
    if not ends:
        return False, None
    bounded = [end for end in ends if end is not None]
    return True, max(bounded) if len(bounded) == len(ends) else None
