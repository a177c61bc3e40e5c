"""Ten days without us: no rung and no notice is skipped, no promise is broken, and nothing is done twice."""

from __future__ import annotations

from datetime import timedelta

from jobs.controller import Controller
from storage import audit_verify
from tests.jobs.floor import Floor

NOTICES = ["send_billing_warning", "send_final_warning", "send_suspended_notice"]


def climb(floor: Floor, controller: Controller, account: object, hours: int) -> list[str]:
    """Let hours pass, looking every four; return the rungs that were entered, in order."""
    rungs = [floor.row(account)["billing_status"]]  # type: ignore[arg-type]
    for _ in range(hours // 4):
        floor.advance(4)
        floor.run(controller)
        status = floor.row(account)["billing_status"]  # type: ignore[arg-type]
        if status != rungs[-1]:
            rungs.append(status)
    return rungs


def test_ten_days_off_before_the_final_warning(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.machine(account)
    floor.owe(account)
    floor.run(controller)
    floor.advance(240)
    assert climb(floor, controller, account, 60) == ["overdue_warning", "final_warning", "suspended"]
    row = floor.row(account)
    warned = floor.intents_of(account, "send_final_warning")[0]
    assert row["suspended_at"] - row["final_warning_sent_at"] >= timedelta(hours=48)
    assert row["suspended_at"] >= warned["promise_at"]
    assert [each["intent"] for each in floor.intents_of(account) if each["kind"] == "notice"] == NOTICES
    assert len(floor.letters()) == 3


def test_ten_days_off_before_anything_was_said(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    floor.owe(account, hours=240)
    rungs = climb(floor, controller, account, 100)
    assert rungs[-3:] == ["overdue_warning", "final_warning", "suspended"]
    row = floor.row(account)
    assert row["final_warning_sent_at"] - row["warning_sent_at"] >= timedelta(hours=24)
    assert row["suspended_at"] - row["final_warning_sent_at"] >= timedelta(hours=48)


def test_ten_days_off_after_the_promise(floor: Floor, controller: Controller) -> None:
    account = floor.known_account()
    server = floor.machine(account)
    floor.owe(account)
    floor.run(controller)
    floor.advance(73)
    floor.run(controller)
    floor.advance(240)
    floor.run(controller)
    assert floor.row(account)["billing_status"] == "suspended"
    assert floor.host.running[str(server)] is False
    assert len(floor.letters()) == 3
    with floor.begin() as conn:
        assert list(audit_verify.verify(conn)) == []
