"""Desired against observed: what the controller is recommended to do about one server. It decides; `jobs` acts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from engine.model import STOPPED_BILLING_STATES, Policy
from engine.model_repairs import Repair, RepairMode

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Seen:
    """One server as the controller sees it now. What is None is not known, and satisfies no line that asks for it."""

    desired: str
    observed: str
    server: str
    """The billing state of the account's servers."""
    lifecycle: str
    autostart: bool | None = None
    lifecycle_age: timedelta | None = None
    edge: str | None = None
    lock_age: timedelta | None = None

    def __str__(self) -> str:
        return f"desired {self.desired}, observed {self.observed}, servers {self.server}, lifecycle {self.lifecycle}"


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What a line that holds says. `do` None: nothing to do; `repair` None: no line holds at all."""

    repair: str | None
    do: str | None
    mode: RepairMode
    reason: str
    level: int | None = None  # None: always
    agreeing: int = 1  # observations in a row that must lead here before it is done
    brake: str | None = None
    alert_after: timedelta | None = None
    place: str | None = None
    in_maintenance: bool = False  # done also while a window of maintenance runs


def recommend(policy: Policy, seen: Seen) -> Recommendation:
    """Return what to do about a server: what the first line says that holds and is live."""
    *_, found = _all(policy, seen)
    return found


def recommendations(policy: Policy, seen: Seen) -> tuple[Recommendation, ...]:
    """Return what would be done if levels in dry_run were live, in the order of the lines; last, what is to be done.

    Lines whose level is off are passed over, and lines in dry_run only told: neither keeps a line below from acting.
    """
    return tuple(_all(policy, seen))


def lines_that_hold(policy: Policy, seen: Seen) -> tuple[str, ...]:
    """Return the lines that hold for a server, whatever their level, up to the one that is done."""
    names = []
    for line in policy.repairs.lines:
        if _holds(line, seen):
            names.append(line.id)
            if line.mode == "live":
                break
    return tuple(names)


def _all(policy: Policy, seen: Seen) -> Iterator[Recommendation]:
    for line in policy.repairs.lines:
        if line.mode == "off" or not _holds(line, seen):
            continue
        yield _recommended(policy, line, seen)
        if line.mode == "live":
            return
    yield Recommendation(None, None, "live", f"{seen}: no line of repairs holds")


def _holds(line: Repair, seen: Seen) -> bool:
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
    return all(
        least is None or (age is not None and age > least)
        for least, age in ((line.lifecycle_older_than, seen.lifecycle_age), (line.lock_older_than, seen.lock_age))
    )


def _recommended(policy: Policy, line: Repair, seen: Seen) -> Recommendation:
    reason, do = str(seen), line.do
    intent = policy.intents.get(do) if do is not None else None
    # INVARIANT: whatever the lines say, a repair never starts what billing stopped, and never destroys
    if intent is not None and intent.starts_servers and seen.server in STOPPED_BILLING_STATES:
        do, reason = None, f"{reason}: `{line.do}` would start a server that is {seen.server}"
    elif intent is not None and intent.destructive:
        do, reason = None, f"{reason}: `{line.do}` destroys, and no repair may"
    return Recommendation(
        repair=line.id,
        do=do,
        mode=line.mode,
        reason=reason,
        level=line.level,
        agreeing=policy.repairs.agreeing_observations if line.damped and do is not None else 1,
        brake=line.brake,
        alert_after=line.alert_after,
        place=str(line.place),
        in_maintenance=line.in_maintenance,
    )
