"""What may delay pressure, as the model has it: permits, and the brakes and windows of time that they go by."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from engine.model import Place


class PermitKind(StrEnum):
    """How a permit is answered."""

    HOLD = "hold"  # from the account's and everybody's holds
    CALENDAR = "calendar"  # from windows of time in a zone
    SERVICE = "service"  # from outside, given with the snapshot
    NO_SERVER = "no_server"  # from the account's servers: a safe point
    BRAKE = "brake"  # from slots, given out in record


@dataclass(frozen=True, slots=True)
class Brake:
    """At most `max(at_least, min(at_most, share * population))` in each `per`; trips closed."""

    share: float
    at_least: int
    at_most: int
    per: timedelta
    population: Literal["accounts", "servers"] = "accounts"  # what is counted; servers by the brakes of repairs


Interval = tuple[datetime, datetime]  # from, until; the second is the first instant after it


@dataclass(frozen=True, slots=True)
class Calendar:
    """A window of time that opens on days of the week, or a named list of windows that maintenance.yaml supplies."""

    days: frozenset[int] = frozenset(range(7))  # Monday is 0
    weeks: frozenset[int] = frozenset()  # of the month: 1 is the first such day in it, -1 the last; empty: every week
    start_minutes: int = 0
    end_minutes: int = 1440
    except_: str | None = None  # a named list of dates
    zone: str = "UTC"  # an IANA name, or `account`
    name: str | None = None  # a named list of windows instead of one that recurs
    outside: bool = False  # permitted outside the windows rather than inside


Window = Interval | Calendar  # a single one, or one that recurs


@dataclass(frozen=True, slots=True)
class Permit:
    """Something that may delay pressure and never cause it. Unknown means not permitted."""

    name: str
    kind: PermitKind
    place: Place
    holds: tuple[str, ...] = ()  # hold kinds
    voids_promises: bool = False
    notify: str | None = None  # notice sent when it voids a promise
    service: str | None = None
    younger_than: timedelta | None = None
    calendar: Calendar | None = None
    lifecycles: tuple[str, ...] = ()  # of `no_server`
    brake: Brake | None = None
    alert: str | None = None
    alert_after: timedelta | None = None
