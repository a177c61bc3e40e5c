"""What a policy's names can do, by property: what may start a server, what wakes somebody, which number is a floor.

A guarantee of kind `exactly` writes such a list a second time, so that no single slip changes it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

from engine.durations import parse_duration, write_duration
from engine.model import Intent, Policy
from engine.model_permits import Brake
from engine.model_repairs import Repair

Entry = str | int | timedelta
Entries = Mapping[str, Entry]
HAS = ""  # the entry of a name that has the property, where the property has no value


def brakes_of(policy: Policy) -> dict[str, Brake]:
    """Return the brakes of permits and of repairs by name."""
    of_permits = {name: permit.brake for name, permit in policy.permits.items() if permit.brake is not None}
    return {**policy.repairs.brakes, **of_permits}


def slots(brake: Brake, population: int) -> int:
    """Return how many of a population the brake lets through in each of its periods."""
    return max(brake.at_least, min(brake.at_most, math.floor(brake.share * population)))


def entries(policy: Policy, name: str) -> Entries:
    """Return the names that have the property, with its value where it has one. Raises KeyError."""
    return PROPERTIES[name](policy)


def read_entry(text: str) -> Entry:
    """Return a value as `entries` has it."""
    duration = parse_duration(text)
    return duration if duration is not None else int(text) if text.isdecimal() else text


def write_entry(name: str, entry: Entry) -> str:
    """Return a name with its value for people."""
    said = write_duration(entry) if isinstance(entry, timedelta) else str(entry)
    return f"{name} {said}".rstrip()


def _intents(holds: Callable[[Intent], bool]) -> Callable[[Policy], Entries]:
    return lambda policy: {name: HAS for name, intent in policy.intents.items() if holds(intent)}


def _channel(channel: str) -> Callable[[Policy], Entries]:
    return lambda policy: {name: HAS for name, where in policy.alerts.items() if where == channel}


def _repairs(holds: Callable[[Repair], bool]) -> Callable[[Policy], Entries]:
    return lambda policy: {each.id: HAS for each in policy.repairs.lines if each.do is not None and holds(each)}


def _known(pairs: Iterable[tuple[str, Entry | None]]) -> Entries:
    return {name: entry for name, entry in pairs if entry is not None}


def _settings(policy: Policy) -> Iterable[tuple[str, timedelta | None, str | None]]:
    for machine in policy.machines.values():
        for name, setting in machine.settings.items():
            yield f"{machine.name}.{name}", setting.minimum, setting.at_least


PROPERTIES: Mapping[str, Callable[[Policy], Entries]] = {
    "starts_servers": _intents(lambda intent: intent.starts_servers),
    "destructive": _intents(lambda intent: intent.destructive),
    "enforcement": _intents(lambda intent: intent.enforcement),
    "alerts-critical": _channel("alerts-critical"),
    "alerts-billing": _channel("alerts-billing"),
    "audit-log": _channel("audit-log"),
    "always": _repairs(lambda line: line.level is None),
    "level_1": _repairs(lambda line: line.level == 1),
    "level_2": _repairs(lambda line: line.level == 2),
    "level_3": _repairs(lambda line: line.level == 3),
    "undamped": _repairs(lambda line: not line.damped),
    "in_maintenance": _repairs(lambda line: line.in_maintenance),
    "unbraked": _repairs(lambda line: line.brake is None),
    "repairs_alert_after": lambda policy: _known((line.id, line.alert_after) for line in policy.repairs.lines),
    "permits_alert": lambda policy: _known((name, permit.alert) for name, permit in policy.permits.items()),
    "permits_alert_after": lambda policy: _known((name, permit.alert_after) for name, permit in policy.permits.items()),
    "younger_than": lambda policy: _known((name, permit.younger_than) for name, permit in policy.permits.items()),
    "announced": lambda policy: {each.calendar: each.before for each in policy.announce},
    "agreeing_observations": lambda policy: {"repairs": policy.repairs.agreeing_observations},
    "never_below": lambda policy: _known((name, minimum) for name, minimum, _ in _settings(policy)),
    "at_least": lambda policy: _known((name, other) for name, _, other in _settings(policy)),
    "owed": lambda policy: dict.fromkeys(policy.standing.owed_invoice_statuses, HAS),
    "late": lambda policy: dict.fromkeys(policy.standing.late_subscription_statuses, HAS),
    "disputed": lambda policy: dict.fromkeys(policy.standing.open_dispute_statuses, HAS),
    "disputed_and_lost": lambda policy: dict.fromkeys(policy.standing.lost_dispute_statuses, HAS),
    "with_plan": lambda policy: dict.fromkeys(policy.standing.active_subscription_statuses, HAS),
    "free_servers": lambda policy: {"account": policy.standing.free_servers},
    "servers_of_plan": lambda policy: {name: plan.servers for name, plan in policy.standing.plans.items()},
}
