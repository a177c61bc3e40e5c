"""Compares what two policies promise about themselves: guarantees gained, lost, and those that no longer hold."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import fields, is_dataclass

from engine.compare.guards import key_of
from engine.compare.policies import Change, Effect
from engine.errors import EngineError
from engine.guarantees import Guarantee, Happening
from engine.model import All, Any, Atom, Named, Not, Policy

GONE = "not promised"


def compare_guarantees(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield each guarantee whose verdict or wording differs; one that is gone is held against the new policy."""
    before = {guarantee.name: guarantee for guarantee in old.guarantees}
    after = {guarantee.name: guarantee for guarantee in new.guarantees}
    for name in [*before, *(each for each in after if each not in before)]:
        one, two = before.get(name), after.get(name)
        if one is None:
            assert two is not None
            said, why = _judge(new, two)
            yield Change("guarantees", name, Effect.ADDED, GONE, said, two.place, why or two.says)
        elif two is None:
            said, _ = _judge(old, one)
            still, why = _judge(new, one)
            example = f"held against the new policy, it is {still}" + (f": {why}" if why else "")
            yield Change("guarantees", name, Effect.REMOVED, said, GONE, one.place, example, in_old=True)
        else:
            yield from _both(old, new, one, two)


def _both(old: Policy, new: Policy, one: Guarantee, two: Guarantee) -> Iterator[Change]:
    was, _ = _judge(old, one)
    is_, why = _judge(new, two)
    if was != is_:
        effect = Effect.ADDED if is_ == "holds" else Effect.REMOVED if was == "holds" else Effect.CHANGED
        yield Change("guarantees", two.name, effect, was, is_, two.place, why or two.says)
    if _meaning(one) != _meaning(two):
        words = (one.says, two.says) if one.says != two.says else ("as it was", "asks for something else")
        yield Change("guarantees", two.name, Effect.CHANGED, *words, two.place)


def _meaning(part: object) -> Hashable:
    """Return what is the same for guarantees that differ by the order of names and of guards' parts alone."""
    if isinstance(part, Atom | All | Any | Named | Not):
        return key_of(part)
    if is_dataclass(part) and not isinstance(part, type):
        named = ((each.name, getattr(part, each.name)) for each in fields(part) if each.name != "place")
        return type(part).__name__, *((name, _meaning(value)) for name, value in named)
    if isinstance(part, tuple):
        found = [_meaning(each) for each in part]
        return frozenset(found) if all(isinstance(each, str | Happening) for each in part) else tuple(found)
    assert isinstance(part, Hashable)
    return part


def _judge(policy: Policy, guarantee: Guarantee) -> tuple[str, str]:
    """Return the verdict and what breaks it. A guarantee of the other policy may name what this one does not have."""
    from engine.prove.judge import judge

    try:
        judged = judge(policy, guarantee)
    except (KeyError, StopIteration, ValueError, EngineError):
        return "not proven", "it names what the policy does not have"
    return str(judged.verdict), judged.why if judged.verdict != "holds" else ""
