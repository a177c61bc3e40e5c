"""Compares machines: their rungs, and each rule's states, guard, timers, permits, order and what it asks for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from engine.compare.examples import Examples
from engine.compare.guards import between, truth, valuations, write_facts, write_guard
from engine.compare.policies import Change, Effect
from engine.durations import write_duration
from engine.model import Machine, Policy, Rule, RuleKind, Timer


def compare_ladders(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield machines and states that one policy has and the other lacks, and rungs that stand elsewhere."""
    for name in [*old.machines, *(each for each in new.machines if each not in old.machines)]:
        before, after = old.machines.get(name), new.machines.get(name)
        if before is None or after is None:
            machine = before or after
            assert machine is not None
            effect = Effect.ADDED if before is None else Effect.REMOVED
            words = " ".join(machine.ladder)
            sides = ("", words) if before is None else (words, "")
            yield Change("machines", name, effect, *sides, machine.place, in_old=after is None)
            continue
        for state in before.ladder:
            if state not in after.ladder:
                told = f"an account that is in {name}.{state} has to be mapped to another state"
                yield Change("machines", f"{name}.{state}", Effect.REMOVED, state, "", after.place, told)
        for state in after.ladder:
            if state not in before.ladder:
                yield Change("machines", f"{name}.{state}", Effect.ADDED, "", state, after.place)
        one = [state for state in before.ladder if state in after.ladder]
        two = [state for state in after.ladder if state in before.ladder]
        if one != two and after.of == "account":  # the states of a lifecycle have no order
            yield Change("machines", f"{name} ladder", Effect.MOVED, " ".join(one), " ".join(two), after.place)


def compare_rules(old: Policy, new: Policy) -> Iterator[Change]:
    """Yield what differs in the rules of machines that both policies have."""
    examples = Examples(old, new)
    for name, after in new.machines.items():
        before = old.machines.get(name)
        if before is None:
            continue
        one, two = {rule.id: rule for rule in before.rules}, {rule.id: rule for rule in after.rules}
        renamed = _renamed(one, two)
        for rule_id, rule in one.items():
            kept = two.get(rule_id) or two.get(renamed.get(rule_id, ""))
            if kept is None:
                yield _alone(rule, examples, in_old=True)
                continue
            if kept.id != rule_id:
                yield Change("transitions", rule.name, Effect.CHANGED, rule.id, f"{kept.id} (renamed)", kept.place)
            else:
                yield from _Pair(rule, kept, examples).changes()
        for rule_id, rule in two.items():
            if rule_id not in one and rule_id not in renamed.values():
                yield _alone(rule, examples, in_old=False)
        yield from _order(old, new, before, after)


def write_rule(rule: Rule) -> str:
    """Return the rule as one line of words."""
    where = f"{' | '.join(rule.sources)} -> {rule.to}" if rule.to else f"{' | '.join(rule.sources)}: mark {rule.mark}"
    parts = [where]
    if rule.event:
        parts.append(f"on {rule.event}" + (f" by {rule.by}" if rule.by else ""))
    if rule.when is not None:
        parts.append(f"when {write_guard(rule.when)}")
    parts += [f"after {write_timer(timer)}" for timer in rule.after]
    parts += [f"before {write_timer(timer)}" for timer in rule.before]
    if rule.do:
        parts.append(f"do {', '.join(sorted(_asks(rule)))}")
    return ", ".join(parts)


def write_timer(timer: Timer) -> str:
    """Return a timer as one word."""
    return f"{timer.anchor} {write_duration(timer.duration)}"


def _signature(rule: Rule) -> object:
    from engine.compare.guards import key_of

    timers = (
        frozenset((t.anchor, t.duration) for t in rule.after),
        frozenset((t.anchor, t.duration) for t in rule.before),
    )
    return (
        rule.kind, frozenset(rule.sources), rule.to, rule.mark, key_of(rule.when), rule.event, rule.by, rule.other_than,
        timers, frozenset(rule.needs), frozenset(_asks(rule)),
    )  # fmt: skip


def _renamed(one: Mapping[str, Rule], two: Mapping[str, Rule]) -> dict[str, str]:
    """Return rules that differ by their name alone, old to new."""
    free = {_signature(rule): rule.id for rule in two.values() if rule.id not in one}
    found: dict[str, str] = {}
    for rule in one.values():
        if rule.id not in two and (same := free.pop(_signature(rule), None)) is not None:
            found[rule.id] = same
    return found


def _asks(rule: Rule) -> list[str]:
    return [f"{ask.intent}{' each server' if ask.each_server else ''}" for ask in rule.do]


def _alone(rule: Rule, examples: Examples, *, in_old: bool) -> Change:
    effect = Effect.REMOVED if in_old else Effect.ADDED
    sides = (write_rule(rule), "") if in_old else ("", write_rule(rule))
    leans = None
    if rule.kind is not RuleKind.MOVE:  # more pressure, or less relief, is felt as stricter
        leans = Effect.STRICTER if (rule.kind is RuleKind.PRESSURE) is not in_old else Effect.LENIENT
    told = examples.of(rule.name)
    return Change("transitions", rule.name, effect, *sides, rule.place, told, in_old=in_old, leans=leans)


class _Pair:
    """One rule as it was and as it is."""

    def __init__(self, one: Rule, two: Rule, examples: Examples) -> None:
        self.one, self.two, self.examples = one, two, examples
        self.old, self.new = examples.old, examples.new
        self.machine = self.new.machines[two.machine]

    def changes(self) -> Iterator[Change]:
        """Yield what differs."""
        yield from self._states()
        yield from self._guard()
        yield from self._timers()
        yield from self._needs()
        one, two = self.one, self.two
        plain = [
            ("kind", one.kind.value, two.kind.value),
            ("event", one.event or "", two.event or ""),
            ("by", one.by or "anybody", two.by or "anybody"),
            ("other than who sent", one.other_than or "", two.other_than or ""),
        ]
        for what, before, after in plain:
            if before != after:
                yield self._change("transitions", what, Effect.CHANGED, before, after)
        for ask in sorted({*_asks(one)} ^ {*_asks(two)}):
            added = ask in _asks(two)
            effect = Effect.ADDED if added else Effect.REMOVED
            yield self._change("transitions", "do", effect, "" if added else ask, ask if added else "")

    def _change(self, area: str, what: str, effect: Effect, before: str, after: str, example: str = "") -> Change:
        subject = f"{self.two.name} {what}"
        return Change(area, subject, effect, before, after, self.two.place, example)

    def _towards(self, *, more: bool) -> Effect:
        """Return which way a rule goes that fires in more cases, or earlier."""
        if self.two.kind is RuleKind.MOVE:
            return Effect.CHANGED
        return Effect.STRICTER if more is (self.two.kind is RuleKind.PRESSURE) else Effect.LENIENT

    def _states(self) -> Iterator[Change]:
        one, two = self.one, self.two
        for state in [*one.sources, *(each for each in two.sources if each not in one.sources)]:
            known = state in self.old.machines[one.machine].ladder and state in self.machine.ladder
            if (state in one.sources) != (state in two.sources) and known:
                more = state in two.sources
                verb = "fires only now" if more else "fires no longer"
                sides = ("", state) if more else (state, "")
                told = f"from {one.machine}.{state} it {verb}"
                yield self._change("transitions", "from", self._towards(more=more), *sides, told)
        if (one.to, one.mark) != (two.to, two.mark):
            ladder = self.machine.ladder
            effect = Effect.MOVED
            if one.to in ladder and two.to in ladder and self.two.kind is not RuleKind.MOVE:
                effect = Effect.STRICTER if ladder.index(two.to) > ladder.index(one.to) else Effect.LENIENT
            sides = one.to or f"mark {one.mark}", two.to or f"mark {two.mark}"
            told = f"an account in {one.machine}.{two.sources[0]} gets {sides[1]}, not {sides[0]}"
            yield self._change("transitions", "to", effect, *sides, told)

    def _guard(self) -> Iterator[Change]:
        more, less = between(self.old, self.new, self.one.when, self.two.when)
        words = write_guard(self.one.when), write_guard(self.two.when)
        if words[0] == words[1]:  # the name is the same, and what it stands for is not
            words = _unfolded(self.one), _unfolded(self.two)
        where = f"an account in {self.two.machine}.{self.two.sources[0]} with"
        if more is not None:
            told = f"{where} {write_facts(more)}: it fires only now"
            yield self._change("transitions", "when", self._towards(more=True), *words, told)
        if less is not None:
            told = f"{where} {write_facts(less)}: it fires no longer"
            yield self._change("transitions", "when", self._towards(more=False), *words, told)

    def _timers(self) -> Iterator[Change]:
        for word, one, two in (("after", self.one.after, self.two.after), ("before", self.one.before, self.two.before)):
            was, is_ = ({timer.anchor: timer.duration for timer in timers} for timers in (one, two))
            for anchor in [*was, *(each for each in is_ if each not in was)]:
                before, after = was.get(anchor), is_.get(anchor)
                if before == after:
                    continue
                told = _written(before), _written(after)
                earlier = _earlier(word, before, after)
                example = self.examples.of(self.two.name)
                yield self._change("timers", f"{word} {anchor}", self._towards(more=earlier), *told, example)

    def _needs(self) -> Iterator[Change]:
        for permit in sorted({*self.one.needs} ^ {*self.two.needs}):
            added = permit in self.two.needs
            sides = ("", permit) if added else (permit, "")
            told = f"while {permit} says no, it {'waits now' if added else 'fires all the same'}"
            yield self._change("transitions", "needs", self._towards(more=not added), *sides, told)


def _earlier(word: str, before: timedelta | None, after: timedelta | None) -> bool:
    """Tell whether a rule fires earlier: a wait that is shorter or gone, or a head start that is longer."""
    if before is None or after is None:
        return after is None
    return after < before if word == "after" else after > before


def _written(duration: timedelta | None) -> str:
    return "does not wait for it" if duration is None else write_duration(duration)


def _unfolded(rule: Rule) -> str:
    from engine.model import Named

    guard = rule.when
    while isinstance(guard, Named):
        guard = guard.guard
    return write_guard(guard)


def _order(old: Policy, new: Policy, before: Machine, after: Machine) -> Iterator[Change]:
    """Yield pairs of rules that may both be tried at once and are tried in another order now."""
    for one, two in ((before.relief, after.relief), (before.pressure, after.pressure), (before.moves, after.moves)):
        at = {rule.id: number for number, rule in enumerate(one)}
        kept = [rule for rule in two if rule.id in at]
        for index, first in enumerate(kept):
            for second in kept[index + 1 :]:
                if at[first.id] > at[second.id] and _meet(old, new, first, second):
                    told = f"where both may fire, {first.id} goes first now, {second.id} did before"
                    sides = (f"{second.id}, {first.id}", f"{first.id}, {second.id}")
                    yield Change("transitions", first.name, Effect.MOVED, *sides, first.place, told)


def _meet(old: Policy, new: Policy, first: Rule, second: Rule) -> bool:
    if first.event != second.event or not set(first.sources) & set(second.sources):
        return False
    guards: Sequence[object] = (first.when, second.when)
    found = valuations(old, new, [first.when, second.when]) if any(guards) else iter(({},))
    return found is None or any(truth(first.when, facts) and truth(second.when, facts) for facts in found)
