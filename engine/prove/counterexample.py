"""A broken guarantee as a story: the shortest run that breaks it, with the earliest instants at which it can happen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.model import Value
from engine.prove.explore import Broken, Visit
from engine.prove.space import Move, Space
from engine.prove.steps import Node

DAY = 86_400
Edge = tuple[int, int, int]  # (later, earlier, seconds): later happens at least so many seconds after earlier


@dataclass(frozen=True, slots=True)
class Told:
    """One step of the story. Instants count in seconds from the first step."""

    at_seconds: int
    move: Move
    states: Mapping[str, str]  # by machine, after the step
    evidence: Mapping[str, Value]  # what was known at a decision; empty for what notices do
    since: Mapping[str, int]  # instants that evidence gives, in seconds from the first step; before it if negative
    also: tuple[
        tuple[str, str], ...
    ] = ()  # what else the real decisions did at that instant: rule or notice, and place


def story(space: Space, path: Sequence[Visit], broken: Broken | None) -> tuple[Told, ...]:
    """Return the steps of a path with instants that satisfy everything that its rules waited for."""
    moves = [visit.move for visit in path if visit.move is not None]
    nodes = [visit.node for visit in path]
    instants = _earliest(len(moves), _edges(space, moves, nodes, broken))
    since = _since(moves, instants)
    told = []
    for number, move in enumerate(moves):
        states = dict(zip((m.name for m in space.machines), nodes[number + 1].states, strict=True))
        evidence = space.evidence[move.evidence] if move.evidence is not None else {}
        if broken is not None and broken.ahead is not None and number == len(moves) - 1:
            since[number] = {**since[number], broken.ahead: instants[number] + DAY}
        known = {anchor: at for anchor, at in since[number].items() if evidence.get(anchor) is not None}
        told.append(Told(instants[number], move, states, evidence, known))
    return tuple(told)


def story_then(space: Space, path: Sequence[Visit], move: Move, after: Node) -> tuple[Told, ...]:
    """Return the steps of a path and one more at the same instant, under the evidence of that move."""
    before = story(space, path, None)
    known = space.evidence[move.evidence] if move.evidence is not None else {}
    states = dict(zip((m.name for m in space.machines), after.states, strict=True))
    since = {anchor: at for step in before for anchor, at in step.since.items() if known.get(anchor) is not None}
    return (*before, Told(before[-1].at_seconds if before else 0, move, states, known, since))


def _edges(space: Space, moves: list[Move], nodes: list[Node], broken: Broken | None) -> list[Edge]:
    """Return what the instants have to satisfy: their order, what rules waited for, and how soon the last one came."""
    stamped: dict[str, int] = {}
    edges: list[Edge] = [(number, number - 1, 0) for number in range(1, len(moves))]
    last_clock: dict[int, int] = {}
    for number, move in enumerate(moves):
        edges += [(number, stamped[anchor], seconds) for anchor, seconds in move.waited]
        before, after = nodes[number], nodes[number + 1]
        for at, anchor in enumerate(space.anchors):
            if after.stamped[at] and (not before.stamped[at] or _stamps(space, move, anchor)):
                stamped[anchor] = number
        if before.watch != after.watch:
            last_clock.update(
                {at: number for at, (old, new) in enumerate(zip(before.watch, after.watch, strict=False)) if old != new}
            )
    if broken is not None and broken.sooner_than is not None:
        entry, seconds = broken.sooner_than
        if entry in last_clock:
            edges.append((last_clock[entry], len(moves) - 1, 1 - seconds))
    return edges


def _stamps(space: Space, move: Move, anchor: str) -> bool:
    """Tell whether the move sets this stamp anew."""
    if move.kind == "deliver":
        return any(anchor == fact for name in move.names for fact, _ in space.ready.delivered[name])
    return False


def _earliest(count: int, edges: list[Edge]) -> list[int]:
    """Return the earliest instants that satisfy all edges (Bellman and Ford); the space has shown that some do."""
    instants = [0] * count
    for _ in range(count + 1):
        changed = False
        for later, earlier, seconds in edges:
            if instants[later] < instants[earlier] + seconds:
                instants[later] = instants[earlier] + seconds
                changed = True
        if not changed:
            break
    return instants


def _since(moves: list[Move], instants: list[int]) -> list[dict[str, int]]:
    """Return for each step the instants that evidence gives: one for all the steps, as late as the rules allow."""
    latest: dict[str, int] = {}
    for number, move in enumerate(moves):
        for anchor, seconds in move.evidence_waited:
            latest[anchor] = min(latest.get(anchor, instants[number]), instants[number] - seconds)
    return [latest] * len(moves)
