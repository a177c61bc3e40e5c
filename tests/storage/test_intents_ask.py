"""Asking for intents by name: refused where it destroys, once while it is open, checked like any other."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from storage import intents
from storage.errors import DestructiveRefused, UnknownAccount, UnknownIntent, UnknownServer
from storage.intents import Again
from tests.storage.asked import ask, claimed, status, suspended, the, warned
from tests.storage.deployment import Deployment, together


def test_destructive_intent_is_refused_and_the_refusal_is_kept(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account)
    assert isinstance(ask(deployment, "delete_suspended_server", account, server), DestructiveRefused)
    (row,) = deployment.audit_of(account)
    assert (row["kind"], row["action"], row["actor"]) == ("rejected", "delete_suspended_server", "ada")
    assert deployment.intents_of(account) == []
    assert deployment.alerts() == ["intent_rejected"]


def test_refusal_for_an_unknown_account_is_kept_too(deployment: Deployment) -> None:
    assert isinstance(ask(deployment, "delete_suspended_server", uuid4()), DestructiveRefused)
    assert [row["kind"] for row in deployment.audit_of(None)] == ["rejected"]


def test_unknown_names_are_refused(deployment: Deployment) -> None:
    account, other = deployment.account(), deployment.account()
    server = deployment.server(other)
    with pytest.raises(UnknownIntent):
        ask(deployment, "make_coffee", account)
    with pytest.raises(UnknownServer):
        ask(deployment, "restore_access", account, server)
    with pytest.raises(UnknownAccount):
        ask(deployment, "block_backups", uuid4())


def test_intent_asked_for_by_an_admin_is_checked_like_any_other(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account)
    asked = ask(deployment, "shutdown_suspended_server", account, server)
    assert isinstance(asked, tuple)
    assert deployment.work() == []
    assert status(deployment, asked[0].intent_id) == "dropped"
    kinds = [(row["kind"], row["to"]) for row in deployment.audit_of(account)]
    assert kinds == [("admin", None), ("intent", "dropped")]


def test_asking_twice_while_it_is_open_is_one_intent(deployment: Deployment) -> None:
    account, server = suspended(deployment)
    deployment.work()
    first, second = (
        ask(deployment, "shutdown_suspended_server", account),
        ask(deployment, "shutdown_suspended_server", account),
    )
    assert first == second
    assert deployment.work() == ["shutdown_suspended_server"]
    assert ask(deployment, "shutdown_suspended_server", account, server) != first


def test_admin_cannot_send_a_notice_beside_its_rule(deployment: Deployment) -> None:
    account = deployment.late(hours=0)
    deployment.settle()
    assert ask(deployment, "send_billing_warning", account) == ()  # delivered already
    assert ask(deployment, "send_final_warning", account) == ()  # not asked for yet
    assert [row["to"] for row in deployment.audit_of(account)[-2:]] == [None, "dropped"]
    deployment.advance(73)
    deployment.settle()
    assert len(deployment.intents_of(account, "send_final_warning")) == 1
    assert deployment.row(account)["final_warning_sent_at"] is not None


def test_admin_may_hurry_a_notice_that_is_open(deployment: Deployment) -> None:
    account = warned(deployment)
    notice = the(deployment, account, "send_billing_warning")
    deployment.finish(claimed(deployment, notice), Again(timedelta(hours=5), "busy"))
    assert deployment.work() == []
    ask(deployment, "send_billing_warning", account)
    assert deployment.work() == ["send_billing_warning"]


def test_fifty_asks_at_once_are_one_intent(deployment: Deployment) -> None:
    account, server = suspended(deployment)
    deployment.work()
    before = len(deployment.intents_of(account))
    together(50, lambda _: ask(deployment, "shutdown_suspended_server", account, server))
    assert len(deployment.intents_of(account)) == before + 1


def test_work_on_a_server_is_asked_once_while_it_is_open(deployment: Deployment) -> None:
    account, server = suspended(deployment)

    def repair() -> int:
        with deployment.begin() as conn:
            asked = intents.ask_server(
                conn,
                deployment.policy,
                server,
                "shutdown_suspended_server",
                actor="controller",
                machine="repair",
                queue="repair",
            )
            return len(asked)

    assert [repair(), repair()] == [1, 0]
    row = deployment.intents_of(account, "shutdown_suspended_server")[-1]
    assert (row["machine"], row["queue"]) == ("repair", "repair")
