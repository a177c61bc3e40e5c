"""The forms that a guarantee may take, and the watch that each keeps over a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from engine.guards import holds
from engine.model import Guard, IntentKind, Place
from engine.prove import zone as zones
from engine.prove.explore import Broken
from engine.prove.space import Move, Node, Space
from engine.prove.zone import Zone

HappeningKind = Literal["do", "enter", "rule", "event", "delivered", "climb"]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a move can do: ask for an intent, enter a state, fire a rule, deliver a notice, climb."""

    kind: HappeningKind
    name: str  # for `do` also: destructive, starts_servers, any notice
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Before:
    """What must have happened in the running episode, by whom, and how long before."""

    happening: Happening
    at_least_seconds: int = 0
    other_than: int | None = None  # the entry whose sender may not have sent this one


@dataclass(frozen=True, slots=True)
class Never:
    """`happening` never happens: not at all, not while a condition holds, or not without what must come before.

    `elapsed` names stamps, with what is added to them, that must have passed; `given` must hold of the evidence.
    """

    name: str
    says: str
    place: Place
    machines: tuple[str, ...]
    happening: Happening
    while_: Guard | None = None
    without: tuple[Before, ...] = ()
    elapsed: tuple[str, ...] = ()
    given: Guard | None = None


class NeverWatch:
    """Keeps `Never`: for each entry of `without` who did it last in the episode, and a clock for when."""

    def __init__(self, guarantee: Never, space: Space) -> None:
        self.guarantee = guarantee
        self.space = space
        self.timed = tuple(at for at, before in enumerate(guarantee.without) if before.at_least_seconds)
        self.longest = tuple(guarantee.without[at].at_least_seconds for at in self.timed)
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
            return Broken(f"`{guarantee.happening}` happens")
        if guarantee.given is not None and not holds(guarantee.given, facts):
            return Broken(f"`{guarantee.happening}` happens although what must be given is not")
        for anchor in guarantee.elapsed:
            at, plus = space.at[anchor], int(space.stamps[anchor].plus.total_seconds())
            if not before.stamped[at]:
                return Broken(f"`{guarantee.happening}` happens while `{anchor}` is not set")
            if zones.less_than_since(zone, at + 1, plus) is not None:
                return Broken(f"`{guarantee.happening}` happens before `{anchor}`")
        return self._not_before(before, zone)

    def _not_before(self, before: Node, zone: Zone) -> Broken | None:
        guarantee = self.guarantee
        for at, needed in enumerate(guarantee.without):
            who = before.watch[at]
            if who is None:
                return Broken(f"`{guarantee.happening}` happens without `{needed.happening}` before it")
            if needed.other_than is not None and who == before.watch[needed.other_than]:
                first = guarantee.without[needed.other_than].happening
                return Broken(f"`{first}` and `{needed.happening}` come from the same person")
            if needed.at_least_seconds:
                clock = self.timed.index(at)
                variable = len(self.space.anchors) + 1 + clock
                if zones.less_than_since(zone, variable, needed.at_least_seconds) is not None:
                    why = f"`{guarantee.happening}` happens too soon after `{needed.happening}`"
                    return Broken(why, (clock, needed.at_least_seconds))
        return None

    def _remembered(self, move: Move, before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone]:
        memory = list(node.watch)
        for at, needed in enumerate(self.guarantee.without):
            clock = len(self.space.anchors) + 1 + self.timed.index(at) if at in self.timed else None
            if happens(self.space, needed.happening, move, before, node):
                memory[at] = move.actor or "somebody"
                zone = zones.stamp(zone, clock) if clock is not None else zone
            elif memory[at] is not None and _is_over(self.space, needed.happening, move, before, node):
                memory[at] = None
                zone = zones.forget(zone, clock) if clock is not None else zone
        return tuple(memory), zone


def happens(space: Space, happening: Happening, move: Move, before: Node, node: Node) -> bool:
    """Tell whether the move is such a happening."""
    if happening.kind == "delivered":
        return move.kind == "deliver" and happening.name in move.names
    if move.kind not in {"rule", "relief"}:
        return False
    rules = [space.ready.rules[name] for name in move.names]
    if happening.kind == "rule":
        return happening.name in move.names
    if happening.kind == "event":
        return any(rule.event == happening.name for rule in rules)
    if happening.kind == "do":
        return any(_is_such(space, happening.name, ask.intent) for rule in rules for ask in rule.rule.do)
    name, _, state = happening.name.partition(".")
    at = space.index[name]
    if happening.kind == "climb":
        rank = space.machines[at].rank
        return rank[node.states[at]] > rank[before.states[at]]
    return node.states[at] == state != before.states[at]


def _is_such(space: Space, wanted: str, name: str) -> bool:
    intent = space.policy.intents[name]
    if wanted == "destructive":
        return intent.destructive
    if wanted == "starts_servers":
        return intent.starts_servers
    return wanted == name or (wanted == "any notice" and intent.kind is IntentKind.NOTICE)


def _is_over(space: Space, happening: Happening, move: Move, before: Node, node: Node) -> bool:
    """Tell whether what happened counts no longer: its episode is over, or the notice is void or asked for anew."""
    if happening.kind == "delivered":
        at = space.notice_at[happening.name]
        return node.notices[at] != before.notices[at]
    if happening.kind == "rule":
        machines = {happening.name.partition(".")[0]}
    elif happening.kind == "event":
        machines = {m.name for m in space.machines if happening.name in m.events}
    else:
        machines = {happening.name.partition(".")[0]} & space.index.keys()
    return any(node.states[space.index[name]] == space.machines[space.index[name]].initial for name in machines)
