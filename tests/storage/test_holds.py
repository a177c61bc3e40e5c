"""Holds: what is paused for one account or for everybody, what they void, and who is decided again when they end."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy.exc import IntegrityError

from engine.model import WaitsFor
from storage import clock, holds, intents, ledger, servers
from storage.errors import UnknownHold
from tests.storage.asked import claimed, status, suspended, the
from tests.storage.deployment import Deployment


def hold(deployment: Deployment, account: UUID | None, hours: float | None, kind: str = "extension") -> UUID:
    """Pause enforcement for so many hours, or until somebody ends it."""
    until = deployment.now() + timedelta(hours=hours) if hours is not None else None
    with deployment.begin() as conn:
        made, _ = holds.set_hold(
            conn, deployment.policy, kind, account_id=account, until=until, by="ada", reason="asked"
        )
    return made


def end(deployment: Deployment, hold_id: UUID) -> None:
    """End a hold."""
    with deployment.begin() as conn:
        holds.end_hold(conn, deployment.policy, hold_id, by="ada")


def told_finally(deployment: Deployment) -> UUID:
    """Return an account whose final warning was delivered."""
    account = deployment.late(hours=0)
    deployment.settle()
    deployment.advance(73)
    deployment.settle()
    assert deployment.row(account)["final_warning_sent_at"] is not None
    return account


def test_extension_voids_the_promise_and_a_fresh_final_warning_precedes_the_suspension(deployment: Deployment) -> None:
    account = told_finally(deployment)
    hold(deployment, account, 100)
    row = deployment.row(account)
    assert row["final_warning_sent_at"] is None
    assert row["notices"]["send_final_warning"]["status"] == "void"
    assert deployment.settle() == ["send_hold_changed_notice"]
    deployment.advance(99)
    assert deployment.settle() == []
    deployment.advance(1.1)
    assert deployment.settle() == ["send_final_warning"]
    assert deployment.row(account)["billing_status"] == "final_warning"
    deployment.advance(47)
    deployment.settle()
    assert deployment.row(account)["billing_status"] == "final_warning"
    deployment.advance(1.1)
    deployment.sweep()
    assert deployment.row(account)["billing_status"] == "suspended"
    assert [each["kind"] for each in deployment.audit_of(account)].count("void") == 1


def test_outage_for_everybody_reaches_accounts_by_the_next_sweep(deployment: Deployment) -> None:
    account = told_finally(deployment)
    outage = hold(deployment, None, None, "processor_outage")
    deployment.sweep()
    deployment.advance(500)
    deployment.settle()
    assert deployment.row(account)["billing_status"] == "final_warning"
    with deployment.begin() as conn:
        assert [each.id for each in holds.active(conn, account)] == [outage]
    end(deployment, outage)
    assert deployment.settle() == ["send_final_warning"]
    assert [each["action"] for each in deployment.audit_of(None)] == ["processor_outage_set", "processor_outage_ended"]


def test_every_account_is_decided_again_after_a_hold_for_everybody_and_then_none(deployment: Deployment) -> None:
    accounts = {deployment.account() for _ in range(3)}
    deployment.record(*accounts)
    hold(deployment, None, 5, "processor_outage")
    with deployment.begin() as conn:
        assert set(ledger.due(conn, clock.now(conn), 10)) == accounts
    assert deployment.sweep(batch=2) == 3
    with deployment.begin() as conn:
        assert ledger.due(conn, clock.now(conn), 10) == []


def test_promising_notice_is_not_sent_while_a_hold_is_active(deployment: Deployment) -> None:
    account = deployment.late(hours=0)
    deployment.settle()
    deployment.advance(73)
    deployment.sweep()
    notice = the(deployment, account, "send_final_warning")
    made = hold(deployment, account, 10)
    assert deployment.claim(notice) is None
    assert status(deployment, notice) == "open"
    deployment.advance(5)
    assert "send_final_warning" not in deployment.work()
    end(deployment, made)
    claim = claimed(deployment, notice)
    assert claim.promise_at == claim.claimed_at + timedelta(hours=48)


def test_payment_is_not_held(deployment: Deployment) -> None:
    account = told_finally(deployment)
    hold(deployment, account, None)
    deployment.pay(account)
    assert deployment.row(account)["billing_status"] == "active"


def test_hold_that_no_permit_obeys_is_refused(deployment: Deployment) -> None:
    with pytest.raises(UnknownHold, match="expected one of `extension`, `processor_outage`"):
        hold(deployment, deployment.account(), 1, "holiday")


def test_hold_ends_once(deployment: Deployment) -> None:
    made = hold(deployment, deployment.account(), 1)
    end(deployment, made)
    for gone in (made, uuid4()):
        with pytest.raises(UnknownHold):
            end(deployment, gone)


def test_hold_on_nobodys_account_leaves_nothing(deployment: Deployment) -> None:
    with pytest.raises(IntegrityError):
        hold(deployment, uuid4(), 1)
    assert deployment.rows("SELECT * FROM holds") == deployment.rows("SELECT * FROM alerts") == []


# ---- a notice that waits for what was observed -----------------------------------------------------------------------


def waiting_for_stops(deployment: Deployment) -> tuple[UUID, UUID, UUID]:
    """Return an account that was just suspended, its server, and its notice, which waits until the server stands."""
    account, server = suspended(deployment)
    policy, name = deployment.policy, "send_suspended_notice"
    waits = replace(policy.intents[name], waits_for=WaitsFor("stopped", timedelta(hours=1)))
    deployment.policy = replace(policy, intents={**policy.intents, name: waits})
    return account, server, the(deployment, account, name)


def test_notice_waits_until_its_servers_are_observed_stopped(deployment: Deployment) -> None:
    _, server, notice = waiting_for_stops(deployment)
    assert deployment.claim(notice) is None
    assert "send_suspended_notice" not in deployment.work()
    with deployment.begin() as conn:
        (change,) = servers.observe(conn, {server: ("stopped", False, None)})
        assert (change.before, change.observed) == ("running", "stopped")
        assert servers.observe(conn, {server: ("stopped", False, None)}) == []
    claim = claimed(deployment, notice)
    assert claim.waited_for


def test_notice_does_not_wait_for_ever(deployment: Deployment) -> None:
    _, _, notice = waiting_for_stops(deployment)
    assert deployment.claim(notice) is None
    deployment.advance(0.99)
    assert deployment.claim(notice) is None
    deployment.advance(0.02)
    claim = claimed(deployment, notice)
    assert not claim.waited_for
    assert deployment.finish(claim, intents.Done()).status == "done"
