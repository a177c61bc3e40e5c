"""The search of the engine's property tests, for as long as it takes. The seed in the header replays it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings

from engine.model import Policy
from tests.engine.life import TIMELINES, Action, live
from tests.factories import shipped_policy, small_policy


@pytest.fixture(params=[small_policy, shipped_policy], ids=["written by hand", "shipped"], scope="module")
def policy(request: pytest.FixtureRequest) -> Policy:
    """The policy under which an account lives."""
    made: Callable[[], Policy] = request.param
    return made()


@settings(max_examples=20_000, suppress_health_check=list(HealthCheck))
@given(TIMELINES)
def test_whatever_happens_no_guarantee_breaks(policy: Policy, timeline: list[Action]) -> None:
    life = live(policy, timeline)
    life.paid()
    assert life.snapshot.states["billing"] == "active"
