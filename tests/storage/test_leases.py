"""Leases: one leader, by real time, and a fence that stops whoever led before."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from storage import leases, ledger
from storage.errors import FenceLost
from storage.leases import Fence
from tests.storage.deployment import Deployment, together

NAME = "controller"


def acquire(deployment: Deployment, holder: str, ttl: float = 30) -> Fence | None:
    """Try to lead."""
    with deployment.begin() as conn:
        return leases.acquire(conn, NAME, holder, ttl)


def expire(deployment: Deployment) -> None:
    """Let real time pass the lease."""
    deployment.rows("UPDATE leases SET expires_at = clock_timestamp() - interval '1 s' RETURNING 1")


def test_one_leads_and_may_renew(deployment: Deployment) -> None:
    fence = acquire(deployment, "one")
    assert fence == Fence(NAME, 1)
    assert acquire(deployment, "two") is None
    assert acquire(deployment, "one") == fence
    with deployment.begin() as conn:
        assert leases.renew(conn, fence, 30)


def test_one_of_many_at_once_leads(deployment: Deployment) -> None:
    fences = together(16, lambda number: acquire(deployment, f"holder {number}"))
    assert len([fence for fence in fences if fence is not None]) == 1


def test_token_grows_with_each_holder_and_after_each_gap(deployment: Deployment) -> None:
    first = acquire(deployment, "one")
    expire(deployment)
    second = acquire(deployment, "two")
    expire(deployment)
    third = acquire(deployment, "two")
    assert [fence.token for fence in (first, second, third) if fence] == [1, 2, 3]


def test_released_lease_is_free_at_once(deployment: Deployment) -> None:
    fence = acquire(deployment, "one")
    assert fence is not None
    with deployment.begin() as conn:
        leases.release(conn, fence)
    assert acquire(deployment, "two") == Fence(NAME, 2)
    with deployment.begin() as conn:
        leases.release(conn, fence)  # no longer one's own: nothing happens
        assert not leases.renew(conn, fence, 30)
    assert acquire(deployment, "three") is None


def test_moving_the_test_clock_takes_nobodys_lease(deployment: Deployment) -> None:
    acquire(deployment, "one")
    deployment.advance(10_000)
    assert acquire(deployment, "two") is None


@pytest.mark.parametrize("how", ["expired", "taken over"])
def test_leader_who_woke_up_too_late_writes_nothing(deployment: Deployment, how: str) -> None:
    account = deployment.late()
    fence = acquire(deployment, "one")
    assert fence is not None
    expire(deployment)
    if how == "taken over":
        assert acquire(deployment, "two") is not None
    with pytest.raises(FenceLost, match="controller"):
        deployment.record(account, fence=fence)
    assert deployment.row(account)["audit_seq"] == 0


def test_leader_writes(deployment: Deployment) -> None:
    account = deployment.late()
    deployment.record(account, fence=acquire(deployment, "one"))
    assert deployment.row(account)["billing_status"] == "overdue_warning"


def test_lease_is_not_taken_over_in_the_middle_of_a_write_and_may_be_renewed(deployment: Deployment) -> None:
    account = deployment.late()
    fence = acquire(deployment, "one")
    assert fence is not None
    with deployment.begin() as conn:
        ledger.record_many(conn, deployment.policy, [account], fence=fence)
        with deployment.begin() as other:
            assert leases.renew(other, fence, 30)
        expire_soon = "UPDATE leases SET expires_at = clock_timestamp()"
        with deployment.begin() as other:
            other.execute(text(expire_soon))
        assert acquire(deployment, "two") is None
    assert acquire(deployment, "two") == Fence(NAME, 2)


def test_check_refuses_a_lease_that_never_was(deployment: Deployment) -> None:
    with pytest.raises(FenceLost), deployment.begin() as conn:
        leases.check(conn, Fence("nothing", 1))
