"""Judges each guarantee of a policy: by looking where that is enough, by exploring a slice of it where time matters."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from engine.guarantees import AtMostOnce, Exactly, Guarantee, LeadsTo, Never, OneRung, Reaches, Slots, Stopped
from engine.guards import facts_of, holds
from engine.model import Place, Policy
from engine.prove.counterexample import Told, story, story_then
from engine.prove.explore import Broken, Outcome, Silent, Visit, Watch, explore, path_to
from engine.prove.look import listed_exactly, slots_let
from engine.prove.progress import ASSUMES, progress
from engine.prove.replay import lived, relieved, stays_below, timeline_of
from engine.prove.slices import askers, closed, is_such, slice_of
from engine.prove.space import Move, Question, Space
from engine.prove.watch import NeverWatch, OnceWatch
from engine.repairs import Seen, recommend
from engine.timeline.items import Timeline

MOST_STATES = 200_000
MOST_KEPT = 64  # judgements in memory: of the policy in force, and of one that is held beside it
STOPPED = "stopped at {} states; nothing breaks it so far, and nothing is sure (`--max-states` allows more)"
NOT_FOLLOWED = "on a run that the real decisions do not follow"


class Verdict(StrEnum):
    """What can be said of a guarantee. `not proven`: a bound was hit, or a run was found that cannot be replayed."""

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
    steps: tuple[Told, ...] = ()  # the run as it is told, after it was replayed
    timeline: Timeline | None = None  # the run as the real decisions can play it
    assumes: tuple[str, ...] = ()  # what others have to do for it to hold


Found = tuple[Verdict, int, str, Place | None]


@lru_cache(maxsize=MOST_KEPT)
def judge(policy: Policy, guarantee: Guarantee, most_states: int = MOST_STATES) -> Judgement:
    """Return whether the policy keeps the guarantee. Kept: who deploys or compares asks again of the one in force."""
    if isinstance(guarantee, Never | AtMostOnce):
        return _explored(policy, guarantee, most_states)
    if isinstance(guarantee, Reaches):
        return _reaches(policy, guarantee, most_states)
    if isinstance(guarantee, LeadsTo):
        return _leads_to(policy, guarantee, most_states)
    verdict, looked, why, where = _looked(policy, guarantee)
    return Judgement(guarantee, verdict, looked, why, where)


def _looked(policy: Policy, guarantee: Stopped | OneRung | Slots | Exactly) -> Found:
    if isinstance(guarantee, Stopped):
        return _stopped(policy, guarantee)
    if isinstance(guarantee, OneRung):
        return _one_rung(policy, guarantee)
    why, looked = slots_let(policy, guarantee) if isinstance(guarantee, Slots) else listed_exactly(policy, guarantee)
    return (Verdict.BROKEN, looked, why, guarantee.place) if why else (Verdict.HOLDS, looked, "", None)


# ---- by exploring ----------------------------------------------------------------------------------------------------


def _explored(policy: Policy, guarantee: Never | AtMostOnce, most_states: int) -> Judgement:
    states, why = 0, ""
    slices = [slice_of(policy, guarantee)] if isinstance(guarantee, Never) else askers(policy, guarantee)
    for machines in slices:
        if not machines:
            continue
        space = Space(policy, machines, _question(guarantee))
        watch: Watch = NeverWatch(guarantee, space) if isinstance(guarantee, Never) else OnceWatch(guarantee, space)
        outcome: Outcome = explore(space, watch, most_states)
        states += outcome.states
        if outcome.broken is not None:
            return _broken(guarantee, states, space, watch, outcome)
        if not outcome.complete:
            return Judgement(guarantee, Verdict.NOT_PROVEN, states, STOPPED.format(most_states))
    if not states:
        why = "no rule does this"
    return Judgement(guarantee, Verdict.HOLDS, states, why)


def _broken(guarantee: Guarantee, states: int, space: Space, watch: Watch, outcome: Outcome) -> Judgement:
    """Call it broken once the real decisions have been seen to break it too; the model allows a little more."""
    path, broken = outcome.path, outcome.broken
    assert broken is not None
    where = _place(space, path[-1].move)
    told = story(space, path, broken)
    timeline, steps = timeline_of(space, told), lived(space, watch, told)
    if steps is None:
        why = f"{broken.why}, {NOT_FOLLOWED}"
        return Judgement(guarantee, Verdict.NOT_PROVEN, states, why, where, space, path, broken, told, timeline)
    return Judgement(guarantee, Verdict.BROKEN, states, broken.why, where, space, path, broken, steps, timeline)


def _place(space: Space, move: Move | None) -> Place | None:
    """Return the line that the move obeys."""
    if move is None:
        return None
    rule = space.ready.rules.get(move.names[-1])
    promised = [
        promise.rule for promise in space.promises if promise.notice == move.names[-1] and move.kind != "deliver"
    ]
    rule = promised[0] if promised else rule
    return rule.rule.place if rule is not None else space.policy.intents[move.names[-1]].place


def _reaches(policy: Policy, guarantee: Reaches, most_states: int) -> Judgement:
    found = progress(policy, guarantee, most_states)
    if found.stuck is None:
        verdict = Verdict.HOLDS if found.complete else Verdict.NOT_PROVEN
        why = "" if found.complete else STOPPED.format(most_states)
        return Judgement(guarantee, verdict, found.states, why, assumes=ASSUMES)
    stuck, space = found.stuck, found.space
    wait = Move("wait", (), str(policy.machines[guarantee.to[0]].place), None, stuck.evidence)
    steps = story_then(space, stuck.path, wait, stuck.path[-1].node)
    followed = stays_below(space, steps, guarantee.to)
    return Judgement(
        guarantee=guarantee,
        verdict=Verdict.BROKEN if followed else Verdict.NOT_PROVEN,
        states=found.states,
        why=stuck.why if followed else f"{stuck.why}, {NOT_FOLLOWED}",
        where=policy.machines[guarantee.to[0]].place,
        space=space,
        path=stuck.path,
        steps=steps,
        timeline=timeline_of(space, steps),
        assumes=ASSUMES,
    )


def _leads_to(policy: Policy, guarantee: LeadsTo, most_states: int) -> Judgement:
    """Let relief run from every state that can be reached, under all evidence for which the guard holds."""
    machine = guarantee.to[0]
    space = Space(policy, closed(policy, {machine}, facts_of(guarantee.when)), Question((guarantee.when,)))
    outcome = explore(space, Silent(), most_states)
    for at, number in itertools.product(range(len(outcome.visits)), range(len(space.evidence))):
        node, evidence = outcome.visits[at].node, space.evidence[number]
        if not holds(guarantee.when, space.facts(node, evidence)):
            continue
        rules, reached = space.relieve(node, evidence)
        asked = {ask.intent for rule in rules for ask in rule.do}
        why = _astray(policy, guarantee, dict(zip(space.index, reached.states, strict=True)), asked)
        if why is None:
            continue
        place = rules[-1].place if rules else policy.machines[machine].place
        move = Move("learn", tuple(rule.name for rule in rules), str(place), None, number)
        path = path_to(outcome.visits, at)
        steps = story_then(space, path, move, reached)
        really = relieved(space, steps)
        followed = really is not None and _astray(policy, guarantee, *really) is not None
        return Judgement(
            guarantee=guarantee,
            verdict=Verdict.BROKEN if followed else Verdict.NOT_PROVEN,
            states=outcome.states,
            why=why if followed else f"{why}, {NOT_FOLLOWED}",
            where=place,
            space=space,
            path=path,
            steps=steps,
            timeline=timeline_of(space, steps),
        )
    verdict = Verdict.HOLDS if outcome.complete else Verdict.NOT_PROVEN
    return Judgement(guarantee, verdict, outcome.states, "" if outcome.complete else STOPPED.format(most_states))


def _astray(policy: Policy, guarantee: LeadsTo, states: Mapping[str, str], asked: Iterable[str]) -> str | None:
    """Return how relief that ends so breaks the guarantee."""
    machine, target = guarantee.to
    if states[machine] != target:
        return f"relief leaves {machine} in {states[machine]}, not {target}"
    wrong = [name for name in asked for never in guarantee.never if is_such(policy, never.name, name)]
    return f"relief asks for `{wrong[0]}`" if wrong else None


def _question(guarantee: Never | AtMostOnce) -> Question:
    """Return what the guarantee asks about beyond what rules read."""
    if isinstance(guarantee, AtMostOnce):
        return Question()
    guards = tuple(guard for guard in (guarantee.while_, guarantee.given) if guard is not None)
    happenings = [guarantee.happening, *(before.happening for before in guarantee.without)]
    notices = frozenset(each.name for each in happenings if each.kind == "delivered")
    at_delivery = guarantee.happening.kind == "delivered" and bool(guards or guarantee.elapsed)
    return Question(guards, notices, guarantee.elapsed, at_delivery)


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
