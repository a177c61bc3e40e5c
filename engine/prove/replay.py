"""A counterexample as a timeline, so that the real decisions can be seen to end where the proof says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from engine.model import PermitKind, Value
from engine.prove.counterexample import Told
from engine.prove.space import Space
from engine.snapshot import Command, Hold
from engine.timeline_items import START, Item, Sending, Timeline, good_standing

FOR_EVER = timedelta(days=3650)


def timeline_of(space: Space, steps: Sequence[Told], start: datetime = START) -> Timeline:
    """Return a timeline on which each step happens at its instant: nothing is sent or permitted before its turn."""
    items = [Item(timedelta(0), post="delayed", permits=_only(space, ()))]
    given: dict[str, Value] = {}
    for step in steps:
        items += _items(space, step, start, given)
    return Timeline(start, items=tuple(items), given={**good_standing(space.policy), **given})


def _items(space: Space, step: Told, start: datetime, given: dict[str, Value]) -> list[Item]:
    at, name = timedelta(seconds=step.at_seconds), step.move.names[0]
    if step.move.kind == "deliver":
        sent: Mapping[str, Sending] = {name: "delivered"}
        return [Item(at, send={name: "claimed"}), Item(at, send=sent)]
    if step.move.kind in {"void", "reissue"}:
        kind = next(k for p in space.ready.promises if p.notice == name for v in p.voiding for k in v.holds)
        hold = Hold(kind, start + at + FOR_EVER) if step.move.kind == "void" else None
        return [Item(at, holds={kind: hold})]
    evidence: dict[str, Value] = {
        fact: start + timedelta(seconds=step.since[fact]) if fact in step.since else value
        for fact, value in step.evidence.items()
        if fact in space.policy.standing.facts or fact in given
    }
    rule = space.ready.rules[name].rule
    command = Command(rule.event, rule.by or "admin", step.move.actor or "one") if rule.event is not None else None
    permits = _only(space, rule.needs)
    return [Item(at, set=evidence, command=command, permits=permits), Item(at, permits=_only(space, ()))]


def _only(space: Space, needed: Sequence[str]) -> dict[str, bool | None]:
    """Answer yes to these permits and no to all others; holds speak for themselves."""
    permits = space.policy.permits.values()
    return {permit.name: permit.name in needed for permit in permits if permit.kind is not PermitKind.HOLD}
