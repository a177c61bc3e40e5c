"""Proving every shipped guarantee against one second, and exploring all machines together."""

from __future__ import annotations

from engine.model import Policy
from engine.prove.explore import Silent, explore
from engine.prove.judge import MOST_STATES, judge
from engine.prove.space import Space
from tests.benchmarks.table import Row, microseconds_each
from tests.factories import shipped_policy

SECOND = 1_000.0  # milliseconds


def prove_all(policy: Policy) -> None:
    """Judge everything that the policy promises about itself, as if nobody had asked before."""
    judge.cache_clear()
    for guarantee in policy.guarantees:
        judge(policy, guarantee)


def run() -> list[Row]:
    """Measure on the policy that ships."""
    policy = shipped_policy()
    machines = tuple(machine.name for machine in policy.account_machines)
    each = microseconds_each(lambda: prove_all(policy), 1, 10) / 1000
    whole = microseconds_each(lambda: explore(Space(policy, machines), Silent(), MOST_STATES), 1, 3) / 1000
    return [
        Row("prove all shipped guarantees / one second", each, SECOND, each / SECOND, "ms", "<= 0.25"),
        Row("explore all machines at once / one second", whole, SECOND, whole / SECOND, "ms", "<= 1"),
    ]
