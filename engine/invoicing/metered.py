"""What an invoice is made from: what tenants did and when, and which prices held when. Immutable, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from operator import itemgetter
from typing import NamedTuple


class UsageKind(StrEnum):
    """What is counted, rather than on or off."""

    MESSAGES = "messages"
    MODEL_SPEND = "model_spend"


class Switch(NamedTuple):
    """Something went on or off: a skill, or a suspension. Of two at one instant, the later in the list counts."""

    at: datetime
    on: bool


class Usage(NamedTuple):
    """So much of a kind on one day of the organisation's zone."""

    kind: UsageKind
    used_on: date
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class Tenant:
    """One tenant, with all that ever switched it and its skills, as far as it matters for the period."""

    name: str
    created_at: datetime
    deleted_at: datetime | None = None
    suspensions: Sequence[Switch] = ()
    skills: Mapping[str, Sequence[Switch]] = field(default_factory=dict)
    usage: Sequence[Usage] = ()
    late: Sequence[Usage] = ()
    """Of months before the period, told after later ones were billed: charged here, as it would have been there."""


class PlatformPrice(NamedTuple):
    """What holds from one day on, until another does. `vat_rate_chli` is in percent."""

    valid_from: date
    monthly_fee: Decimal
    setup_fee: Decimal
    per_message_price: Decimal
    model_spend_factor: Decimal
    vat_rate_chli: Decimal


class SkillPrice(NamedTuple):
    """What a day of a skill costs, from one day on."""

    valid_from: date
    daily_price: Decimal


@dataclass(frozen=True, slots=True)
class Prices:
    """Every price that ever held. Of two that are valid from the same day, the later in the list holds."""

    currency: str
    platform: Sequence[PlatformPrice]
    skills: Mapping[str, Sequence[SkillPrice]] = field(default_factory=dict)


def stretches(switches: Sequence[Switch]) -> Iterator[tuple[datetime, datetime | None]]:
    """Return the stretches of time that were on, in order; None: it still is.

    Turning on what is on, or off what is off, changes nothing.
    """
    since: datetime | None = None
    for at, on in sorted(switches, key=itemgetter(0)):  # stable: of two at one instant the later in the list counts
        if on and since is None:
            since = at
        elif not on and since is not None:
            yield since, at
            since = None
    if since is not None:
        yield since, None
