"""Guards that nothing satisfies, that always hold, or that say something twice."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from engine.analyse.regions import Condition, Regions
from engine.analyse.tell import say_guard, written
from engine.faults import Faults
from engine.model import All, Any, Atom, Fact, Guard, Named, Not


class GuardJudge:
    """Judges guards over the facts of a policy. A predicate that has a fault is told where it is written, once."""

    def __init__(self, faults: Faults, facts: Mapping[str, Fact]) -> None:
        self.faults = faults
        self.facts = facts
        self.hollow: set[int] = set()  # guards of predicates with a fault

    def predicate(self, name: str, guard: Guard) -> None:
        """Judge what a predicate stands for."""
        if not self.sound(guard, f"the predicate `{name}`"):
            self.hollow.add(id(guard))

    def sound(self, guard: Guard, subject: str, others: Sequence[Condition] = ()) -> bool:
        """Tell whether the guard says something that can be so, and nothing twice; else note what is wrong.

        `others` is what holds besides it: one condition for each case in which it is asked.
        """
        if self.uses_hollow(guard):
            return False
        own = Condition((guard,))
        regions = Regions(self.facts, [own, *others])
        if not regions.judged:
            return True
        mask = regions.mask(own)
        if not mask:
            say_guard(self.faults, "M326", guard, f"nothing satisfies {subject}", self._conflict(regions, guard))
            return False
        if mask == regions.full:
            say_guard(self.faults, "M325", guard, f"{subject} always holds", "take it away, or say what is meant")
            return False
        among = regions.full if not others else 0
        for other in others:
            among |= regions.mask(other)
        if not among & mask:
            return True  # told of the rule, which has timers that exclude its guard
        return self._says(regions, guard, among, needed=True)

    def uses_hollow(self, guard: Guard) -> bool:
        """Tell whether a predicate with a fault stands in it."""
        if isinstance(guard, Named):
            return id(guard.guard) in self.hollow
        if isinstance(guard, Not):
            return self.uses_hollow(guard.part)
        return not isinstance(guard, Atom) and any(self.uses_hollow(part) for part in guard.parts)

    def _says(self, regions: Regions, guard: Guard, among: int, *, needed: bool) -> bool:
        """Tell whether each part of the guard matters in the cells where it is asked; note the first that does not.

        `needed`: the part is one of several that must hold, else one of several of which one must.
        """
        mask = regions.holding(guard)
        if needed and not among & ~mask:
            return self._idle(guard, "it holds whenever the rest does")
        if not needed and not among & mask:
            return self._idle(guard, "it never holds where the others do not")
        if isinstance(guard, Not):
            return self._says(regions, guard.part, among, needed=True)
        if not isinstance(guard, All | Any):
            return True
        joint = isinstance(guard, All)
        masks = [regions.holding(part) for part in guard.parts]
        for index in reversed(range(len(guard.parts))):
            context = among
            for at, other in enumerate(masks):
                if at != index:
                    context &= other if joint else ~other
            if not self._says(regions, guard.parts[index], context, needed=joint):
                return False
        return True

    def _idle(self, guard: Guard, why: str) -> bool:
        say_guard(self.faults, "M325", guard, f"`{written(guard)}` says nothing here: {why}", "take it away")
        return False

    @staticmethod
    def _conflict(regions: Regions, guard: Guard) -> str:
        """Return a hint that names two parts which exclude each other."""
        parts = guard.parts if isinstance(guard, All) else ()
        for one, two in itertools.combinations(parts, 2):
            if not regions.holding(one) & regions.holding(two):
                return f"`{written(one)}` and `{written(two)}` exclude each other"
        return "its parts exclude each other"
