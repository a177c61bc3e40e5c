"""All facts at once, cut into the finitely many cells that some conditions can tell apart.

A condition is the set of cells in which it holds, kept as the bits of one whole number: whether two can hold together,
or one implies another, is then one operation, and exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from engine.durations import LONGEST, write_duration
from engine.guards import atoms_of, holds
from engine.model import All, Atom, Fact, FactType, Guard, Named, Not, Origin, Value
from engine.prove.evidence import PRESENT, representatives

MOST_CELLS = 1 << 18  # conditions that need more are left unjudged; those of a real policy need some thousands
MOST_TRIES = 20_000  # of smaller witnesses
STAMPS = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)

Region = Value | timedelta  # of an instant: how long ago it is, or None


@dataclass(frozen=True, slots=True)
class Elapsed:
    """So long since an anchor. What a setting says is compared with nothing but itself: its number may change."""

    anchor: str
    duration: timedelta
    setting: str | None = None

    @property
    def words(self) -> str:
        """The duration as a witness tells it."""
        if self.setting is not None:
            return f"{self.setting} {'ago' if self.duration >= timedelta(0) else 'before'}"
        if self.duration < timedelta(0):
            return f"in {write_duration(-self.duration)}"
        return f"{write_duration(self.duration)} ago"


@dataclass(frozen=True, slots=True)
class Condition:
    """Everything that must hold: guards, so long since these anchors, and these instants being known or null."""

    guards: tuple[Guard, ...] = ()
    elapsed: tuple[Elapsed, ...] = ()
    known: frozenset[str] = frozenset()
    null: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()  # stamps that are of this very instant, if there are any


@dataclass(frozen=True, slots=True)
class Axis:
    """One fact, or one stamp that several facts are, and the regions of it that conditions tell apart."""

    name: str
    regions: tuple[Region, ...]
    stride: int
    elapsed: str | None = None  # of a time that is compared with no other, what it is


class Regions:
    """The cells of some conditions: every combination of a region of each fact that they read."""

    def __init__(self, facts: Mapping[str, Fact], conditions: Iterable[Condition]) -> None:
        self.facts = facts
        self.axes: dict[Hashable, Axis] = {}
        atoms: dict[Hashable, list[Atom]] = {}
        bounds: dict[Hashable, set[timedelta]] = {}
        names: dict[Hashable, str] = {}
        apart: dict[Elapsed, None] = {}
        for condition in conditions:
            for atom in (atom for guard in condition.guards for atom in atoms_of(guard)):
                key = self._key(atom.fact, names)
                atoms.setdefault(key, []).append(atom)
            for timer in condition.elapsed:
                bounds.setdefault(self._key(timer.anchor, names), set()).add(self._bound(timer))
                if self._apart(timer):
                    apart.setdefault(timer)
            for name in condition.known:
                self._key(name, names)
            for name in condition.fresh:
                bounds.setdefault(self._key(name, names), set()).add(timedelta(0))
        cells = 1
        for key, name in names.items():
            regions = self._regions(facts[name], atoms.get(key, []), bounds.get(key, set()))
            self.axes[key] = Axis(name, regions, cells)
            cells *= len(regions)
        for timer in apart:
            self.axes[timer] = Axis(timer.anchor, (False, True), cells, timer.words)
            cells *= 2
        self.judged = cells <= MOST_CELLS
        self.cells = cells if self.judged else 0
        self.full = (1 << self.cells) - 1

    def mask(self, condition: Condition) -> int:
        """Return the cells in which the condition holds."""
        found = self.full
        for guard in condition.guards:
            found &= self.holding(guard)
        for timer in condition.elapsed:
            found &= self.since(timer)
        for name in condition.known:
            found &= self._where(name, lambda region: region is not None)
        for name in condition.null:
            found &= self._where(name, lambda region: region is None)
        for name in condition.fresh:
            found &= self._where(name, lambda region: region is None or region == timedelta(0))
            found &= ~self._waited(name)
        return found

    def since(self, timer: Elapsed) -> int:
        """Return the cells in which so much has passed since the anchor; none while it is null."""
        least = self._bound(timer)
        found = self._where(timer.anchor, lambda region: isinstance(region, timedelta) and region >= least)
        return found & self._cells(self.axes[timer], lambda region: region is True) if self._apart(timer) else found

    def holding(self, guard: Guard) -> int:
        """Return the cells in which the guard holds."""
        if isinstance(guard, Atom):
            return self._where(guard.fact, lambda region: holds(guard, {guard.fact: _value(region)}))
        if isinstance(guard, Named):
            return self.holding(guard.guard)
        if isinstance(guard, Not):
            return self.full & ~self.holding(guard.part)
        masks = [self.holding(part) for part in guard.parts]
        found = self.full if isinstance(guard, All) else 0
        for mask in masks:
            found = found & mask if isinstance(guard, All) else found | mask
        return found

    def without(self, mask: int, names: Iterable[str]) -> int:
        """Return the cells that become one of the mask by another value of these facts alone."""
        for key in {key for name in names if (key := self._key(name)) in self.axes}:
            axis = self.axes[key]
            lowest = self._repeated(axis, 1)
            found = 0
            for at in range(len(axis.regions)):
                found |= (mask >> (at * axis.stride)) & lowest
            mask = sum(found << (at * axis.stride) for at in range(len(axis.regions)))
        return mask

    def witness(self, target: int, among: int) -> str:
        """Return, in words, the fewest facts that put every cell of `among` into the target."""
        axes = list(self.axes.values())
        tries = 0
        for count in range(len(axes) + 1):
            for chosen in itertools.combinations(axes, count):
                for values in itertools.product(*(range(len(axis.regions)) for axis in chosen)):
                    cube = among
                    for axis, at in zip(chosen, values, strict=True):
                        cube &= self._repeated(axis, 1) << (at * axis.stride)
                    tries += 1
                    if cube and not cube & ~target:
                        return _told(chosen, values)
                    if tries > MOST_TRIES:
                        return self._cell(target & among)
        return ""

    def _apart(self, timer: Elapsed) -> bool:
        """Tell whether the time is compared with no other: deployments change the numbers of settings."""
        return timer.setting is not None or self.facts[timer.anchor].plus != timedelta(0)

    def _bound(self, timer: Elapsed) -> timedelta:
        """Return how long ago the stamp is at least."""
        if not self._apart(timer):
            return timer.duration
        return timedelta(0) if timer.duration >= timedelta(0) else -LONGEST

    def _waited(self, name: str) -> int:
        """Return the cells in which some time has passed since a stamp."""
        found = 0
        for key, axis in self.axes.items():
            if not isinstance(key, Elapsed) or self._key(key.anchor) != self._key(name):
                continue
            if key.duration + self.facts[key.anchor].plus > timedelta(0):
                found |= self._cells(axis, lambda region: region is True)
        return found

    def _cell(self, target: int) -> str:
        """Return the first cell of the target in words."""
        number = (target & -target).bit_length() - 1
        axes = list(self.axes.values())
        return _told(axes, [number // axis.stride % len(axis.regions) for axis in axes])

    def _key(self, name: str, names: dict[Hashable, str] | None = None) -> Hashable:
        """Return what facts share that are set by the same stamp."""
        fact = self.facts[name]
        key = (fact.origin, fact.of, fact.place.file) if fact.origin in STAMPS else name
        if names is not None:
            names.setdefault(key, name)
        return key

    def _regions(self, fact: Fact, atoms: list[Atom], bounds: set[timedelta]) -> tuple[Region, ...]:
        if fact.type is not FactType.INSTANT:
            return tuple(representatives(fact, atoms))
        least = sorted(bounds)
        before = [least[0] - timedelta(seconds=1)] if least else [timedelta(0)]
        return None, *before, *least

    def _where(self, name: str, keep: Callable[[Region], bool]) -> int:
        """Return the cells in which the fact is in a region that is kept; all, when no condition asks for it."""
        axis = self.axes.get(self._key(name))
        return self.full if axis is None else self._cells(axis, keep)

    def _cells(self, axis: Axis, keep: Callable[[Region], bool]) -> int:
        unit = (1 << axis.stride) - 1
        block = sum(unit << (at * axis.stride) for at, region in enumerate(axis.regions) if keep(region))
        return self._rounds(axis, block)

    def _repeated(self, axis: Axis, regions: int) -> int:
        return self._rounds(axis, (1 << (axis.stride * regions)) - 1)

    def _rounds(self, axis: Axis, block: int) -> int:
        """Return the cells of one round of the axis, repeated over all rounds."""
        found, width = block, axis.stride * len(axis.regions)
        while width < self.cells:  # doubled, as a division of numbers so long is slow
            found |= found << width
            width *= 2
        return found & self.full


def _value(region: Region) -> Value:
    return PRESENT if isinstance(region, timedelta) else region


def _told(axes: Iterable[Axis], values: Iterable[int]) -> str:
    return ", ".join(f"`{_words(axis, at)}`" for axis, at in zip(axes, values, strict=True))


def _words(axis: Axis, at: int) -> str:
    region = axis.regions[at]
    if axis.elapsed is not None:
        return f"{axis.name}: {axis.elapsed}" if region else f"{axis.name}: not yet {axis.elapsed}"
    if isinstance(region, timedelta):
        if len(axis.regions) == 2:
            return f"{axis.name}: known"
        return f"{axis.name}: {Elapsed(axis.name, region).words}"
    if region is None:
        return f"{axis.name}: null"
    return f"{axis.name}: {str(region).lower() if isinstance(region, bool) else region}"
