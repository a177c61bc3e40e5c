"""The ledger: one transaction from what is known to what follows, whatever else happens at the same time."""

from __future__ import annotations

import contextlib
import threading
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.snapshot import Command
from storage import audit_verify, clock, ledger
from storage.audit import AuditNote
from storage.errors import UnknownAccount
from tests.storage.deployment import Deployment, eventually, together
from tests.storage.mortal import Mortal


def test_late_account_is_told_warned_suspended_kept_and_given_back(deployment: Deployment) -> None:
    account = deployment.late(hours=0)
    server = deployment.server(account)
    assert deployment.settle() == ["send_billing_warning"]
    assert deployment.row(account)["billing_status"] == "overdue_warning"
    assert deployment.row(account)["warning_sent_at"] is not None
    deployment.advance(72)
    assert sorted(deployment.settle()) == ["block_backups", "send_final_warning"]
    assert deployment.row(account)["server_billing_state"] == "backup_blocked"
    deployment.advance(48)
    assert "shutdown_suspended_server" in deployment.settle()
    suspended = deployment.row(account)
    assert (suspended["billing_status"], suspended["server_billing_state"]) == ("suspended", "suspended_shutdown")
    assert suspended["retention_until"] > suspended["suspended_at"]
    assert deployment.rows("SELECT desired FROM servers")[0]["desired"] == "stopped"
    deployment.advance(72)
    deployment.settle()
    assert deployment.row(account)["billing_status"] == "retained"
    recorded = deployment.pay(account)
    assert [step.because for step in recorded.settlement.steps] == ["billing.paid"]
    assert sorted(deployment.settle()) == ["restore_access", "send_restored_notice"]
    paid = deployment.row(account)
    assert (paid["billing_status"], paid["server_billing_state"], paid["due_at"]) == ("active", "allowed", None)
    assert paid["warning_sent_at"] is paid["suspended_at"] is paid["retention_until"] is None
    assert deployment.rows("SELECT desired FROM servers WHERE id = :id", id=server)[0]["desired"] == "stopped"
    with deployment.begin() as conn:
        assert audit_verify.verify(conn) == []


def test_states_audit_and_intents_are_one(deployment: Deployment) -> None:
    account = deployment.late()
    (recorded,) = deployment.record(account)
    assert [step.because for step in recorded.settlement.steps] == ["billing.late", "billing.warn"]
    assert [outbox.intent for outbox in recorded.intents] == ["send_billing_warning"]
    row = deployment.row(account)
    assert (row["billing_status"], row["audit_seq"]) == ("overdue_warning", 2)
    assert row["states"] == {"billing": "overdue_warning", "abuse": "clear"}
    assert row["policy_digest"] == deployment.policy.digest
    audit = deployment.audit_of(account)
    assert [(each["kind"], each["action"], each["from"], each["to"]) for each in audit] == [
        ("transition", "late", "active", "past_due"),
        ("transition", "warn", "past_due", "overdue_warning"),
    ]
    assert audit[1]["because"] == "billing.warn"
    assert audit[1]["asked"] == ["send_billing_warning"]
    assert audit[1]["policyDigest"] == deployment.policy.digest
    (intent,) = deployment.intents_of(account)
    assert (intent["status"], intent["queue"], intent["kind"]) == ("open", "billing_enforcement", "notice")
    assert intent["id"] == recorded.intents[0].intent_id


def test_deciding_again_changes_nothing(deployment: Deployment) -> None:
    account = deployment.late()
    deployment.record(account)
    before = deployment.row(account)
    (again,) = deployment.record(account)
    assert again.settlement.steps == ()
    assert again.intents == ()
    assert deployment.row(account) == before


def test_fifty_decisions_at_once_have_one_effect(deployment: Deployment) -> None:
    account = deployment.late()
    recorded = together(50, lambda _: deployment.record(account)[0])
    assert sum(len(each.settlement.steps) for each in recorded) == 2
    assert sum(len(each.intents) for each in recorded) == 1
    assert len(deployment.intents_of(account)) == 1
    assert deployment.row(account)["audit_seq"] == 2


def test_payment_that_commits_while_a_decision_waits_for_its_lock_is_seen(deployment: Deployment) -> None:
    account = deployment.account(
        states={"billing": "final_warning"},
        overdue_invoices=1,
        past_due_since=deployment.now(),
        due_at=deployment.now(),
    )
    with deployment.session() as watcher, deployment.begin() as paying:
        ledger.lock(paying, [account])
        waiting = threading.Thread(target=deployment.record, args=(account,))
        waiting.start()
        some = "SELECT 1 FROM pg_locks WHERE NOT granted"
        eventually(lambda: watcher.execute(some).fetchone(), "some session waits for a lock")
        paying.execute(text("UPDATE accounts SET overdue_invoices = 0, past_due_since = NULL"))
        paying.commit()
    waiting.join(60)
    assert deployment.row(account)["billing_status"] == "active"


def test_evidence_is_audited_before_what_follows_from_it(deployment: Deployment) -> None:
    account = deployment.late()
    note = AuditNote("evidence", "invoice.payment_failed", "stripe", facts={"invoice": "in_1"})
    with deployment.begin() as conn:
        ledger.record_many(conn, deployment.policy, [account], evidence={account: note}, actor="stripe")
    kinds = [(each["kind"], each["actor"]) for each in deployment.audit_of(account)]
    assert kinds == [("evidence", "stripe"), ("transition", "stripe"), ("transition", "stripe")]


def test_evidence_without_a_step_is_audited_too(deployment: Deployment) -> None:
    account = deployment.account()
    note = AuditNote("evidence", "invoice.created", "stripe")
    with deployment.begin() as conn:
        ledger.record(conn, deployment.policy, account, evidence=note)
    assert [each["action"] for each in deployment.audit_of(account)] == ["invoice.created"]


def test_command_of_an_admin_moves_its_machine_and_says_who(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account)
    for event in ("abuse_reported", "abuse_confirmed"):
        deployment.record(account, command=Command(event, "admin", "ada"))
    row = deployment.row(account)
    assert row["server_billing_state"] == "suspended_shutdown"
    assert (row["server_billing_machine"], row["server_billing_code"]) == ("abuse", "ABUSE_SUSPENDED")
    assert {each["actor"] for each in deployment.audit_of(account)} == {"ada"}
    assert deployment.rows("SELECT desired FROM servers WHERE id = :id", id=server)[0]["desired"] == "stopped"


def test_unknown_account_stops_the_batch_and_leaves_nothing(deployment: Deployment) -> None:
    account = deployment.late()
    missing = uuid4()
    with pytest.raises(UnknownAccount) as caught:
        deployment.record(account, missing)
    assert caught.value.account_id == missing
    assert deployment.row(account)["audit_seq"] == 0


def test_account_of_a_machine_that_is_new_in_the_policy_starts_at_its_beginning(deployment: Deployment) -> None:
    account = deployment.account()
    with deployment.begin() as conn:
        conn.execute(
            text("UPDATE accounts SET states = '{}', episodes = '{}', overdue_invoices = 1, past_due_since = now()")
        )
    deployment.record(account)
    assert deployment.row(account)["billing_status"] == "overdue_warning"


def test_sweep_finds_what_is_due_longest_first(deployment: Deployment) -> None:
    later, first = deployment.late(hours=1), deployment.late(hours=3)
    deployment.account()
    with deployment.begin() as conn:
        assert ledger.due(conn, clock.now(conn), 10) == [first, later]
        assert ledger.due(conn, clock.now(conn), 1) == [first]


def test_many_accounts_are_decided_as_one_would_be(deployment: Deployment) -> None:
    accounts = [deployment.late(hours=number) for number in range(1, 40)]
    recorded = deployment.record(*accounts)
    assert [each.account_id for each in recorded] == accounts
    assert all(len(each.intents) == 1 for each in recorded)
    assert {row["billing_status"] for row in deployment.rows("SELECT billing_status FROM accounts")} == {
        "overdue_warning"
    }
    with deployment.begin() as conn:
        assert audit_verify.verify(conn) == []


def test_error_on_one_account_leaves_nothing_of_its_batch(deployment: Deployment) -> None:
    good, bad = deployment.late(), deployment.late(states={"billing": "no_such_rung"})
    with pytest.raises(Exception, match="no_such_rung"):
        deployment.record(good, bad)
    assert deployment.row(good)["audit_seq"] == 0
    deployment.record(good)
    assert deployment.row(good)["billing_status"] == "overdue_warning"


@pytest.mark.parametrize("last", range(1, 11))
def test_losing_the_session_at_any_statement_leaves_all_or_nothing(deployment: Deployment, last: int) -> None:
    account = deployment.late()
    mortal = Mortal(deployment.settings, last)
    with contextlib.suppress(psycopg.Error, DBAPIError), mortal.begin() as conn:
        ledger.record_many(conn, deployment.policy, [account])
    mortal.close()
    assert mortal.died is (last <= 9)
    row = deployment.row(account)
    told = (row["billing_status"], row["audit_seq"], len(deployment.intents_of(account)))
    assert told == (("active", 0, 0) if mortal.died else ("overdue_warning", 2, 1))
    deployment.record(account)
    assert deployment.row(account)["billing_status"] == "overdue_warning"
