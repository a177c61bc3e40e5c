"""Breadth first through a space until nothing new is found, a watch says that it is broken, or a bound is hit."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engine.prove import zone as zones
from engine.prove.space import Move, Space
from engine.prove.steps import Node
from engine.prove.zone import Zone


class Watch(Protocol):
    """What a guarantee remembers along a run, and when it is broken. Its clocks stand behind the space's anchors."""

    longest: tuple[int, ...]  # seconds: the largest constant that each own clock is compared with

    def start(self) -> tuple[object, ...]:
        """Return what is remembered before anything has happened."""

    def after(self, move: Move, before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone] | Broken:
        """Return what is remembered after a move, and the zone with its clocks set; Broken when it may not be."""


@dataclass(frozen=True, slots=True)
class Broken:
    """Why a run breaks a guarantee: in words, and what its times have to be to do so."""

    why: str
    sooner_than: tuple[int, int] | None = None  # (which of what is remembered, seconds)
    ahead: str | None = None  # the instant of evidence that must not have passed


class Visit(NamedTuple):
    """A state that was reached, and how."""

    node: Node
    zone: Zone
    parent: int | None
    move: Move | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """`path` is the shortest run that breaks the guarantee, empty when none does; `complete` is False at a bound."""

    states: int
    complete: bool
    path: tuple[Visit, ...]
    broken: Broken | None
    visits: Sequence[Visit] = ()  # all of them, in the order in which they were reached


class Silent:
    """A watch that is never broken: it only has everything visited."""

    longest: tuple[int, ...] = ()

    def start(self) -> tuple[object, ...]:
        """Return nothing: nothing is remembered."""
        return ()

    def after(self, _move: Move, _before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone] | Broken:
        """Have nothing to say."""
        return node.watch, zone


def explore(space: Space, watch: Watch, most_states: int) -> Outcome:
    """Visit every state that can be reached, each in every zone that no earlier visit includes."""
    start = space.start()._replace(watch=watch.start())
    blank = zones.unconstrained(len(space.anchors) + len(watch.longest))
    visits = [Visit(start, space.widened(start, blank, watch.longest), None, None)]
    passed: dict[Node, list[Zone]] = {start: [visits[0].zone]}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        node, zone = visits[number].node, visits[number].zone
        reached_here: set[tuple[Node, Zone]] = set()
        for move, after, moved in space.moves(node, zone):
            judged = watch.after(move, node, after, moved)
            if isinstance(judged, Broken):
                return Outcome(len(visits), True, (*path_to(visits, number), Visit(after, moved, number, move)), judged)
            watched, moved_zone = judged
            reached = after._replace(watch=watched)
            if (reached, moved_zone) in reached_here:
                continue  # the same under other evidence
            reached_here.add((reached, moved_zone))
            wide = space.widened(reached, moved_zone, watch.longest)
            known = passed.setdefault(reached, [])
            if any(zones.includes(larger, wide) for larger in known):
                continue
            known[:] = [smaller for smaller in known if not zones.includes(wide, smaller)]
            known.append(wide)
            if len(visits) >= most_states:
                return Outcome(len(visits), False, (), None)
            waiting.append(len(visits))
            visits.append(Visit(reached, wide, number, move))
    return Outcome(len(visits), True, (), None, visits)


def path_to(visits: Sequence[Visit], number: int | None) -> tuple[Visit, ...]:
    """Return the shortest way to the visit of this number, from the start on."""
    path: list[Visit] = []
    while number is not None:
        path.append(visits[number])
        number = visits[number].parent
    return tuple(reversed(path))
