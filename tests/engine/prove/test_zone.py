"""Zones against brute force: every point of a small box is in a zone exactly when its bounds say so."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.prove import zone as zones
from engine.prove.zone import Zone

SIZE = 6  # instants 0..5
ANCHORS = 2

Point = tuple[int, ...]
Change = tuple[str, int, int]

CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("delay"), st.just(0), st.just(0)),
        st.tuples(st.just("stamp"), st.integers(1, ANCHORS), st.just(0)),
        st.tuples(st.just("at_least"), st.integers(1, ANCHORS), st.integers(0, 3)),
        st.tuples(st.just("less_than"), st.integers(1, ANCHORS), st.integers(1, 4)),
    ),
    max_size=7,
)


def box() -> set[Point]:
    """Every instant of now and the anchors, each anchor at or before now."""
    points = itertools.product(range(SIZE), repeat=ANCHORS + 1)
    return {point for point in points if all(anchor <= point[0] for anchor in point[1:])}


def moved(points: set[Point], change: Change) -> set[Point]:
    kind, anchor, seconds = change
    if kind == "delay":
        return {(now, *point[1:]) for point in points for now in range(point[0], SIZE)}
    if kind == "stamp":
        return {tuple(point[0] if at == anchor else value for at, value in enumerate(point)) for point in points}
    if kind == "at_least":
        return {point for point in points if point[0] - point[anchor] >= seconds}
    return {point for point in points if point[0] - point[anchor] < seconds}


def changed(zone: Zone, change: Change) -> Zone | None:
    kind, anchor, seconds = change
    if kind == "delay":
        return zones.delay(zone)
    if kind == "stamp":
        return zones.stamp(zone, anchor)
    if kind == "at_least":
        return zones.at_least_since(zone, anchor, seconds)
    return zones.less_than_since(zone, anchor, seconds)


def start() -> Zone:
    """Both anchors at or before now, nothing else known."""
    zone: Zone | None = zones.unconstrained(ANCHORS)
    for anchor in range(1, ANCHORS + 1):
        assert zone is not None
        zone = zones.at_least_since(zone, anchor, 0)
    assert zone is not None
    return zone


def within(zone: Zone, point: Point) -> bool:
    size = range(len(zone))
    return all(point[i] - point[j] <= bound for i in size for j in size if (bound := zone[i][j]) is not None)


@given(CHANGES)
@settings(max_examples=80)
def test_a_zone_holds_every_instant_that_can_be_reached(changes: list[Change]) -> None:
    points, zone = box(), start()
    for change in changes:
        points = moved(points, change)
        after = changed(zone, change)
        if after is None:
            assert points == set()
            return
        zone = after
        assert all(within(zone, point) for point in points)


@given(CHANGES, st.integers(1, ANCHORS), st.integers(1, 3))
@settings(max_examples=80)
def test_a_bound_that_a_zone_implies_is_written_out(changes: list[Change], anchor: int, seconds: int) -> None:
    zone = start()
    for change in changes:
        after = changed(zone, change)
        if after is None:
            return
        zone = after
    tighter = zones.at_least_since(zone, anchor, seconds)
    if tighter is not None:
        assert zones.includes(zone, tighter)
        assert zones.at_least_since(tighter, anchor, seconds) == tighter


@given(CHANGES)
@settings(max_examples=80)
def test_widening_only_adds_and_ends(changes: list[Change]) -> None:
    zone = start()
    for change in changes:
        after = changed(zone, change)
        if after is None:
            return
        zone = after
    wide = zones.extrapolate(zone, (0, 2, 2))
    assert zones.includes(wide, zone)
    assert zones.extrapolate(wide, (0, 2, 2)) == wide


def test_what_is_forgotten_is_unknown() -> None:
    zone = zones.stamp(start(), 1)
    assert zones.forget(zone, 1)[1] == (None, 0, None)
