"""Zones: sets of instants described by bounds on their differences (difference bound matrices, in whole seconds).

Variable 0 is `now`; the others are anchors, each at or before `now`. `bounds[i][j]` is the least upper bound known for
`x_i - x_j`, or None for none. A zone is immutable and always closed: every implied bound is written out, so two zones
are compared entry by entry. The method is Dill's; the widening that makes exploration end is the maximum-constant
extrapolation of Behrmann, Bouyer, Larsen and Pelánek (2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

Bound = int | None
Row = tuple[Bound, ...]
Zone = tuple[Row, ...]

NOW = 0


def unconstrained(anchors: int) -> Zone:
    """Return the zone of `anchors` anchors about which nothing is known: the form that null anchors keep."""
    return tuple(_alone(anchor, anchors + 1) for anchor in range(anchors + 1))


@lru_cache(maxsize=1024)
def _alone(anchor: int, size: int) -> Row:
    """Return the row of an anchor about which nothing is known."""
    return tuple(0 if other == anchor else None for other in range(size))


def delay(zone: Zone) -> Zone:
    """Let any time pass: `now` loses its upper bounds and keeps its lower ones."""
    return (_alone(NOW, len(zone)), *zone[1:])


def advance(zone: Zone, seconds: int) -> Zone:
    """Let exactly so many seconds pass."""
    now = tuple(bound if at == NOW or bound is None else bound + seconds for at, bound in enumerate(zone[NOW]))
    rows = ((back if back is None else back - seconds, *rest) for back, *rest in zone[1:])
    return (now, *rows)


def constrain(zone: Zone, i: int, j: int, bound: int) -> Zone | None:
    """Return the part of the zone where `x_i - x_j <= bound`, or None when it is empty."""
    back = zone[j][i]
    if back is not None and back + bound < 0:
        return None
    held = zone[i][j]
    if held is not None and held <= bound:
        return zone
    beyond = [(b, bound + known) for b, known in enumerate(zone[j]) if known is not None]
    rows = []
    for row in zone:
        to = row[i]
        if to is None:
            rows.append(row)
            continue
        new = list(row)
        for b, known in beyond:
            old = new[b]
            if old is None or to + known < old:
                new[b] = to + known
        rows.append(tuple(new))
    return tuple(rows)


def forget(zone: Zone, anchor: int) -> Zone:
    """Drop everything known about an anchor: it became null."""
    alone = _alone(anchor, len(zone))
    if zone[anchor] == alone and all(row[anchor] is None for row in zone if row is not zone[anchor]):
        return zone
    after = anchor + 1
    return tuple(
        alone if at == anchor else row if row[anchor] is None else (*row[:anchor], None, *row[after:])
        for at, row in enumerate(zone)
    )


def stamp(zone: Zone, anchor: int) -> Zone:
    """Set an anchor to `now`."""
    after = anchor + 1
    now = zone[NOW]
    own = (*now[:anchor], 0, *now[after:])
    return tuple(own if at == anchor else (*row[:anchor], row[NOW], *row[after:]) for at, row in enumerate(zone))


def at_least_since(zone: Zone, anchor: int, seconds: int) -> Zone | None:
    """Return the part where at least `seconds` have passed since the anchor, or None."""
    return constrain(zone, anchor, NOW, -seconds)


def less_than_since(zone: Zone, anchor: int, seconds: int) -> Zone | None:
    """Return the part where less than `seconds` have passed since the anchor, or None. Time counts in whole seconds."""
    return constrain(zone, NOW, anchor, seconds - 1)


def includes(larger: Zone, smaller: Zone) -> bool:
    """Say whether every point of `smaller` is in `larger`."""
    for row_large, row_small in zip(larger, smaller, strict=True):
        if row_large is row_small:
            continue
        for large, small in zip(row_large, row_small, strict=True):
            if large is not None and (small is None or small > large):
                return False
    return True


def extrapolate(zone: Zone, longest: Sequence[int]) -> Zone:
    """Forget distinctions beyond the largest constant that any test compares each anchor with.

    `longest[i]` is that constant in seconds for variable i; `longest[0]` is unused. What is older than it behaves as if
    infinitely old, so only finitely many zones remain.
    """
    rows: list[list[Bound]] | None = None
    for a, row in enumerate(zone):
        for b, bound in enumerate(row):
            if bound is None or a == b:
                continue
            # x_a - x_b = age_b - age_a: an upper bound on the age of b, a lower one on the age of a
            if b != NOW and bound > longest[b]:
                wide: Bound = None
            elif a != NOW and -bound > longest[a]:
                wide = -longest[a]
            else:
                continue
            if rows is None:
                rows = [list(each) for each in zone]
            rows[a][b] = wide
    return zone if rows is None else _closed(rows)


def _closed(rows: list[list[Bound]]) -> Zone:
    """Write out every implied bound (Floyd and Warshall)."""
    for middle, through in enumerate(rows):
        beyond = [(b, known) for b, known in enumerate(through) if known is not None and b != middle]
        if not beyond:
            continue
        for a, row in enumerate(rows):
            first = row[middle]
            if first is None or a == middle:
                continue
            for b, second in beyond:
                old = row[b]
                if old is None or first + second < old:
                    row[b] = first + second
    return tuple(tuple(row) for row in rows)
