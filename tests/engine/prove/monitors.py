"""Watches what really happens to an account for a breach of a guarantee. Shares nothing with what proves them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise

from engine.gates import verdict
from engine.guarantees import AtMostOnce, Guarantee, Happening, LeadsTo, Never, OneRung, Reaches, Stopped
from engine.guards import holds
from engine.model import IntentKind, Origin, Policy, RuleKind, Value
from engine.repairs import Seen, recommend
from engine.servers import server_state
from engine.snapshot import Settlement, Step, StepKind
from engine.timeline.play import Timeline, play
from engine.wanted import wanted
from tests.engine.prove.walk import Happened

FAR = timedelta(days=4000)
FIRING = {StepKind.TRANSITION, StepKind.MARK}
Past = tuple[datetime, str, frozenset[str]]  # when, who, the machines whose episode it belongs to


def is_reached(policy: Policy, guarantee: Reaches, states: Mapping[str, str]) -> bool:
    """Tell whether the machine is as high as promised."""
    name, state = guarantee.to
    ladder = policy.machines[name].ladder
    return ladder.index(states[name]) >= ladder.index(state)


def breaches_of(policy: Policy, guarantee: Guarantee, timeline: Timeline) -> list[str]:
    """Return how the real decisions break the guarantee on the timeline."""
    if isinstance(guarantee, Reaches):
        end = play(policy, timeline, timeline.start + FAR)[-1].snapshot.states
        return [] if is_reached(policy, guarantee, end) else [f"{guarantee.name}: {guarantee.to[0]} stays below"]
    monitor = Monitor(policy, guarantee)
    found: list[str] = []
    for last, moment in pairwise(play(policy, timeline)):
        item = timeline.items[moment.item] if moment.item is not None else None
        before, command = last.snapshot, None
        if item is not None:
            before, command = replace(before, facts={**before.facts, **item.set}), item.command
        for notice in moment.notices:
            found += monitor.see(Happened(moment.at, before, moment.snapshot, delivered=notice))
        settled = Settlement(moment.steps, moment.snapshot, moment.server, moment.due_at, moment.waiting)
        found += monitor.see(Happened(moment.at, before, moment.snapshot, settled, command))
    return found


@dataclass
class Monitor:
    """One guarantee, and what has to be remembered for it."""

    policy: Policy
    guarantee: Guarantee
    past: dict[int, Past] = field(default_factory=dict)
    asked: set[tuple[str, int, str]] = field(default_factory=set)

    def see(self, happened: Happened) -> Iterator[str]:
        """Yield why what happened breaks the guarantee."""
        guarantee = self.guarantee
        if isinstance(guarantee, Never):
            yield from self._never(guarantee, happened)
        elif isinstance(guarantee, AtMostOnce):
            yield from self._at_most_once(guarantee, happened)
        elif isinstance(guarantee, LeadsTo):
            yield from self._leads_to(guarantee, happened)
        elif isinstance(guarantee, OneRung):
            yield from self._one_rung(guarantee, happened)
        elif isinstance(guarantee, Stopped):
            yield from self._stopped(guarantee, happened)

    # ---- never -------------------------------------------------------------------------------------------------------

    def _never(self, guarantee: Never, happened: Happened) -> Iterator[str]:
        facts = dict(happened.before.facts)
        if happened.delivered is not None:
            self._mirror(facts, happened.before.states)
            yield from self._one(guarantee, happened, None, facts)
        states = dict(happened.before.states)
        for step in happened.settlement.steps if happened.settlement is not None else ():
            self._mirror(facts, states)
            yield from self._one(guarantee, happened, step, {**facts, **step.facts})
            states[step.machine] = step.to

    def _mirror(self, facts: dict[str, Value], states: Mapping[str, str]) -> None:
        for fact in self.policy.facts.values():
            if fact.origin is Origin.MACHINE and fact.of is not None and fact.of in states:
                facts[fact.name] = states[fact.of]

    def _one(
        self, guarantee: Never, happened: Happened, step: Step | None, facts: Mapping[str, Value]
    ) -> Iterator[str]:
        if self._is(guarantee.happening, happened, step):
            why = self._missing(guarantee, happened.at, facts)
            if why is not None:
                yield f"{guarantee.name}: {why} at {happened.at}"
        self._forget(guarantee, step)
        for at, before in enumerate(guarantee.without):
            if self._is(before.happening, happened, step):
                actor = happened.command.actor if happened.command is not None else "nobody"
                self.past[at] = (happened.at, actor, self._belongs(guarantee, before.happening, step))

    def _missing(self, guarantee: Never, now: datetime, facts: Mapping[str, Value]) -> str | None:
        if guarantee.while_ is not None and not holds(guarantee.while_, facts):
            return None
        if not (guarantee.without or guarantee.elapsed or guarantee.given):
            return "it happens"
        if guarantee.given is not None and not holds(guarantee.given, facts):
            return "not given"
        for name in guarantee.elapsed:
            passed = facts.get(name)
            if not isinstance(passed, datetime) or passed > now:
                return f"{name} has not passed"
        for at, before in enumerate(guarantee.without):
            if at not in self.past:
                return f"without {before.happening}"
            when, who, _ = self.past[at]
            if now - when < timedelta(seconds=before.at_least_seconds):
                return f"too soon after {before.happening}"
            if before.other_than is not None and who == self.past[before.other_than][1]:
                return "the same person"
        return None

    def _is(self, happening: Happening, happened: Happened, step: Step | None) -> bool:
        kind, name = happening.kind, happening.name
        if kind == "delivered" or step is None:
            return kind == "delivered" and step is None and happened.delivered == name
        if kind == "do":
            return any(self._such(name, asked.intent) for asked in step.asked)
        if step.kind not in FIRING:
            return False
        if kind == "rule":
            return step.because == name
        if kind == "event":
            return self.policy.rule(step.because).event == name
        if kind == "enter":
            return f"{step.machine}.{step.to}" == name and step.to != step.from_
        ladder = self.policy.machines[step.machine].ladder
        return step.machine == name and ladder.index(step.to) > ladder.index(step.from_)

    def _such(self, wanted_: str, name: str) -> bool:
        intent = self.policy.intents[name]
        kinds = {
            "destructive": intent.destructive,
            "starts_servers": intent.starts_servers,
            "any notice": intent.kind is IntentKind.NOTICE,
        }
        return kinds.get(wanted_, wanted_ == name)

    def _belongs(self, guarantee: Never, happening: Happening, step: Step | None) -> frozenset[str]:
        """Return the machines at whose start it is forgotten: the one asked about if it can do it, or all that can."""
        subject = guarantee.happening.name.partition(".")[0]
        able = {
            machine.name
            for machine in self.policy.account_machines
            for rule in machine.rules
            if (happening.kind in {"enter", "climb", "rule"} and happening.name.partition(".")[0] == machine.name)
            or (happening.kind == "event" and rule.event == happening.name)
            or (happening.kind in {"do", "delivered"} and any(self._such(happening.name, a.intent) for a in rule.do))
        }
        return frozenset({subject} if subject in able else able)

    def _forget(self, guarantee: Never, step: Step | None) -> None:
        if step is None:
            return
        anew = {step.because} if step.kind is StepKind.VOID else {asked.intent for asked in step.asked}
        home = step.machine if self.policy.machines[step.machine].initial in {step.from_, step.to} else None
        for at, before in enumerate(guarantee.without):
            if at not in self.past:
                continue
            if home in self.past[at][2] or (before.happening.kind == "delivered" and before.happening.name in anew):
                del self.past[at]

    # ---- the others --------------------------------------------------------------------------------------------------

    def _at_most_once(self, guarantee: AtMostOnce, happened: Happened) -> Iterator[str]:
        episodes = dict(happened.before.episodes)
        for step in happened.settlement.steps if happened.settlement is not None else ():
            if step.from_ == self.policy.machines[step.machine].initial != step.to:
                episodes[step.machine] = episodes.get(step.machine, 0) + 1
            if step.kind is StepKind.VOID:
                self.asked = {each for each in self.asked if each[2] != step.because}
            if step.kind not in FIRING:
                continue
            for ask in self.policy.rule(step.because).do:
                key = (step.machine, episodes.get(step.machine, 0), ask.intent)
                if ask.intent in guarantee.notices:
                    if key in self.asked:
                        yield f"{guarantee.name}: {key} at {happened.at}"
                    self.asked.add(key)

    def _leads_to(self, guarantee: LeadsTo, happened: Happened) -> Iterator[str]:
        if happened.settlement is None:
            return
        facts = dict(happened.after.facts)
        self._mirror(facts, happened.after.states)
        machine, target = guarantee.to
        if not holds(guarantee.when, facts):
            return
        if happened.after.states[machine] != target:
            yield f"{guarantee.name}: {machine} is {happened.after.states[machine]} at {happened.at}"
        for step in happened.settlement.steps:
            if step.kind in FIRING and self.policy.rule(step.because).kind is RuleKind.RELIEF:
                for asked in step.asked:
                    if any(self._such(never.name, asked.intent) for never in guarantee.never):
                        yield f"{guarantee.name}: {asked.intent} at {happened.at}"

    def _one_rung(self, guarantee: OneRung, happened: Happened) -> Iterator[str]:
        for step in happened.settlement.steps if happened.settlement is not None else ():
            ladder = self.policy.machines[step.machine].ladder
            if step.machine in guarantee.machines and ladder.index(step.to) - ladder.index(step.from_) > 1:
                yield f"{guarantee.name}: {step.because} at {happened.at}"

    def _stopped(self, guarantee: Stopped, happened: Happened) -> Iterator[str]:
        server = server_state(self.policy, happened.after)
        if server.state not in guarantee.servers or happened.settlement is None:
            return
        states = tuple(happened.after.states.items())
        for action in guarantee.denies:
            for actor in ("customer", "admin"):
                if verdict(self.policy, states, server, action, actor, happened.after.facts).allow:
                    yield f"{guarantee.name}: {action} is allowed to {actor}"
        for name in guarantee.unwanted:
            if wanted(self.policy, happened.after, name, server.machine, 1, happened.at).ok:
                yield f"{guarantee.name}: {name} is wanted"
        if recommend(self.policy, Seen("running", "running", server.state, "running", True)).do != guarantee.running:
            yield f"{guarantee.name}: a running server is left alone"
