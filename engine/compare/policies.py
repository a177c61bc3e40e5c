"""What differs between two policies by what they mean, however they are written: each change, which way, an example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from engine.model import Place, Policy


class Effect(StrEnum):
    """Which way a change goes, as the customer feels it."""

    STRICTER = "more strict"
    LENIENT = "more lenient"
    MOVED = "moved"
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `place` is in the new policy, or in the old one when `removed` (then `in_old`)."""

    area: str  # gates, transitions, timers, servers, notices, guarantees, or the noun that the policy's file has
    subject: str
    effect: Effect
    before: str
    after: str
    place: Place | None = None
    example: str = ""
    in_old: bool = False
    leans: Effect | None = None  # which way something goes that was added or removed, where that can be said

    @property
    def words(self) -> str:
        """The effect as people read it: `added, more strict`."""
        return str(self.effect) if self.leans is None else f"{self.effect}, {self.leans}"


def compare(old: Policy, new: Policy, *, prove: bool = True) -> list[Change]:
    """Return every difference in meaning. prove: judge guarantees under both, which takes a moment.

    The same digest means the same; another digest with no change here is another way to write the same.
    """
    if old.digest == new.digest:
        return []
    return list(_changes(old, new, prove=prove))


def _changes(old: Policy, new: Policy, *, prove: bool) -> Iterator[Change]:
    from engine.compare.gates import compare_gates, compare_servers
    from engine.compare.guarantees import compare_guarantees
    from engine.compare.rest import compare_rest
    from engine.compare.rules import compare_ladders, compare_rules

    yield from compare_ladders(old, new)
    yield from compare_rules(old, new)
    yield from compare_servers(old, new)
    yield from compare_gates(old, new)
    yield from compare_rest(old, new)
    if prove:
        yield from compare_guarantees(old, new)
