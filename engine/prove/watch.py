"""The watches that guarantees keep over a run: what they remember, and when they are broken."""

from __future__ import annotations

from engine.guarantees import ANY_NOTICE, AtMostOnce, Happening, Never
from engine.guards import holds
from engine.model import IntentKind, Policy
from engine.prove import zone as zones
from engine.prove.explore import Broken
from engine.prove.space import Move, Node, Space
from engine.prove.zone import Zone


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
                    return Broken(why, (at, needed.at_least_seconds))
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


class OnceWatch:
    """Keeps `AtMostOnce`: the notices that rules have asked for in the episode, unless they were voided since."""

    longest: tuple[int, ...] = ()

    def __init__(self, guarantee: AtMostOnce, space: Space) -> None:
        self.wanted = frozenset(guarantee.notices)
        self.space = space

    def start(self) -> tuple[object, ...]:
        """Nothing was asked for."""
        return ()

    def after(self, move: Move, before: Node, node: Node, zone: Zone) -> tuple[tuple[object, ...], Zone] | Broken:
        """Judge the move by what was asked for before, then remember what it asks for."""
        asked = {str(name) for name in node.watch}
        if move.kind == "void":
            asked -= set(move.names)
        if move.kind in {"rule", "relief"}:
            for name in move.names:
                rule = self.space.ready.rules[name].rule
                for ask in rule.do:
                    if ask.intent in self.wanted and ask.intent in asked:
                        return Broken(f"`{ask.intent}` is asked for twice in one episode")
                    asked |= {ask.intent} & self.wanted
            for machine in self.space.machines:
                if node.states[self.space.index[machine.name]] == machine.initial:
                    asked -= machine.episode_notices
        return tuple(sorted(asked)), zone


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
        return any(is_such(space.policy, happening.name, ask.intent) for rule in rules for ask in rule.rule.do)
    name, _, state = happening.name.partition(".")
    at = space.index[name]
    if happening.kind == "climb":
        rank = space.machines[at].rank
        return rank[node.states[at]] > rank[before.states[at]]
    return node.states[at] == state != before.states[at]


def is_such(policy: Policy, wanted: str, name: str) -> bool:
    """Tell whether an intent is the wanted one, or of the wanted kind."""
    intent = policy.intents[name]
    if wanted == "destructive":
        return intent.destructive
    if wanted == "starts_servers":
        return intent.starts_servers
    return wanted == name or (wanted == ANY_NOTICE and intent.kind is IntentKind.NOTICE)


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
