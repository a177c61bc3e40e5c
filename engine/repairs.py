"""Desired against observed: what the controller is recommended to do about one server. It decides; `jobs` acts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from engine.model import STOPPED_BILLING_STATES, Policy, Repair

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What the first line that holds says. `do` None: nothing to do; `repair` None: no line holds at all."""

    repair: str | None
    do: str | None
    level: Literal["off", "dry_run", "live"]
    reason: str
    agreeing: int = 1  # observations in a row that must lead here before it is done
    brake: str | None = None
    alert_after: timedelta | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """One server as the controller sees it now."""

    desired: str
    observed: str
    server: str
    lifecycle: str
    autostart: bool | None
    edge: str | None
    lock_age: timedelta | None


def recommend(  # noqa: PLR0917 - every input that a line of repairs may name, in its order
    policy: Policy,
    desired: str,
    observed: str,
    server_state: str,
    lifecycle: str,
    autostart: bool | None = None,
    edge: str | None = None,
    lock_age: timedelta | None = None,
) -> Recommendation:
    """Return what to do about a server. An input that is None is not known, and satisfies no line that asks for it."""
    seen = _Seen(desired, observed, server_state, lifecycle, autostart, edge, lock_age)
    for line in policy.repairs.lines:
        if _holds(line, seen):
            return _recommended(policy, line, seen)
    return Recommendation(None, None, "live", f"{_described(seen)}: no line of repairs holds")


def _holds(line: Repair, seen: _Seen) -> bool:
    # a line that names no observation asks for a known one: what is unknown is never acted on by the way
    if seen.observed not in line.observed if line.observed else seen.observed == UNKNOWN:
        return False
    for allowed, found in (
        (line.desired, seen.desired),
        (line.server, seen.server),
        (line.lifecycle, seen.lifecycle),
        (line.edge, seen.edge),
    ):
        if allowed and found not in allowed:
            return False
    if line.autostart is not None and seen.autostart is not line.autostart:
        return False
    return line.lock_older_than is None or (seen.lock_age is not None and seen.lock_age > line.lock_older_than)


def _recommended(policy: Policy, line: Repair, seen: _Seen) -> Recommendation:
    place, reason, do = str(line.place), _described(seen), line.do
    intent = policy.intents.get(do) if do is not None else None
    # INVARIANT: whatever the lines say, a repair never starts what billing stopped, and never destroys
    if intent is not None and intent.starts_servers and seen.server in STOPPED_BILLING_STATES:
        do, reason = None, f"{reason}: `{line.do}` would start a server that is {seen.server}"
    elif intent is not None and intent.destructive:
        do, reason = None, f"{reason}: `{line.do}` destroys, and no repair may"
    agreeing = policy.repairs.agreeing_observations if line.damped and do is not None else 1
    return Recommendation(line.id, do, line.level, reason, agreeing, line.brake, line.alert_after, place)


def _described(seen: _Seen) -> str:
    return f"desired {seen.desired}, observed {seen.observed}, servers {seen.server}, lifecycle {seen.lifecycle}"
