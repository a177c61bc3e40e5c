"""Maintenance as the policy writes it: when repairs rest, and what customers read of it, in their zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.faults import PolicyFaults
from engine.load import bundle, load_texts
from engine.maintenance import is_running, told
from engine.model import Policy
from storage.settings import SHIPPED_POLICY

BEGINS = datetime(2026, 5, 3, 0, 0, tzinfo=UTC)  # the first Sunday of May, 02:00 in Zurich
WINDOW = "maintenance: [{days: [sun], weeks: [first], hours: 02:00-05:00, zone: Europe/Zurich}]"


def policy(window: str = WINDOW, before: str = "3d") -> Policy:
    """Return the shipped policy with a window of maintenance."""
    texts = bundle(SHIPPED_POLICY)
    text = texts["maintenance.yaml"].replace("maintenance: []", window).replace("before: 3d", f"before: {before}")
    return load_texts({**texts, "maintenance.yaml": text})


@pytest.mark.parametrize(("minutes", "running"), [(-1, False), (0, True), (179, True), (180, False)])
def test_repairs_rest_from_its_first_instant_to_its_last(minutes: int, running: bool) -> None:
    assert is_running(policy(), BEGINS + timedelta(minutes=minutes)) is running


def test_shipped_policy_has_no_window() -> None:
    shipped = load_texts(bundle(SHIPPED_POLICY))
    assert not is_running(shipped, BEGINS)
    assert list(told(shipped, BEGINS, "UTC")) == []


@pytest.mark.parametrize(("hours", "count"), [(-73, 0), (-72, 1), (0, 1), (2, 1), (3, 0)])
def test_customers_are_told_three_days_before_and_until_it_is_over(hours: int, count: int) -> None:
    assert len(list(told(policy(), BEGINS + timedelta(hours=hours), "UTC"))) == count


def test_its_ends_are_written_in_the_zone_of_the_reader() -> None:
    (window,) = told(policy(), BEGINS, "America/New_York")
    assert "Saturday, 2 May 2026, 20:00 (America/New_York, UTC-4)" in window.text
    assert (window.begins_at, window.ends_at) == (BEGINS, BEGINS + timedelta(hours=3))


def test_every_window_within_reach_is_told_in_order() -> None:
    weekly = "maintenance: [{days: [sun], hours: 02:00-05:00}, {from: 2026-05-02T00:00Z, until: 2026-05-02T01:00Z}]"
    found = list(told(policy(weekly, before="10d"), datetime(2026, 5, 1, tzinfo=UTC), "UTC"))
    assert [each.begins_at.day for each in found] == [2, 3, 10]


@pytest.mark.parametrize(
    ("window", "code"),
    [
        ("maintenance: [{days: [sun], hours: 02:00-05:00, zone: account}]", "M310"),
        ("maintenance: [{days: [sun]}]", "S201"),
        ("maintenance: [{days: [sun], hours: 2-5}]", "S205"),
        ("maintenance: [{weeks: [sixth], hours: 02:00-05:00}]", "S204"),
        ("maintenance: [{hours: 02:00-05:00, except: bank_days}]", "M310"),
    ],
)
def test_window_that_cannot_be_is_refused(window: str, code: str) -> None:
    with pytest.raises(PolicyFaults) as caught:
        policy(window)
    assert code in {fault.code for fault in caught.value.faults}
