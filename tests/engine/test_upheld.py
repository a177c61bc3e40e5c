"""Right before what cannot be undone, everything that led there has to hold still."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from engine.snapshot import Hold, NoticeState, NoticeStatus, ServerFacts, Snapshot
from engine.upheld import upheld
from tests.factories import START, hours, shipped_policy

POLICY = shipped_policy()
NOW = START + timedelta(days=100)
TOLD = NoticeState(1, 1, NoticeStatus.DELIVERED, NOW - hours(168), NOW, "deletion")
DESTROYING = Snapshot(
    "a",
    {"billing": "pending_deletion", "deletion": "destroying"},
    {"billing": 1, "deletion": 1},
    {"deletion_notice_sent_at": NOW - hours(168), "final_backups_made_at": NOW},
    {"send_deletion_notice": TOLD},
    permits={"deletion_switch": True, "fresh_standing": True, "clock_sane": True},
)


def ask(snapshot: Snapshot) -> tuple[bool, str]:
    found = upheld(POLICY, snapshot, "deletion", "destroy_servers", NOW)
    return found.ok, found.reason


def test_it_goes_on_while_all_of_it_holds() -> None:
    assert ask(DESTROYING) == (True, "all of it holds still")


def with_facts(**facts: object) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, facts={**snapshot.facts, **facts})  # type: ignore[dict-item]


def with_permits(**permits: bool | None) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, permits={**snapshot.permits, **permits})


def with_notice(**changes: object) -> Callable[[Snapshot], Snapshot]:
    told = replace(TOLD, **changes)  # type: ignore[arg-type]
    return lambda snapshot: replace(snapshot, notices={"send_deletion_notice": told})


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda it: replace(it, states={**it.states, "billing": "retained"}), "the condition of `deletion.destroy`"),
        (lambda it: replace(it, states={**it.states, "deletion": "approved"}), "deletion is approved"),
        (with_facts(deletion_notice_sent_at=None), "what `deletion.destroy` counts from is void"),
        (with_facts(final_backups_made_at=None), "what `deletion.destroy` counts from is void"),
        (with_facts(deletion_notice_sent_at=NOW - hours(167)), "not before"),
        (with_notice(promise_at=NOW + hours(1)), "not before"),
        (with_notice(floor_at=NOW + hours(1)), "not before"),
        (with_permits(deletion_switch=False), "`deletion_switch` does not permit it"),
        (with_permits(fresh_standing=None), "`fresh_standing` does not permit it"),
        (with_permits(clock_sane=None), "`clock_sane` does not permit it"),
        (lambda it: replace(it, holds=(Hold("extension", None),)), "`no_hold` does not permit it"),
        (lambda it: replace(it, holds=(Hold("extension", NOW + hours(1)),)), "`no_hold` does not permit it until"),
        (lambda it: replace(it, servers=(ServerFacts("s", "restoring", "stopped"),)), "`safe_point` does not permit"),
    ],
)
def test_anything_that_holds_no_more_stops_it(change: Callable[[Snapshot], Snapshot], why: str) -> None:
    ok, reason = ask(change(DESTROYING))
    assert not ok
    assert reason.startswith(why)


def test_a_machine_that_the_policy_has_lost_upholds_nothing() -> None:
    assert upheld(POLICY, DESTROYING, "gone", "destroy_servers", NOW).ok is False
