"""Intents: claimed by one worker, dropped when no longer wanted, ended once, whatever dies on the way."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from engine.model import IntentKind
from storage import accounts, audit_verify, intents, processes, servers
from storage.errors import IntentSettled, UnknownIntent
from storage.intents import Again, Done, GiveUp, Unknown
from tests.storage.asked import about_to_be_told, ask, claimed, status, suspended, the, warned
from tests.storage.deployment import Deployment, eventually, together
from tests.storage.mortal import Mortal

# ---- claiming --------------------------------------------------------------------------------------------------------


def test_one_worker_of_many_gets_an_intent(deployment: Deployment) -> None:
    intent = the(deployment, warned(deployment), "send_billing_warning")
    claims = together(10, lambda number: deployment.claim(intent))
    assert len([claim for claim in claims if claim is not None]) == 1
    assert status(deployment, intent) == "started"


def test_claim_tells_the_action_what_it_needs(deployment: Deployment) -> None:
    account, server = suspended(deployment)
    claim = claimed(deployment, the(deployment, account, "shutdown_suspended_server"))
    assert (claim.account_id, claim.server_id, claim.tries) == (account, server, 1)
    assert claim.snapshot.states["billing"] == "suspended"
    assert claim.key == f"{account}:billing:1:shutdown_suspended_server:1:{server}"


def test_payment_before_the_claim_drops_what_was_asked_for(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    shutdown = the(deployment, account, "shutdown_suspended_server")
    deployment.pay(account)
    assert deployment.claim(shutdown) is None
    assert status(deployment, shutdown) == "dropped"
    last = deployment.audit_of(account)[-1]
    assert (last["kind"], last["action"], last["to"]) == ("intent", "shutdown_suspended_server", "dropped")
    assert last["because"] == "no longer wanted: servers are allowed by billing"


def test_evidence_that_nobody_decided_on_yet_drops_an_intent_too(deployment: Deployment) -> None:
    account = warned(deployment)
    deployment.rows("UPDATE accounts SET overdue_invoices = 0, past_due_since = NULL RETURNING 1")
    notice = the(deployment, account, "send_billing_warning")
    assert deployment.claim(notice) is None
    assert status(deployment, notice) == "dropped"
    assert deployment.row(account)["billing_status"] == "active"


def test_unknown_and_finished_intents_cannot_be_claimed(deployment: Deployment) -> None:
    intent = the(deployment, warned(deployment), "send_billing_warning")
    deployment.finish(claimed(deployment, intent), Done())
    assert deployment.claim(intent) is None
    assert deployment.claim(uuid4()) is None


# ---- notices and promises --------------------------------------------------------------------------------------------


def test_delivered_notice_stamps_and_is_audited(deployment: Deployment) -> None:
    account = warned(deployment)
    finished = deployment.finish(claimed(deployment, the(deployment, account, "send_billing_warning")), Done("by mail"))
    assert (finished.status, finished.late) == ("done", False)
    row = deployment.row(account)
    assert row["warning_sent_at"] is not None
    assert row["due_at"] == row["past_due_since"] + timedelta(hours=72)
    last = deployment.audit_of(account)[-1]
    assert (last["kind"], last["action"], last["to"], last["because"]) == (
        "notice", "send_billing_warning", "delivered", "by mail",
    )  # fmt: skip


def test_promise_is_fixed_when_the_notice_is_claimed(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    deployment.advance(30)  # the worker was away
    claim = claimed(deployment, the(deployment, account, "send_final_warning"))
    assert claim.promise_at is not None
    assert claim.promise_at == claim.claimed_at + timedelta(hours=48)
    deployment.finish(claim, Done())
    row = deployment.row(account)
    assert row["notices"]["send_final_warning"]["status"] == "delivered"
    assert row["due_at"] >= claim.promise_at
    deployment.advance(47.9)
    deployment.sweep()
    assert deployment.row(account)["billing_status"] == "final_warning"
    deployment.advance(0.2)
    deployment.sweep()
    assert deployment.row(account)["billing_status"] == "suspended"


def test_what_follows_from_a_delivery_is_decided_in_the_same_transaction(deployment: Deployment) -> None:
    account = deployment.late(hours=100)
    deployment.record(account)
    deployment.finish(claimed(deployment, the(deployment, account, "send_billing_warning")), Done())
    assert deployment.row(account)["due_at"] is not None
    deployment.advance(24.1)
    deployment.sweep()
    claim = claimed(deployment, the(deployment, account, "send_final_warning"))
    finished = deployment.finish(claim, Done())
    assert deployment.row(account)["final_warning_sent_at"] is not None
    assert finished.intents == ()


def test_failed_send_is_tried_again_tells_a_person_and_is_given_up_in_the_end(deployment: Deployment) -> None:
    account = warned(deployment)
    notice = the(deployment, account, "send_billing_warning")
    most = intents.MOST_TRIES[IntentKind.NOTICE]
    for number in range(1, most + 1):
        finished = deployment.finish(claimed(deployment, notice), Again(timedelta(0), "no route to the mail server"))
        assert finished.status == ("open" if number < most else "failed")
    assert deployment.alerts() == ["notice_failed", "notice_failed"]
    row = deployment.row(account)
    assert row["notices"]["send_billing_warning"]["status"] == "failed"
    assert row["warning_sent_at"] is None
    deployment.advance(1000)
    deployment.settle()
    assert deployment.row(account)["billing_status"] == "overdue_warning"


def test_delay_of_a_try_is_by_the_clock_of_decisions(deployment: Deployment) -> None:
    notice = the(deployment, warned(deployment), "send_billing_warning")
    deployment.finish(claimed(deployment, notice), Again(timedelta(minutes=5), "busy"))
    assert deployment.claim(notice) is None
    assert deployment.work() == []
    deployment.advance(0.1)
    assert deployment.work() == ["send_billing_warning"]


def test_waiting_for_what_is_on_its_way_is_no_try(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    shutdown = the(deployment, account, "shutdown_suspended_server")
    for _ in range(40):
        deployment.finish(claimed(deployment, shutdown), Again(timedelta(0), "a start is in flight", counts=False))
    assert status(deployment, shutdown) == "open"
    assert deployment.intents_of(account, "shutdown_suspended_server")[0]["tries"] == 0


def test_notice_that_may_have_left_is_unknown_alerts_and_is_not_sent_again(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    notice = the(deployment, account, "send_final_warning")
    deployment.finish(claimed(deployment, notice), Unknown("the connection broke after DATA"))
    assert status(deployment, notice) == "unknown"
    assert "notice_unknown" in deployment.alerts()
    deployment.advance(1000)
    deployment.settle()
    row = deployment.row(account)
    assert (row["billing_status"], row["final_warning_sent_at"]) == ("final_warning", None)
    assert len(deployment.intents_of(account, "send_final_warning")) == 1


def test_person_who_saw_the_notice_arrive_settles_it(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    notice = the(deployment, account, "send_final_warning")
    deployment.finish(claimed(deployment, notice), Unknown())
    with deployment.begin() as conn:
        intents.resolve(conn, deployment.policy, notice, "delivered", actor="ada")
    assert status(deployment, notice) == "done"
    assert deployment.row(account)["final_warning_sent_at"] is not None
    with pytest.raises(IntentSettled), deployment.begin() as conn:
        intents.resolve(conn, deployment.policy, notice, "again", actor="ada")


def test_person_may_have_an_unknown_notice_issued_again(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    notice = the(deployment, account, "send_final_warning")
    deployment.finish(claimed(deployment, notice), Unknown())
    with deployment.begin() as conn:
        (outbox,) = intents.resolve(conn, deployment.policy, notice, "again", actor="ada")
    assert status(deployment, notice) == "dropped"
    claim = claimed(deployment, outbox.intent_id)
    assert (claim.intent, claim.round) == ("send_final_warning", 2)
    deployment.finish(claim, Done())
    assert deployment.row(account)["final_warning_sent_at"] is not None


def test_word_of_a_delivery_that_comes_late_still_counts(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    claim = claimed(deployment, the(deployment, account, "send_final_warning"))
    expire(deployment)
    with deployment.begin() as conn:
        assert intents.requeue_dead(conn, deployment.policy) == []
    assert status(deployment, claim.intent_id) == "unknown"
    finished = deployment.finish(claim, Done())
    assert (finished.status, finished.late) == ("done", True)
    row = deployment.row(account)
    assert row["final_warning_sent_at"] is not None
    assert row["notices"]["send_final_warning"]["status"] == "delivered"


def test_late_word_of_a_failure_changes_nothing(deployment: Deployment) -> None:
    account = about_to_be_told(deployment)
    claim = claimed(deployment, the(deployment, account, "send_final_warning"))
    expire(deployment)
    with deployment.begin() as conn:
        intents.requeue_dead(conn, deployment.policy)
    for outcome in (Again(timedelta(0)), GiveUp("no"), Unknown()):
        assert deployment.finish(claim, outcome).status == "unknown"


def expire(deployment: Deployment) -> None:
    """Let the time of every claim be over."""
    deployment.rows(
        "UPDATE intents SET claimed_until = clock_timestamp() - interval '1 s' WHERE status = 'started' RETURNING 1"
    )


# ---- effects ---------------------------------------------------------------------------------------------------------


def test_enforcement_that_was_carried_out_shows_on_the_account_and_is_told(deployment: Deployment) -> None:
    account, server = suspended(deployment)
    policy, name = deployment.policy, "shutdown_suspended_server"
    enforcing = {**policy.intents, name: replace(policy.intents[name], enforcement=True)}
    deployment.policy = replace(policy, intents=enforcing)
    deployment.finish(claimed(deployment, the(deployment, account, name)), Done("observed stopped"))
    assert deployment.row(account)["last_enforcement_action"] == name
    (alert,) = deployment.rows("SELECT kind, text FROM alerts")
    assert alert == {"kind": "enforcement_done", "text": f"{name} was carried out on server {server}: observed stopped"}


def test_effect_that_two_workers_finish_is_done_once(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    shutdown = the(deployment, account, "shutdown_suspended_server")
    lost = claimed(deployment, shutdown)
    expire(deployment)
    with deployment.begin() as conn:
        (again,) = intents.requeue_dead(conn, deployment.policy)
    assert again.intent_id == shutdown
    second = claimed(deployment, shutdown)
    assert deployment.finish(lost, Done()).late
    assert status(deployment, shutdown) == "started"
    assert deployment.finish(second, Done()).status == "done"
    assert deployment.finish(lost, Done()).status == "done"
    done = [row for row in deployment.audit_of(account) if row["action"] == "shutdown_suspended_server"]
    assert len(done) == 1


def test_effect_that_was_taken_back_but_is_there_needs_no_second_try(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    lost = claimed(deployment, the(deployment, account, "shutdown_suspended_server"))
    expire(deployment)
    with deployment.begin() as conn:
        intents.requeue_dead(conn, deployment.policy)
    assert deployment.finish(lost, Done()).status == "done"


def test_effect_that_keeps_killing_its_worker_is_given_up(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    shutdown = the(deployment, account, "shutdown_suspended_server")
    for _ in range(24):
        claimed(deployment, shutdown)
        expire(deployment)
        with deployment.begin() as conn:
            intents.requeue_dead(conn, deployment.policy)
    assert status(deployment, shutdown) == "failed"
    assert deployment.row(account)["billing_status"] == "suspended"
    assert "intent_failed" in deployment.alerts()


def test_worker_is_dead_the_moment_its_session_ends(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    with deployment.session() as session:
        worker = processes.register(session, "worker", 1, "0.1.0")
        shutdown = the(deployment, account, "shutdown_suspended_server")
        claimed(deployment, shutdown, worker)
        with deployment.begin() as conn:
            assert intents.requeue_dead(conn, deployment.policy) == []
            assert [process.alive for process in processes.listed(conn)] == [True]

    def taken_back() -> bool:
        with deployment.begin() as conn:
            return bool(intents.requeue_dead(conn, deployment.policy))

    eventually(taken_back, "the server notices the end of a session in its own time")
    assert status(deployment, shutdown) == "open"


def test_what_a_dead_worker_held_is_taken_back_once(deployment: Deployment) -> None:
    account, _ = suspended(deployment)
    claimed(deployment, the(deployment, account, "shutdown_suspended_server"))
    expire(deployment)

    def take_back(_: int) -> int:
        with deployment.begin() as conn:
            return len(intents.requeue_dead(conn, deployment.policy))

    assert sorted(together(4, take_back)) == [0, 0, 0, 1]


# ---- keeping ---------------------------------------------------------------------------------------------------------


def test_queues_are_told_again_only_after_a_while(deployment: Deployment) -> None:
    account = warned(deployment)
    now = deployment.now()
    with deployment.begin() as conn:
        (outbox,) = intents.runnable(conn, now, 10, untold_for_seconds=5)
        intents.mark_enqueued(conn, [outbox.intent_id])
        assert intents.runnable(conn, now, 10, untold_for_seconds=5) == []
        assert intents.runnable(conn, now, 10) == [outbox]
        assert intents.counts(conn, now) == intents.Counts(runnable=1, waiting=0, started=0, unknown=0, failed=0)
        assert [row.id for row in intents.listed(conn, account_id=account)] == [outbox.intent_id]
        assert intents.listed(conn, statuses=["unknown"]) == []
        assert intents.get(conn, outbox.intent_id).intent == "send_billing_warning"
        with pytest.raises(UnknownIntent):
            intents.get(conn, uuid4())


def test_chains_hold_after_everything_that_intents_do(deployment: Deployment) -> None:
    account, server = suspended(deployment)
    ask(deployment, "delete_suspended_server", account, server)
    deployment.work()
    deployment.pay(account)
    deployment.settle()
    with deployment.begin() as conn:
        assert audit_verify.verify(conn) == []
        assert accounts.account_view(conn, account).billing_status == "active"
        assert [each.id for each in servers.of_account(conn, account)] == [server]


@pytest.mark.parametrize("last", range(1, 17))
def test_session_that_ends_at_any_statement_of_a_claim_or_finish_leaves_all_or_nothing(
    deployment: Deployment, last: int
) -> None:
    account = warned(deployment)
    notice = the(deployment, account, "send_billing_warning")
    mortal = Mortal(deployment.settings, last)
    with contextlib.suppress(psycopg.Error, DBAPIError), mortal.begin() as conn:
        intents.claim(conn, deployment.policy, notice, None)
    claim_died = mortal.died
    row = deployment.row(account)["notices"]["send_billing_warning"]
    assert (status(deployment, notice), "claimed_at" in row) == (("open", False) if claim_died else ("started", True))
    claim = claimed(deployment, notice) if claim_died else None
    mortal.close()
    if claim is None:
        return
    mortal = Mortal(deployment.settings, last)
    with contextlib.suppress(psycopg.Error, DBAPIError), mortal.begin() as conn:
        intents.finish(conn, deployment.policy, claim, Done())
    mortal.close()
    told = (status(deployment, notice), deployment.row(account)["warning_sent_at"] is not None)
    assert told == (("started", False) if mortal.died else ("done", True))
    assert deployment.finish(claim, Done()).status == "done"
    assert deployment.row(account)["warning_sent_at"] is not None
    assert [each["to"] for each in deployment.audit_of(account) if each["kind"] == "notice"] == ["delivered"]
