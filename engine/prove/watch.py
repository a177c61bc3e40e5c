"""The watches that guarantees keep over a run: what they remember, and when they are broken."""

from __future__ import annotations

from datetime import timedelta

from engine.guarantees import AtMostOnce, Happening, Never
from engine.guards import holds
from engine.prove import zone as zones
from engine.prove.explore import Broken
from engine.prove.slices import concerned_by, is_such
from engine.prove.space import Move, Space
from engine.prove.steps import Node
from engine.prove.zone import Zone
from engine.timeline.text import write_offset


class NeverWatch:
    """Keeps `Never`: for each entry of `without` who did it last in the episode, and a clock for when."""

    def __init__(self, guarantee: Never, space: Space) -> None:
        self.guarantee = guarantee
        self.space = space
        self.timed = tuple(at for at, before in enumerate(guarantee.without) if before.at_least_seconds)
        self.longest = tuple(guarantee.without[at].at_least_seconds for at in self.timed)
        subject = guarantee.happening.name.partition(".")[0]
        self.ends = tuple(over_with(space, before.happening, subject) for before in guarantee.without)
        self.conditional = not (guarantee.without or guarantee.elapsed or guarantee.given is not None)

    def start(self) -> tuple[object, ...]:
        """Nothing has happened yet."""
        return (None,) * len(self.guarantee.without)

    def after(self, move: Move, before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone] | Broken:
        """Judge the move by what came before it, then remember what it did."""
        if happens(self.space, self.guarantee.happening, move, before, node):
            why = self._missing(move, before, zone)
            if why is not None:
                return why
        return self._remembered(move, before, node, zone)

    def _missing(self, move: Move, before: Node, zone: Zone) -> Broken | None:
        guarantee, space = self.guarantee, self.space
        facts = space.facts(before, space.evidence[move.evidence] if move.evidence is not None else {})
        if guarantee.while_ is not None and not holds(guarantee.while_, facts):
            return None
        if self.conditional:
            return Broken(guarantee.happening.now)
        if guarantee.given is not None and not holds(guarantee.given, facts):
            return Broken(f"{guarantee.happening.now} although what must be given is not so")
        for anchor in guarantee.elapsed:
            if facts.get(anchor) is None:
                return Broken(f"{guarantee.happening.now} while `{anchor}` is not set")
            if not self._elapsed(anchor, move, zone):
                ahead = anchor if anchor not in space.at else None
                return Broken(f"{guarantee.happening.now} before `{anchor}` has passed", ahead=ahead)
        return self._not_before(before, zone)

    def _elapsed(self, anchor: str, move: Move, zone: Zone) -> bool:
        """Tell whether the anchor has passed for certain; evidence may give any instant that no rule waited for."""
        if anchor not in self.space.at:
            return any(name == anchor and seconds >= 0 for name, seconds in move.evidence_waited)
        plus = int(self.space.stamps[anchor].plus.total_seconds())
        return zones.less_than_since(zone, self.space.at[anchor] + 1, plus) is None

    def _not_before(self, before: Node, zone: Zone) -> Broken | None:
        guarantee = self.guarantee
        for at, needed in enumerate(guarantee.without):
            who = before.watch[at]
            if who is None:
                return Broken(f"{guarantee.happening.now}, and nowhere before it {needed.happening.past}")
            if needed.other_than is not None and who == before.watch[needed.other_than]:
                first = guarantee.without[needed.other_than].happening
                return Broken(f"{first.past} and {needed.happening.past} by the same person")
            if needed.at_least_seconds:
                clock = self.timed.index(at)
                variable = len(self.space.anchors) + 1 + clock
                if zones.less_than_since(zone, variable, needed.at_least_seconds) is not None:
                    span = write_offset(timedelta(seconds=needed.at_least_seconds))
                    why = f"{guarantee.happening.now} less than {span} after {needed.happening.past}"
                    return Broken(why, (at, needed.at_least_seconds))
        return None

    def _remembered(self, move: Move, before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone]:
        memory = list(node.watch)
        for at, needed in enumerate(self.guarantee.without):
            clock = len(self.space.anchors) + 1 + self.timed.index(at) if at in self.timed else None
            if happens(self.space, needed.happening, move, before, node):
                memory[at] = move.actor or "somebody"
                zone = zones.stamp(zone, clock) if clock is not None else zone
            elif memory[at] is not None and _is_over(self.space, needed.happening, self.ends[at], before, node):
                memory[at] = None
                zone = zones.forget(zone, clock) if clock is not None else zone
        return tuple(memory), zone


class OnceWatch:
    """Keeps `AtMostOnce`: the notices that rules have asked for in the episode, unless they were voided since."""

    longest: tuple[int, ...] = ()

    def __init__(self, guarantee: AtMostOnce, space: Space) -> None:
        self.wanted = frozenset(guarantee.notices)
        self.space = space

    def start(self) -> tuple[object, ...]:
        """Nothing was asked for."""
        return ()

    def after(self, move: Move, _before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone] | Broken:
        """Judge the move by what was asked for before, then remember what it asks for."""
        asked = {str(entry) for entry in node.watch}  # machine:notice
        if move.kind == "void":
            asked = {entry for entry in asked if entry.partition(":")[2] not in move.names}
        if move.kind not in {"rule", "relief"}:
            return tuple(sorted(asked)), zone
        for name in move.names:
            rule = self.space.ready.rules[name].rule
            for ask in rule.do:
                if ask.intent in self.wanted and f"{rule.machine}:{ask.intent}" in asked:
                    return Broken(f"`{ask.intent}` is asked for twice in one episode")
                asked |= {f"{rule.machine}:{name}" for name in {ask.intent} & self.wanted}
            if (
                rule.to == self.space.ready.by_name[rule.machine].initial
            ):  # what is asked for on the way home counts too
                asked = {entry for entry in asked if entry.partition(":")[0] != rule.machine}
        return tuple(sorted(asked)), zone


def happens(space: Space, happening: Happening, move: Move, before: Node, node: Node) -> bool:
    """Tell whether the move is such a happening."""
    if happening.kind == "delivered":
        return move.kind == "deliver" and happening.name in move.names
    if happening.kind == "do" and move.kind in {"void", "reissue"}:
        return any(is_such(space.policy, happening.name, name) for name in _told_by(space, move))
    if move.kind not in {"rule", "relief"}:
        return False
    rules = [space.ready.rules[name] for name in move.names]
    if happening.kind == "rule":
        return happening.name in move.names
    if happening.kind == "event":
        return any(rule.event == happening.name for rule in rules)
    if happening.kind == "do":
        return any(is_such(space.policy, happening.name, ask.intent) for rule in rules for ask in rule.rule.do)
    name, _, state = happening.name.partition(".")
    at = space.index[name]
    if happening.kind == "climb":
        rank = space.machines[at].rank
        return rank[node.states[at]] > rank[before.states[at]]
    return any(rule.rule.machine == name and rule.to == state for rule in rules)


def _told_by(space: Space, move: Move) -> set[str]:
    """Return the notices that a promise which is void, or made again, asks for by itself."""
    if move.kind == "reissue":
        return set(move.names)
    voiding = [permit for promise in space.promises if promise.notice in move.names for permit in promise.voiding]
    return {permit.notify for permit in voiding if permit.notify is not None}


def over_with(space: Space, happening: Happening, subject: str) -> frozenset[str]:
    """Return the machines whose episode it belongs to: that of `subject`, the machine asked about, where it may be."""
    found = concerned_by(space.policy, happening) & space.index.keys()
    return frozenset({subject} if subject in found else found)


def _is_over(space: Space, happening: Happening, machines: frozenset[str], before: Node, node: Node) -> bool:
    """Tell whether what happened counts no longer: its episode is over, or the notice is void or asked for anew."""
    if happening.kind == "delivered":
        at = space.notice_at[happening.name]
        if node.notices[at] != before.notices[at]:
            return True
        if happening.name not in space.ready.shared:
            return False  # the episode's end forgets it
    return any(node.states[space.index[name]] == space.machines[space.index[name]].initial for name in machines)
