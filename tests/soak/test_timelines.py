"""The search of the engine's property tests, for as long as it takes. The seed in the header replays it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings

from engine.model import Policy
from tests.engine.life import TIMELINES, Action, live
from tests.factories import shipped_policy, small_policy

POLICIES: dict[str, Callable[[], Policy]] = {"written by hand": small_policy, "shipped": shipped_policy}


@cache
def policy_called(name: str) -> Policy:
    """Return the policy; tests take its name, as hypothesis writes out all arguments of what fails."""
    return POLICIES[name]()


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=20_000, suppress_health_check=list(HealthCheck))
@given(TIMELINES)
def test_whatever_happens_no_guarantee_breaks(name: str, timeline: list[Action]) -> None:
    life = live(policy_called(name), timeline)
    life.paid()
    assert life.snapshot.states["billing"] == "active"
