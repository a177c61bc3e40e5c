"""Many lives at Stripe, by every way that its events can come: the same end, and no notice twice."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.jobs.floor import Floor
from tests.jobs.stripe.test_ways import HAPPENING, Schedule, ends_the_same


@pytest.mark.timeout(3600)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(schedule=st.lists(HAPPENING, min_size=2, max_size=8), seed=st.integers(0, 9_999))
def test_whatever_way_events_come_the_account_ends_the_same(floor: Floor, schedule: Schedule, seed: int) -> None:
    ends_the_same(floor, schedule, seed)
