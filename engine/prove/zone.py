"""Zones: sets of instants described by bounds on their differences (difference bound matrices, in whole seconds).

Variable 0 is `now`; the others are anchors, each at or before `now`. `bounds[i][j]` is the least upper bound known for
`x_i - x_j`, or None for none. A zone is immutable and always closed: every implied bound is written out, so two zones
are compared entry by entry. The method is Dill's; the widening that makes exploration end is the maximum-constant
extrapolation of Behrmann, Bouyer, Larsen and Pelánek (2006).
"""

from __future__ import annotations

from collections.abc import Sequence

Bound = int | None
Zone = tuple[tuple[Bound, ...], ...]

NOW = 0


def only_now() -> Zone:
    """Return the zone in which nothing but `now` exists."""
    return ((0,),)


def unconstrained(anchors: int) -> Zone:
    """Return the zone of `anchors` anchors about which nothing is known: the form that null anchors keep."""
    size = anchors + 1
    return tuple(tuple(0 if i == j else None for j in range(size)) for i in range(size))


def _plus(left: Bound, right: Bound) -> Bound:
    return None if left is None or right is None else left + right


def _tighter(left: Bound, right: Bound) -> Bound:
    """Return the smaller of two bounds; None is no bound at all."""
    if left is None:
        return right
    return left if right is None or left <= right else right


def delay(zone: Zone) -> Zone:
    """Let any time pass: `now` loses its upper bounds and keeps its lower ones."""
    return ((0, *(None for _ in zone[NOW][1:])), *zone[1:])


def constrain(zone: Zone, i: int, j: int, bound: int) -> Zone | None:
    """Return the part of the zone where `x_i - x_j <= bound`, or None when it is empty."""
    back = zone[j][i]
    if back is not None and back + bound < 0:
        return None
    held = zone[i][j]
    if held is not None and held <= bound:
        return zone
    row_j = zone[j]
    return tuple(
        tuple(_tighter(zone[a][b], _plus(_plus(zone[a][i], bound), row_j[b])) for b in range(len(zone)))
        for a in range(len(zone))
    )


def forget(zone: Zone, anchor: int) -> Zone:
    """Drop everything known about an anchor: it became null."""
    size = range(len(zone))
    return tuple(tuple((0 if a == b else None) if anchor in (a, b) else zone[a][b] for b in size) for a in size)


def stamp(zone: Zone, anchor: int) -> Zone:
    """Set an anchor to `now`."""
    size = range(len(zone))

    def entry(a: int, b: int) -> Bound:
        if a == b:
            return 0
        return zone[NOW if a == anchor else a][NOW if b == anchor else b]

    return tuple(tuple(entry(a, b) for b in size) for a in size)


def at_least_since(zone: Zone, anchor: int, seconds: int) -> Zone | None:
    """Return the part where at least `seconds` have passed since the anchor, or None."""
    return constrain(zone, anchor, NOW, -seconds)


def less_than_since(zone: Zone, anchor: int, seconds: int) -> Zone | None:
    """Return the part where less than `seconds` have passed since the anchor, or None. Time counts in whole seconds."""
    return constrain(zone, NOW, anchor, seconds - 1)


def includes(larger: Zone, smaller: Zone) -> bool:
    """Say whether every point of `smaller` is in `larger`."""
    for row_large, row_small in zip(larger, smaller, strict=True):
        for large, small in zip(row_large, row_small, strict=True):
            if large is not None and (small is None or small > large):
                return False
    return True


def extrapolate(zone: Zone, longest: Sequence[int]) -> Zone:
    """Forget distinctions beyond the largest constant that any test compares each anchor with.

    `longest[i]` is that constant in seconds for variable i; `longest[0]` is unused. What is older than it behaves as if
    infinitely old, so only finitely many zones remain.
    """
    size = range(len(zone))

    def widened(a: int, b: int) -> Bound:
        bound = zone[a][b]
        if bound is None or a == b:
            return bound
        # x_a - x_b = age_b - age_a: an upper bound on the age of b, a lower one on the age of a
        if b != NOW and bound > longest[b]:
            return None
        if a != NOW and -bound > longest[a]:
            return -longest[a]
        return bound

    rows = [[widened(a, b) for b in size] for a in size]
    return zone if all(tuple(row) == old for row, old in zip(rows, zone, strict=True)) else _closed(rows)


def _closed(rows: list[list[Bound]]) -> Zone:
    """Write out every implied bound (Floyd and Warshall)."""
    size = range(len(rows))
    for middle in size:
        through = rows[middle]
        for a in size:
            first = rows[a][middle]
            if first is None:
                continue
            row = rows[a]
            for b in size:
                second = through[b]
                if second is not None and (row[b] is None or first + second < row[b]):  # type: ignore[operator]
                    row[b] = first + second
    return tuple(tuple(row) for row in rows)
