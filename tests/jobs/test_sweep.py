"""The sweep: what is due is decided, and one account's error stays its own."""

from __future__ import annotations

from uuid import UUID

from jobs.controller import Controller
from tests.jobs.floor import Floor


def broken(floor: Floor, account: UUID) -> None:
    """Put an account into a state that the policy does not have."""
    floor.rows(
        """UPDATE accounts SET states = states || '{"billing": "nowhere"}' WHERE id = :id RETURNING 1""", id=account
    )


def test_due_accounts_are_decided(floor: Floor, controller: Controller) -> None:
    accounts = [floor.late() for _ in range(30)]
    assert floor.tick(controller).swept == 30
    assert {floor.row(account)["billing_status"] for account in accounts} == {"overdue_warning"}
    assert floor.tick(controller).swept == 0


def test_one_account_that_cannot_be_decided_stops_nobody_else(floor: Floor, controller: Controller) -> None:
    accounts = [floor.late() for _ in range(20)]
    broken(floor, accounts[7])
    assert floor.tick(controller).swept == 19
    assert "account_failed" in floor.alerts()
    others = [account for account in accounts if account != accounts[7]]
    assert {floor.row(account)["billing_status"] for account in others} == {"overdue_warning"}
    told = floor.rows("SELECT account_id FROM alerts WHERE kind = 'account_failed'")
    assert [row["account_id"] for row in told] == [accounts[7]]


def test_a_failing_account_is_told_once_a_day_and_not_tried_at_every_tick(floor: Floor, controller: Controller) -> None:
    account = floor.late()
    broken(floor, account)
    for _ in range(5):
        floor.tick(controller)
    assert floor.alerts().count("account_failed") == 1
    assert account in controller.steps.sweep.failing
    controller.steps.sweep.failing[account] = 0.0
    floor.rows(
        """UPDATE accounts SET states = states || '{"billing": "active"}' WHERE id = :id RETURNING 1""", id=account
    )
    assert floor.tick(controller).swept == 1, "mended accounts are taken up again"
