"""Brakes: no more accounts are suspended in a window than the policy allows, however many sweeps run at once."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from storage import brakes, clock
from tests.storage.deployment import Deployment, together

NAME = "suspension_brake"


def about_to_be_suspended(deployment: Deployment, count: int) -> list[UUID]:
    """Make accounts whose suspension is due."""
    now = deployment.now()
    return [
        deployment.account(
            states={"billing": "final_warning"},
            episodes='{"billing": 1, "abuse": 0}',
            overdue_invoices=1,
            past_due_since=now - timedelta(days=10),
            warning_sent_at=now - timedelta(days=9),
            final_warning_sent_at=now - timedelta(days=5),
            backup_blocked_at=now - timedelta(days=5),
            due_at=now - timedelta(minutes=count - number),
        )
        for number in range(count)
    ]


def suspended(deployment: Deployment) -> int:
    """Count accounts that were suspended, also those that are retained since."""
    return int(deployment.scalar("SELECT count(*) FROM accounts WHERE billing_status IN ('suspended', 'retained')"))


def release(deployment: Deployment, allowance: int | None = None) -> bool:
    """Release the brake as an admin."""
    with deployment.begin() as conn:
        return brakes.release(conn, NAME, "ada", clock.now(conn), allowance)


def test_brake_lets_one_of_few_pass_and_trips(deployment: Deployment) -> None:
    accounts = about_to_be_suspended(deployment, 3)
    recorded = deployment.record(*accounts)
    assert [len(each.settlement.steps) for each in recorded] == [1, 0, 0]
    assert [each.permit for each in recorded[1].settlement.waiting] == [NAME]
    assert suspended(deployment) == 1
    assert deployment.rows("SELECT latched_at FROM brakes")[0]["latched_at"] is not None
    assert deployment.alerts() == ["brake_tripped"]
    row = deployment.row(accounts[1])
    assert row["due_at"] <= deployment.now() < row["held_until"]
    assert row["waiting"][0]["rule"] == "billing.suspend"


def test_tripped_brake_waits_for_a_person_however_long(deployment: Deployment) -> None:
    deployment.record(*about_to_be_suspended(deployment, 2))
    deployment.advance(24 * 30)
    deployment.sweep(force=True)
    assert suspended(deployment) == 1
    assert deployment.alerts() == ["brake_tripped"]
    assert release(deployment)
    deployment.sweep()
    assert suspended(deployment) == 2


def test_release_lets_as_many_pass_as_were_allowed(deployment: Deployment) -> None:
    deployment.record(*about_to_be_suspended(deployment, 6))
    assert release(deployment, allowance=3)
    deployment.sweep()
    assert suspended(deployment) == 4
    assert release(deployment)
    assert not release(deployment)
    assert [each["action"] for each in deployment.audit_of(None)] == ["release_brake", "release_brake"]


def test_slots_are_free_again_when_their_window_is_over(deployment: Deployment) -> None:
    first, second = about_to_be_suspended(deployment, 2)
    deployment.record(first)
    deployment.advance(1.01)
    deployment.record(second)
    assert suspended(deployment) == 2
    assert deployment.alerts() == []


def test_sweeps_in_parallel_never_pass_the_brake_together(deployment: Deployment) -> None:
    accounts = about_to_be_suspended(deployment, 24)
    together(8, lambda number: deployment.record(*accounts[number::8]))
    assert suspended(deployment) == 1
    with deployment.begin() as conn:
        (state,) = brakes.states(conn, deployment.policy, clock.now(conn))
    assert (state.name, state.slots_taken) == (NAME, 1)
    assert state.latched_at is not None


def test_share_of_many_is_bounded_above(deployment: Deployment) -> None:
    deployment.scalar(
        "WITH made AS (INSERT INTO accounts (customer_id, stripe_customer_id, plan) SELECT :id, 'x' || n, 'game' "
        "FROM generate_series(1, 300) n RETURNING 1) SELECT count(*) FROM made",
        id=deployment.customer(),
    )
    deployment.record(*about_to_be_suspended(deployment, 20))
    assert suspended(deployment) == 6  # 2 % of 320
    deployment.scalar(
        "WITH made AS (INSERT INTO accounts (customer_id, stripe_customer_id, plan) SELECT :id, 'y' || n, 'game' "
        "FROM generate_series(1, 2000) n RETURNING 1) SELECT count(*) FROM made",
        id=deployment.customer(),
    )
    release(deployment)
    deployment.sweep()
    assert suspended(deployment) == 16  # 10, however many there are


def test_accounts_that_anybody_can_register_let_nobody_pass(deployment: Deployment) -> None:
    deployment.scalar(
        "WITH made AS (INSERT INTO accounts (customer_id) SELECT :id FROM generate_series(1, 300) RETURNING 1) "
        "SELECT count(*) FROM made",
        id=deployment.customer(),
    )
    deployment.record(*about_to_be_suspended(deployment, 4))
    assert suspended(deployment) == 1


def test_payment_needs_no_slot(deployment: Deployment) -> None:
    accounts = about_to_be_suspended(deployment, 2)
    deployment.record(*accounts)
    deployment.pay(accounts[1])
    assert deployment.row(accounts[1])["billing_status"] == "active"


def test_slots_are_removed_once_no_window_can_reach_them(deployment: Deployment) -> None:
    now = deployment.now()
    ages = (timedelta(0), timedelta(days=31), timedelta(days=31, seconds=1), timedelta(days=400))
    add = "INSERT INTO brake_slots (brake, account_id, at) VALUES (:name, gen_random_uuid(), :at) RETURNING 1"
    for age in ages:
        deployment.rows(add, name=NAME, at=now - age)
    with deployment.begin() as conn:
        assert brakes.prune(conn, deployment.policy, now) == 2
        assert brakes.prune(conn, deployment.policy, now) == 0
    assert [now - row["at"] for row in deployment.rows("SELECT at FROM brake_slots ORDER BY at DESC")] == list(ages[:2])
