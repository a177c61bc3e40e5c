"""Judges each guarantee of a policy: by looking where that is enough, by exploring a slice of it where time matters."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.guarantees import AtMostOnce, Guarantee, Happening, LeadsTo, Never, OneRung, Stopped
from engine.guards import facts_of, holds
from engine.model import Guard, Origin, Place, Policy, Rule, Value
from engine.prove.explore import Broken, Outcome, Visit, Watch, explore
from engine.prove.space import Space
from engine.prove.watch import NeverWatch, OnceWatch, is_such
from engine.repairs import Seen, recommend

MOST_STATES = 200_000


class Verdict(StrEnum):
    """What can be said of a guarantee. `not proven`: a bound was hit, so nothing was found and nothing is sure."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_PROVEN = "not proven"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A guarantee's verdict. `path` is the shortest run that breaks it; without one, `where` says what breaks it."""

    guarantee: Guarantee
    verdict: Verdict
    states: int  # explored, or looked at
    why: str = ""
    where: Place | None = None
    space: Space | None = None
    path: tuple[Visit, ...] = ()
    broken: Broken | None = None


Found = tuple[Verdict, int, str, Place | None]


def judge(policy: Policy, guarantee: Guarantee, most_states: int = MOST_STATES) -> Judgement:
    """Return whether the policy keeps the guarantee."""
    if isinstance(guarantee, Never | AtMostOnce):
        return _explored(policy, guarantee, most_states)
    verdict, looked, why, where = _looked(policy, guarantee)
    return Judgement(guarantee, verdict, looked, why, where)


def _looked(policy: Policy, guarantee: Guarantee) -> Found:
    if isinstance(guarantee, Stopped):
        return _stopped(policy, guarantee)
    if isinstance(guarantee, OneRung):
        return _one_rung(policy, guarantee)
    assert isinstance(guarantee, LeadsTo)
    return _leads_to(policy, guarantee)


# ---- by exploring ----------------------------------------------------------------------------------------------------


def _explored(policy: Policy, guarantee: Never | AtMostOnce, most_states: int) -> Judgement:
    states, why = 0, ""
    slices = [_slice(policy, guarantee)] if isinstance(guarantee, Never) else _askers(policy, guarantee)
    for machines in slices:
        if not machines:
            continue
        space = Space(policy, machines, _guards(guarantee))
        watch: Watch = NeverWatch(guarantee, space) if isinstance(guarantee, Never) else OnceWatch(guarantee, space)
        outcome: Outcome = explore(space, watch, most_states)
        states += outcome.states
        if outcome.broken is not None:
            where = Place(outcome.path[-1].move.place, 0, 0) if outcome.path[-1].move is not None else None
            return Judgement(
                guarantee,
                Verdict.BROKEN,
                states,
                outcome.broken.why,
                where,
                space,
                outcome.path,
                outcome.broken,
            )
        if not outcome.complete:
            return Judgement(guarantee, Verdict.NOT_PROVEN, states, f"stopped at {most_states} states")
    if not states:
        why = "no rule does this"
    return Judgement(guarantee, Verdict.HOLDS, states, why)


def _guards(guarantee: Never | AtMostOnce) -> tuple[Guard, ...]:
    if isinstance(guarantee, AtMostOnce):
        return ()
    return tuple(guard for guard in (guarantee.while_, guarantee.given) if guard is not None)


def _slice(policy: Policy, guarantee: Never) -> tuple[str, ...]:
    """Return the account machines that the guarantee can depend on; none when no rule does what is never to happen."""
    concerned = _concerned(policy, guarantee.happening)
    if not concerned:
        return ()
    for before in guarantee.without:
        concerned |= _concerned(policy, before.happening)
    concerned |= {machine.name for machine in policy.account_machines if set(guarantee.elapsed) & machine.facts.keys()}
    return _with_watched(policy, concerned, _guards(guarantee))


def _askers(policy: Policy, guarantee: AtMostOnce) -> list[tuple[str, ...]]:
    """Return one slice for each machine that asks for one of the notices."""
    asking = [m.name for m in policy.account_machines if any(_asks(rule, set(guarantee.notices)) for rule in m.rules)]
    return [_with_watched(policy, {name}, ()) for name in asking]


def _asks(rule: Rule, names: set[str]) -> bool:
    return any(ask.intent in names for ask in rule.do)


def _concerned(policy: Policy, happening: Happening) -> set[str]:
    """Return the machines whose rules can do this."""
    if happening.kind in {"enter", "rule", "climb"}:
        return {happening.name.partition(".")[0]}
    test: Callable[[Rule], bool]
    if happening.kind == "event":
        test = lambda rule: rule.event == happening.name  # noqa: E731 - one of two tests
    else:
        test = lambda rule: any(is_such(policy, happening.name, ask.intent) for ask in rule.do)  # noqa: E731
    return {machine.name for machine in policy.account_machines if any(test(rule) for rule in machine.rules)}


def _with_watched(policy: Policy, machines: set[str], guards: Iterable[Guard]) -> tuple[str, ...]:
    """Add every machine whose state the rules or guards read, in the policy's order."""
    reading = [name for guard in guards for name in facts_of(guard)]
    wanted, new = set(machines), set(machines)
    while new:
        for machine in (policy.machines[name] for name in new):
            reading += [name for rule in machine.rules for name in facts_of(rule.when)]
        seen = {policy.facts[name].of for name in reading if policy.facts[name].origin is Origin.MACHINE}
        new = {name for name in seen if name is not None} - wanted
        wanted |= new
    return tuple(machine.name for machine in policy.account_machines if machine.name in wanted)


# ---- by looking ------------------------------------------------------------------------------------------------------


def _stopped(policy: Policy, guarantee: Stopped) -> Found:
    looked = 0
    gates = policy.gates
    for state, action in itertools.product(guarantee.servers, guarantee.denies):
        looked += 1
        others = [actor for actor, actions in gates.may_also.items() if action in actions]
        if gates.server.get(action, {}).get(state, False) or others:
            who = f" to {others[0]}" if others else ""
            return (
                Verdict.BROKEN,
                looked,
                f"`{action}` is allowed{who} while servers are {state}",
                gates.places.get(action),
            )
    for state, name in itertools.product(guarantee.servers, guarantee.unwanted):
        looked += 1
        intent = policy.intents[name]
        if not intent.wanted_for or state in intent.wanted_for:
            return Verdict.BROKEN, looked, f"`{name}` is still wanted while servers are {state}", intent.place
    return _repaired(policy, guarantee, looked)


def _repaired(policy: Policy, guarantee: Stopped, looked: int) -> Found:
    """Ask repairs about every server that billing stopped: started never, shut down when it runs."""
    lifecycles = next(m.ladder for m in policy.machines.values() if m.of == "server")
    busy = {state for p in policy.permits.values() for state in p.lifecycles}
    for server, lifecycle, observed, desired, autostart in itertools.product(
        guarantee.servers, lifecycles, ("running", "stopped"), ("running", "stopped"), (True, False)
    ):
        looked += 1
        found = recommend(policy, Seen(desired, observed, server, lifecycle, autostart))
        place = next((line.place for line in policy.repairs.lines if line.id == found.repair), None)
        intent = policy.intents.get(found.do) if found.do is not None else None
        if intent is not None and intent.starts_servers:
            return Verdict.BROKEN, looked, f"repair `{found.repair}` starts a server that is {server}", place
        if observed == "running" and lifecycle not in busy and found.do != guarantee.running:
            why = f"a running server that is {server} ({lifecycle}) is left alone by repair `{found.repair}`"
            return Verdict.BROKEN, looked, why, place
    return Verdict.HOLDS, looked, "", None


def _one_rung(policy: Policy, guarantee: OneRung) -> Found:
    looked = 0
    for name in guarantee.machines:
        machine = policy.machines[name]
        rank = {state: at for at, state in enumerate(machine.ladder)}
        for rule in machine.pressure:
            for source in rule.sources:
                looked += 1
                if rule.to is not None and rank[rule.to] != rank[source] + 1:
                    why = f"`{rule.name}` climbs from {source} to {rule.to}: {rank[rule.to] - rank[source]} rungs"
                    return Verdict.BROKEN, looked, why, rule.place
    return Verdict.HOLDS, looked, "", None


def _leads_to(policy: Policy, guarantee: LeadsTo) -> Found:
    """Let relief run from every combination of states and set stamps, under all evidence for which the guard holds."""
    machine, target = guarantee.to
    space = Space(policy, _with_watched(policy, {machine}, (guarantee.when,)), (guarantee.when,))
    looked = 0
    start = space.start()
    stamps = [name for name in space.anchors if any(name in facts_of(rule.when) for rule in _relief(space))]
    for states in itertools.product(*(each.machine.ladder for each in space.machines)):
        for chosen in itertools.product((False, True), repeat=len(stamps)):
            present = tuple(dict(zip(stamps, chosen, strict=True)).get(name, False) for name in space.anchors)
            for evidence in space.evidence:
                node = start._replace(states=states, stamped=present)
                if not holds(guarantee.when, space.facts(node, evidence)):
                    continue
                looked += 1
                rules, reached = space.relieve(node, evidence)
                if reached.states[space.index[machine]] != target:
                    ends = f"{machine}.{reached.states[space.index[machine]]}"
                    why = f"relief leads from {machine}.{states[space.index[machine]]} to {ends}"
                    return Verdict.BROKEN, looked, f"{why}, under {_told(evidence)}", policy.machines[machine].place
                for rule, never in itertools.product(rules, guarantee.never):
                    if any(is_such(policy, never.name, ask.intent) for ask in rule.do):
                        return Verdict.BROKEN, looked, f"`{rule.name}` asks for `{never}`", rule.place
    return Verdict.HOLDS, looked, "", None


def _relief(space: Space) -> list[Rule]:
    return [rule for machine in space.machines for rule in machine.machine.relief]


def _told(evidence: Mapping[str, Value]) -> str:
    return ", ".join(f"{name} {'null' if value is None else value}" for name, value in evidence.items())
