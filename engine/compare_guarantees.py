"""Compares what two policies promise about themselves: guarantees gained, lost, and those that no longer hold."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from engine.build import digest_of
from engine.compare import Change, Effect
from engine.errors import EngineError
from engine.guarantees import Guarantee
from engine.model import Policy

GONE = "not promised"


def compare_guarantees(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield each guarantee whose verdict or wording differs; one that is gone is held against the new policy."""
    before = {guarantee.name: guarantee for guarantee in old.guarantees}
    after = {guarantee.name: guarantee for guarantee in new.guarantees}
    judge = cache(_judge)
    for name in [*before, *(each for each in after if each not in before)]:
        one, two = before.get(name), after.get(name)
        if one is None:
            assert two is not None
            said, why = judge(new, two)
            yield Change("guarantees", name, Effect.ADDED, GONE, said, two.place, why or two.says)
        elif two is None:
            said, _ = judge(old, one)
            still, why = judge(new, one)
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
    if digest_of(_meaning(one)) != digest_of(_meaning(two)):
        words = (one.says, two.says) if one.says != two.says else ("as it was", "says something else")
        yield Change("guarantees", two.name, Effect.CHANGED, *words, two.place)


def _meaning(guarantee: Guarantee) -> tuple[Guarantee, ...]:
    return (guarantee,)


def _judge(policy: Policy, guarantee: Guarantee) -> tuple[str, str]:
    """Return the verdict and what breaks it. A guarantee of the other policy may name what this one does not have."""
    from engine.prove.judge import judge

    try:
        judged = judge(policy, guarantee)
    except (KeyError, StopIteration, ValueError, EngineError):
        return "not proven", "it names what the policy does not have"
    return str(judged.verdict), judged.why if judged.verdict != "holds" else ""
