"""Proofs against random walks over the real decisions: what walks meet was explored, what they break is not proved."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cache
from random import Random

import pytest

from engine.guarantees import Reaches
from engine.guards import holds
from engine.load import bundle, load_texts
from engine.model import Policy, Value
from engine.prove.explore import Silent, explore
from engine.prove.judge import MOST_STATES, Verdict, judge
from engine.prove.space import Space
from engine.prove.steps import DELIVERED, NONE, OPEN, VOID
from engine.prove.zone import Zone
from engine.snapshot import NoticeStatus
from engine.timeline.items import good_standing
from tests.engine.prove.monitors import Monitor, is_reached
from tests.engine.prove.mutants import HARMLESS, MUTANTS, SHIPPED, mutated
from tests.engine.prove.walk import Happened, Walk, fair_end, stamps_of

WALKS, LENGTH = 25, 40  # about a second for all; tests/soak walks on
FEW = 5
STATUS = {NoticeStatus.DELIVERED: DELIVERED, NoticeStatus.VOID: VOID}


@cache
def policy_called(name: str) -> Policy:
    """Return the shipped policy, or a mutant of it."""
    return load_texts(bundle(SHIPPED)) if name == "shipped" else mutated(*(MUTANTS | HARMLESS)[name])


def breaches(policy: Policy, seed: int, walks: int = WALKS, length: int = LENGTH) -> dict[str, str]:
    """Return the guarantees that some walk breaks, each with where it did first."""
    found: dict[str, str] = {}
    for number in range(walks):
        walk = Walk(policy, Random(f"{seed}:{number}"))
        monitors = [Monitor(policy, guarantee) for guarantee in policy.guarantees]
        for happened in walk.steps(length):
            for monitor in monitors:
                for why in monitor.see(happened):
                    found.setdefault(monitor.guarantee.name, f"seed {seed}:{number}: {why}")
        for guarantee in policy.guarantees:
            if isinstance(guarantee, Reaches):
                end = fair_end(copy(walk), guarantee.when, lasting(policy, guarantee, walk))
                if end is not None and not is_reached(policy, guarantee, end.states):
                    found.setdefault(guarantee.name, f"seed {seed}:{number}: it stays {end.states}")
    return found


def lasting(policy: Policy, guarantee: Reaches, walk: Walk) -> Mapping[str, Value]:
    """Return evidence under which the promise is to be kept, the same for every walk of this number."""
    facts = {name: walk.value(name) for name in good_standing(policy)}
    while not holds(guarantee.when, facts):
        facts = {name: walk.value(name) for name in good_standing(policy)}
    return facts


class Explored:
    """All that exploring some machines of a policy reached, to be asked whether something is among it."""

    def __init__(self, policy: Policy, machines: tuple[str, ...]) -> None:
        self.policy = policy
        self.space = Space(policy, machines)
        outcome = explore(self.space, Silent(), MOST_STATES)
        assert outcome.complete
        self.zones: dict[tuple[object, ...], list[Zone]] = {}
        for visit in outcome.visits:
            self.zones.setdefault(tuple(visit.node[:3]), []).append(visit.zone)

    def lacks(self, happened: Happened) -> str | None:
        """Return what of the account was not explored: states, stamps, notices and times; None when all of it was."""
        space, after = self.space, happened.after
        stamps = stamps_of(self.policy, after, space.anchors)
        states = tuple(after.states[machine.name] for machine in space.machines)
        notices = tuple(
            STATUS.get(after.notices[name].status, OPEN) if name in after.notices else NONE for name in space.notices
        )
        key = (states, tuple(at is not None for at in stamps.values()), notices)
        ages = [(happened.at - at).total_seconds() if at is not None else None for at in stamps.values()]
        if any(_within(zone, ages) for zone in self.zones.get(key, ())):
            return None
        return f"{key}, {'at ages ' + str(ages) if key in self.zones else 'never'}"


def _within(zone: Zone, ages: list[float | None]) -> bool:
    points = [0, *(-age if age is not None else None for age in ages)]
    return all(
        bound is None or left is None or right is None or left - right <= bound
        for left, row in zip(points, zone, strict=True)
        for right, bound in zip(points, row, strict=True)
    )


def strays(policy: Policy, seed: int, walks: int = WALKS, length: int = LENGTH) -> Mapping[str, str]:
    """Return what walks met and exploring one machine, or one beside `ended`, did not. All at once are too many."""
    slices = [(machine.name,) for machine in policy.account_machines if not machine_reads_others(policy, machine.name)]
    names = [machine.name for machine in policy.account_machines]
    pairs = [tuple(each for each in names if each in {name, "ended"}) for name in names if name != "ended"]
    explored = [Explored(policy, each) for each in [*slices, *pairs]]
    found: dict[str, str] = {}
    for number in range(walks):
        for happened in Walk(policy, Random(f"{seed}:{number}")).steps(length):
            for each in explored:
                lacking = each.lacks(happened)
                if lacking is not None:
                    found.setdefault(lacking, f"seed {seed}:{number} at {happened.at}")
    return found


def machine_reads_others(policy: Policy, name: str) -> bool:
    """Tell whether the machine cannot be explored alone."""
    from engine.prove.slices import closed

    return closed(policy, {name}, ()) != (name,)


def test_no_walk_breaks_the_shipped_policy() -> None:
    assert breaches(policy_called("shipped"), seed=1) == {}


@pytest.mark.parametrize("name", ["shipped", "another machine's stamp is read"])
def test_whatever_a_walk_meets_was_explored(name: str) -> None:
    assert strays(policy_called(name), seed=2, walks=FEW if name in MUTANTS else WALKS) == {}


@pytest.mark.parametrize("name", MUTANTS)
def test_what_a_walk_breaks_is_not_proved(name: str) -> None:
    policy = policy_called(name)
    broken = breaches(policy, seed=3, walks=FEW)
    verdicts = {each.name: judge(policy, each).verdict for each in policy.guarantees if each.name in broken}
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.HOLDS} == set(), broken
