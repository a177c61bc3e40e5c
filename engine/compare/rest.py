"""Compares the parts of a policy that decide nothing by themselves, value by value: facts, permits, intents, texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import NamedTuple

from engine.compare.guards import write_guard
from engine.compare.policies import Change, Effect
from engine.durations import write_duration
from engine.model import All, Any, Atom, Named, Not, Place, Policy

ORDERED = frozenset({"order"})  # of everything else that lists names, the order says nothing
UNSAID = frozenset({"place", "null", "name", "intent", "machine", "state"})  # words for readers, and names said before


class _Leaf(NamedTuple):
    words: str
    place: Place | None
    value: object


Path = tuple[str, ...]


def compare_rest(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield each value that differs; an entry that only one policy has is told once, as a whole."""
    before, after = dict(_leaves(_parts(old))), dict(_leaves(_parts(new)))
    heads_before, heads_after = {path[:2] for path in before}, {path[:2] for path in after}
    told: set[Path] = set()
    for path in [*before, *(each for each in after if each not in before)]:
        head = path[:2]
        one, two = before.get(path), after.get(path)
        if one is not None and two is not None and one.words == two.words:
            continue
        if head not in heads_before or head not in heads_after:
            if head not in told:
                told.add(head)
                yield _whole(head, before if head in heads_before else after, in_old=head in heads_before)
            continue
        subject, leaf = ".".join(path[1:]), two or one
        assert leaf is not None
        effect = Effect.MOVED if path[-1] in ORDERED else _effect(path, one, two)
        words = one.words if one is not None else "", two.words if two is not None else ""
        yield Change(path[0], subject, effect, *words, leaf.place, in_old=two is None)


def _parts(policy: Policy) -> Mapping[str, object]:
    """Return what is compared value by value, by the noun that the policy's files have."""
    standing = policy.standing
    return {
        "standing": {
            "owed_invoice_statuses": standing.owed_invoice_statuses,
            "late_subscription_statuses": standing.late_subscription_statuses,
            "active_subscription_statuses": standing.active_subscription_statuses,
            "open_dispute_statuses": standing.open_dispute_statuses,
            "lost_dispute_statuses": standing.lost_dispute_statuses,
            "free_servers": standing.free_servers,
        },
        "plans": standing.plans,
        "facts": policy.facts,
        "machines": {
            name: {"of": m.of, "cause": m.cause, "initial": m.initial, "each_server": m.each_server}
            for name, m in policy.machines.items()
        },
        "permits": policy.permits,
        "intents": policy.intents,
        "repairs": {
            "repairs": {"order": tuple(line.id for line in policy.repairs.lines)},
            "damping": {"agreeing_observations": policy.repairs.agreeing_observations},
            **{f"repair {line.id}": line for line in policy.repairs.lines},
            **{f"brake {name}": brake for name, brake in policy.repairs.brakes.items()},
        },
        "notices": policy.notices,
        "letter": policy.letter_words,
        "states": {".".join(name): told for name, told in policy.state_texts.items()},
        "alerts": policy.alerts,
        "calendars": policy.calendars,
        "announce": {f"{each.calendar} {write_duration(each.before)} before": each for each in policy.announce},
        "dates": policy.dates,
    }


def _leaves(value: object, path: Path = (), place: Place | None = None) -> Iterator[tuple[Path, _Leaf]]:
    if isinstance(value, Atom | All | Any | Named | Not):
        yield path, _Leaf(write_guard(value), value.place, value)
    elif is_dataclass(value) and not isinstance(value, type):
        place = getattr(value, "place", place)
        for each in fields(value):
            if each.name not in UNSAID:
                yield from _leaves(getattr(value, each.name), (*path, each.name), place)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _leaves(part, (*path, str(name)), place)
    else:
        yield path, _Leaf(_words(value, ordered=path[-1] in ORDERED), place, value)


def _words(value: object, *, ordered: bool = False) -> str:
    if isinstance(value, tuple | frozenset):
        found = [_words(each, ordered=ordered) for each in value]
        return ", ".join(found if ordered else sorted(found)) or "none"
    if isinstance(value, timedelta):
        return write_duration(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Enum):
        return str(value.value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    return str(value)


def _effect(path: Path, one: _Leaf | None, two: _Leaf | None) -> Effect:
    if one is None or two is None:
        return Effect.ADDED if one is None else Effect.REMOVED
    if path[0] == "facts" and path[-1] == "plus":  # a date that lies further ahead leaves more time
        assert isinstance(one.value, timedelta)
        assert isinstance(two.value, timedelta)
        return Effect.LENIENT if two.value > one.value else Effect.STRICTER
    return Effect.CHANGED


def _whole(head: Path, leaves: Mapping[Path, _Leaf], *, in_old: bool) -> Change:
    own = {path: leaf for path, leaf in leaves.items() if path[:2] == head}
    usual = {"none", "false", "0h"}
    words = "; ".join(
        f"{'.'.join(path[2:])}: {leaf.words}" if path[2:] else leaf.words
        for path, leaf in own.items()
        if leaf.words not in usual
    )
    place = next(iter(own.values())).place
    effect = Effect.REMOVED if in_old else Effect.ADDED
    sides = (words, "") if in_old else ("", words)
    return Change(head[0], ".".join(head[1:]), effect, *sides, place, in_old=in_old)
