"""A counterexample as a timeline, so that the real decisions can be seen to end where the proof says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from engine.errors import EngineError
from engine.model import Value
from engine.model_permits import PermitKind
from engine.prove import zone as zones
from engine.prove.counterexample import Told
from engine.prove.explore import Broken, Watch
from engine.prove.space import Move, Space
from engine.prove.steps import Node
from engine.prove.zone import Zone
from engine.snapshot import Command, Hold, Step, StepKind
from engine.timeline.items import START, Item, Moment, Sending, Timeline, good_standing
from engine.timeline.play import play

FOR_EVER = timedelta(days=3650)
LONG_ENOUGH = timedelta(days=400)  # for everything that is to come by itself


def timeline_of(space: Space, steps: Sequence[Told], start: datetime = START) -> Timeline:
    """Return a timeline on which each step happens at its instant: nothing is sent or permitted before its turn."""
    items = [Item(timedelta(0), post="delayed", permits=_only(space, ()))]
    for step in steps:
        items += _items(space, step, start)
    return Timeline(start, items=tuple(items), given=good_standing(space.policy))


def lived(space: Space, watch: Watch, steps: Sequence[Told]) -> tuple[Told, ...] | None:
    """Return the steps as the real decisions take them on this timeline; None when they do not break the guarantee.

    Rules that wait for the same permits fire together: a step may do more than was told of it, and a later one nothing.
    """
    try:
        timeline = timeline_of(space, steps)
        run = _Run(space, watch)
        moments = play(space.policy, timeline)
    except EngineError:
        return None
    of_item = [at for at, step in enumerate(steps) for _ in _items(space, step, timeline.start)]
    found: list[Told] = []
    for moment in moments:
        told = steps[of_item[moment.item - 1]] if moment.item else None  # the first item only withholds everything
        broken = run.see(moment, told)
        did = [(step.because, step.place) for step in moment.steps]
        did += [(each.intent, "") for each in moment.sent if each.outcome == "delivered"]
        if told is not None and did:
            states = {name: moment.snapshot.states[name] for name in space.index}
            also = tuple(each for each in did if each[0] not in told.move.names)
            again = found.pop().also if found and found[-1].move is told.move else ()
            found.append(replace(told, states=states, also=again + also))
        if broken:
            return tuple(found)
    return None


def stays_below(space: Space, steps: Sequence[Told], to: tuple[str, str]) -> bool:
    """Tell whether the real decisions never get as high as `to` after the last step, however long one waits."""
    name, state = to
    rank = space.machines[space.index[name]].rank
    timeline = timeline_of(space, steps)
    last = timeline.start + timeline.items[-1].at
    try:
        moments = play(space.policy, timeline, last + LONG_ENOUGH)
    except EngineError:
        return False
    return all(rank[moment.snapshot.states[name]] < rank[state] for moment in moments if moment.at >= last)


def relieved(space: Space, steps: Sequence[Told]) -> tuple[Mapping[str, str], frozenset[str]] | None:
    """Return where the real decisions stand after the last step, and what they asked for then; None for no decision."""
    try:
        last = play(space.policy, timeline_of(space, steps))[-1]
    except EngineError:
        return None
    return last.snapshot.states, frozenset(asked.intent for asked in last.asked)


class _Run:
    """The real decisions of a timeline, seen through a guarantee's watch, at exact instants."""

    def __init__(self, space: Space, watch: Watch) -> None:
        self.space = space
        self.watch = watch
        self.node = space.start()._replace(watch=watch.start())
        self.zone = zones.unconstrained(len(space.anchors) + len(watch.longest))
        self.at: datetime | None = None
        self.evidence: int | None = None  # which valuation was learned last

    def see(self, moment: Moment, told: Told | None) -> bool:
        """Take in what happened at this moment; tell whether it breaks the guarantee."""
        if self.at is not None:
            self.zone = zones.advance(self.zone, int((moment.at - self.at).total_seconds()))
        self.at = moment.at
        if told is not None and told.move.evidence is not None:
            self.evidence = told.move.evidence
        evidence = self.evidence
        actor = told.move.actor if told is not None else None
        for sent in moment.sent:
            if sent.outcome == "delivered" and sent.intent in self.space.notice_at:
                led_to = self.space.told(self.node, self.zone, "deliver", sent.intent)
                if self._broken(Move("deliver", (sent.intent,), "", None, evidence), *led_to):
                    return True
        return any(self._stepped(step, evidence, actor) for step in moment.steps if step.machine in self.space.index)

    def _stepped(self, step: Step, evidence: int | None, actor: str | None) -> bool:
        if step.kind in {StepKind.VOID, StepKind.REISSUE}:
            kind = str(step.kind)
            led_to = self.space.told(self.node, self.zone, kind, step.because)
            return self._broken(Move(kind, (step.because,), step.place, None, None), *led_to)
        rule = self.space.ready.rules[step.because]
        sender = actor if rule.event is not None else None
        told = tuple((anchor, int(span.total_seconds())) for anchor, span in rule.timers if anchor not in self.space.at)
        move = Move("rule", (rule.name,), rule.place, sender, evidence, (), told)
        return self._broken(move, *self.space.after(self.node, self.zone, rule, sender))

    def _broken(self, move: Move, node: Node, zone: Zone) -> bool:
        judged = self.watch.after(move, self.node, node, zone)
        if isinstance(judged, Broken):
            return True
        self.node, self.zone = node._replace(watch=judged[0]), judged[1]
        return False


def _items(space: Space, step: Told, start: datetime) -> list[Item]:
    at, name = timedelta(seconds=step.at_seconds), next(iter(step.move.names), "")
    known = good_standing(space.policy)
    evidence: dict[str, Value] = {
        fact: start + timedelta(seconds=step.since[fact]) if fact in step.since else value
        for fact, value in step.evidence.items()
        if fact in known
    }
    if step.move.kind == "wait":
        kinds = {kind for permit in space.policy.permits.values() for kind in permit.holds}
        every = _only(space, tuple(space.policy.permits))
        return [Item(at, set=evidence, holds=dict.fromkeys(sorted(kinds)), permits=every, post="auto")]
    if step.move.kind == "learn":
        return [Item(at, set=evidence)]
    if step.move.kind == "deliver":
        sent: Mapping[str, Sending] = {name: "delivered"}
        return [Item(at, set=evidence, send={name: "claimed"}), Item(at, send=sent)]
    if step.move.kind in {"void", "reissue"}:
        return [_promise_changed(space, step, start)]
    rule = space.ready.rules[name].rule
    command = Command(rule.event, rule.by or "admin", step.move.actor or "one") if rule.event is not None else None
    permits = _only(space, rule.needs)
    return [Item(at, set=evidence, command=command, permits=permits), Item(at, permits=_only(space, ()))]


def _promise_changed(space: Space, step: Told, start: datetime) -> Item:
    """Begin or end a hold; where none voids the promise, evidence that moves its date does."""
    at, beyond = timedelta(seconds=step.at_seconds), start + timedelta(seconds=step.at_seconds) + FOR_EVER
    promises = [promise for promise in space.promises if promise.notice in step.move.names]
    kinds = [kind for promise in promises for permit in promise.voiding for kind in permit.holds]
    if kinds:
        return Item(at, holds={kinds[0]: Hold(kinds[0], beyond) if step.move.kind == "void" else None})
    moved = [anchor for promise in promises for anchor, _ in promise.rule.timers if anchor not in space.at]
    return Item(at, set=dict.fromkeys(moved, beyond) if step.move.kind == "void" else {})


def _only(space: Space, needed: Sequence[str]) -> dict[str, bool | None]:
    """Answer yes to these permits and no to all others; holds speak for themselves."""
    permits = space.policy.permits.values()
    return {permit.name: permit.name in needed for permit in permits if permit.kind is not PermitKind.HOLD}
