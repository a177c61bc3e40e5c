"""Gathering: what a snapshot says about an account, and what permits are answered from outside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from engine.load import load_policy
from engine.model_permits import Permit, PermitKind
from engine.snapshot import Hold, ServerFacts, Snapshot
from storage import clock, gather
from storage.gather import World
from storage.settings import SHIPPED_POLICY
from tests.factories import HERE
from tests.storage.deployment import Deployment

FRESH = Permit("fresh_standing", PermitKind.SERVICE, HERE, service="standing", younger_than=timedelta(minutes=5))
SANE = Permit("clock_sane", PermitKind.SERVICE, HERE, service="database_clock")
OTHER = Permit("moon_full", PermitKind.SERVICE, HERE, service="moon")


@pytest.fixture(autouse=True)
def permits(deployment: Deployment) -> None:
    """Let the policy ask every service."""
    policy = deployment.policy
    added = {each.name: each for each in (FRESH, SANE, OTHER)}
    deployment.policy = replace(policy, permits={**policy.permits, **added})


def snapshot(deployment: Deployment, account: UUID, world: World | None = None) -> Snapshot:
    """Read one account."""
    with deployment.begin() as conn:
        return gather.snapshots(conn, deployment.policy, [account], world)[account]


def test_snapshot_says_what_is_known(deployment: Deployment) -> None:
    account = deployment.late(hours=2, stamps='{"retention_told_at": "2026-03-01T08:00:00+00:00"}')
    server = deployment.server(account, lifecycle="starting", observed="unknown")
    deployment.server(account, lifecycle="deleted")
    seen = snapshot(deployment, account)
    assert seen.account_id == str(account)
    assert seen.states == {"billing": "active", "abuse": "clear"}
    assert seen.facts["overdue_invoices"] == 1
    assert seen.facts["subscription"] == "active"
    assert seen.facts["retention_told_at"] is not None
    assert seen.facts["warning_sent_at"] is None
    assert seen.servers == (ServerFacts(str(server), "starting", "unknown"),)
    assert seen.facts["at_plan_limit"] is False


def test_unknown_accounts_are_left_out(deployment: Deployment) -> None:
    with deployment.begin() as conn:
        assert gather.snapshots(conn, deployment.policy, [uuid4()]) == {}


def test_plan_limit_counts_servers_that_are_not_deleted(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.server(account)
    deployment.server(account, lifecycle="deleted")
    assert snapshot(deployment, account).facts["at_plan_limit"] is False
    deployment.server(account)
    assert snapshot(deployment, account).facts["at_plan_limit"] is True


def test_exemption_lasts_until_its_end_and_is_looked_at_then(deployment: Deployment) -> None:
    until = deployment.now() + timedelta(hours=5)
    account = deployment.late(hours=100, exempt_until=until)
    seen = snapshot(deployment, account)
    assert (seen.facts["exempt"], seen.recheck_at) == (True, until)
    deployment.record(account)
    assert deployment.row(account)["due_at"] == until
    deployment.advance(5.01)
    seen = snapshot(deployment, account)
    assert (seen.facts["exempt"], seen.recheck_at) == (False, None)
    deployment.sweep()
    assert deployment.row(account)["billing_status"] == "overdue_warning"


def test_holds_of_the_account_and_of_everybody_count_while_they_last(deployment: Deployment) -> None:
    account, now = deployment.account(), deployment.now()
    for owner, until, ended in (
        (account, now + timedelta(hours=1), None),
        (account, now - timedelta(hours=1), None),
        (None, None, None),
        (None, None, now),
        (deployment.account(), None, None),
    ):
        deployment.rows(
            "INSERT INTO holds (account_id, kind, until, by, ended_at) "
            "VALUES (:owner, 'extension', :until, 'x', :ended) RETURNING 1",
            owner=owner, until=until, ended=ended,
        )  # fmt: skip
    held = snapshot(deployment, account).holds
    assert sorted(held, key=str) == sorted(
        [Hold("extension", None), Hold("extension", now + timedelta(hours=1))], key=str
    )


@pytest.mark.parametrize(
    ("key", "age_minutes", "answer"),
    [(False, None, True), (False, 600, True), (True, None, False), (True, 4.9, True), (True, 5.1, False)],
)
def test_standing_is_fresh_without_a_key_or_when_stripe_was_just_asked(
    deployment: Deployment, key: bool, age_minutes: float | None, answer: bool
) -> None:
    fetched = deployment.now() - timedelta(minutes=age_minutes) if age_minutes is not None else None
    account = deployment.account(standing_fetched_at=fetched)
    assert snapshot(deployment, account, World(stripe_key=key)).permits["fresh_standing"] is answer


def test_clock_is_sane_while_the_databases_and_ours_agree(deployment: Deployment) -> None:
    account = deployment.account()
    assert snapshot(deployment, account).permits["clock_sane"] is True
    deployment.advance(1000)  # the test clock's offset is no insanity
    assert snapshot(deployment, account).permits["clock_sane"] is True
    for minutes in (-2, 2):
        wrong = World(app_clock=lambda by=minutes: gather.real_clock() + timedelta(minutes=by))  # type: ignore[misc]
        assert snapshot(deployment, account, wrong).permits["clock_sane"] is False


def test_clock_that_ran_backwards_is_not_sane(deployment: Deployment) -> None:
    account = deployment.account()
    deployment.advance(1)
    with deployment.begin() as conn:
        clock.mark(conn)
    assert snapshot(deployment, account).permits["clock_sane"] is True
    deployment.advance(-0.5)
    assert snapshot(deployment, account).permits["clock_sane"] is False


def test_pressure_waits_while_the_clock_is_not_sane_and_a_person_is_told_once(deployment: Deployment) -> None:
    deployment.policy = load_policy(SHIPPED_POLICY)
    accounts = [deployment.late() for _ in range(3)]
    wrong = World(app_clock=lambda: gather.real_clock() + timedelta(hours=1))
    deployment.record(*accounts, world=wrong)
    assert [deployment.row(account)["billing_status"] for account in accounts] == ["active"] * 3
    assert deployment.alerts() == ["clock_not_sane"]
    deployment.record(*accounts)
    assert [deployment.row(account)["billing_status"] for account in accounts] == ["overdue_warning"] * 3


def test_account_whose_audit_lies_in_the_future_is_not_pressed(deployment: Deployment) -> None:
    ahead, other = deployment.account(), deployment.account()
    deployment.rows("UPDATE accounts SET audit_at = now() + interval '1 hour' WHERE id = :id RETURNING 1", id=ahead)
    assert snapshot(deployment, ahead).permits["clock_sane"] is False
    assert snapshot(deployment, other).permits["clock_sane"] is True


def test_service_that_nobody_answers_for_is_unknown(deployment: Deployment) -> None:
    account = deployment.account()
    assert snapshot(deployment, account).permits["moon_full"] is None
    assert snapshot(deployment, account, World(services={"moon": True})).permits["moon_full"] is True


def test_latched_brake_does_not_permit(deployment: Deployment) -> None:
    account = deployment.account()
    assert snapshot(deployment, account).permits["suspension_brake"] is True
    deployment.rows("INSERT INTO brakes (name, latched_at) VALUES ('suspension_brake', now()) RETURNING 1")
    assert snapshot(deployment, account).permits["suspension_brake"] is False
