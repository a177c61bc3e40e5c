"""The policy that ships, lived through: what it does to a customer, cell by cell where the story says so."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.decide import compiled
from engine.delivered import claimed, stamped
from engine.gates import verdict
from engine.model import STOPPED_BILLING_STATES, Value
from engine.snapshot import Hold, NoticeStatus, ServerFacts
from tests.factories import LADDER, START, at, shipped_policy, snapshot_of
from tests.story import Story

FINAL = "send_final_warning"


def story(*, servers: int = 1) -> Story:
    """Return an account in good standing under the shipped policy."""
    policy = shipped_policy()
    running = tuple(ServerFacts(f"s{number}", "running", "running") for number in range(1, servers + 1))
    facts: dict[str, Value] = {"has_active_plan": True, "at_plan_limit": False, "subscription": "active"}
    return Story(policy, replace(snapshot_of(policy, servers=running, **facts), zone="Europe/Zurich"))


def code(told: Story, action: str, actor: str = "customer") -> str | None:
    """Return the code that denies the action now; None when it is allowed."""
    judged = verdict(told.policy, told.snapshot.states, told.last.server, action, actor, told.snapshot.facts)
    assert judged.allow is (judged.code is None)
    return judged.code


def test_late_then_extended() -> None:
    """An extension covers every later rung, and a fresh final warning precedes the suspension."""
    told = story()
    told.evidence(overdue_invoices=1, past_due_since=told.now)
    assert told.state() == "overdue_warning"
    assert told.rules[-1][1] == "billing.warn"
    assert told.notices() == ["send_billing_warning"]
    assert code(told, "instance.create") == "BILLING_PAST_GRACE"
    assert code(told, "backups.create") is None

    told.until(72)
    assert told.state() == "final_warning"
    assert (at(72), "billing.warn_finally") in told.rules
    assert told.last.server.state == "backup_blocked"
    assert told.notices()[1:] == [FINAL]
    assert told.promised() == at(120)
    assert code(told, "backups.create") == "BILLING_BACKUP_BLOCKED"

    told.until(100)
    told.hold(Hold("extension", at(200)))
    assert told.state() == "final_warning"
    assert told.promised() is None
    assert told.notices()[2:] == ["send_hold_changed_notice"]

    told.until(199)
    assert told.state() == "final_warning"

    told.until(200)
    assert told.notices()[3:] == [FINAL]
    assert told.promised() == at(248)

    told.until(247)
    assert told.state() == "final_warning"

    told.until(248)
    assert told.state() == "suspended"
    assert told.rules[-1] == (at(248), "billing.suspend")
    assert told.last.server.state == "suspended_shutdown"
    assert code(told, "host.start") == "BILLING_SUSPENDED"
    assert code(told, "host.stop") is None
    assert code(told, "files.download") is None

    told.until(249)
    before = len(told.asked)
    told.evidence(overdue_invoices=0)
    assert told.state() == "active"
    assert told.rules[-1] == (at(249), "billing.paid")
    asked = {asked.intent for _, asked in told.asked[before:]}
    assert asked == {"restore_access", "send_restored_notice"}
    assert not any(told.policy.intents[asked.intent].starts_servers for _, asked in told.asked)


def test_late_then_extended_step_by_step_as_storage_drives_it() -> None:
    """The same, with the worker's claim and delivery apart, and minutes between them."""
    told = story()
    told.evidence(overdue_invoices=1, past_due_since=told.now)
    told.until(71)
    told.post = False
    told.until(72)
    told.snapshot = claimed(told.policy, told.snapshot, FINAL, 1, at(72))
    assert told.snapshot.notices[FINAL].promise_at == at(120)
    told.snapshot = stamped(told.policy, told.snapshot, FINAL, 1, 1, at(72.1))
    told.until(100)
    told.hold(Hold("extension", at(200)))
    void = told.snapshot.notices[FINAL]
    assert (void.status, void.promise_at, void.floor_at) == (NoticeStatus.VOID, None, at(120))
    assert told.snapshot.facts["final_warning_sent_at"] is None
    assert told.last.due_at == at(200)
    told.until(200)
    assert told.snapshot.notices[FINAL].round == 2
    told.snapshot = claimed(told.policy, told.snapshot, FINAL, 2, at(200))
    assert told.snapshot.notices[FINAL].promise_at == at(248)
    told.snapshot = stamped(told.policy, told.snapshot, FINAL, 1, 2, at(200.1))
    told.until(248)
    assert told.state() == "final_warning"
    assert told.last.due_at == at(248.1)
    told.until(248.1)
    assert told.state() == "suspended"


def test_the_default_times() -> None:
    told = story()
    told.evidence(overdue_invoices=1, past_due_since=told.now)
    told.until(24 * 60)
    assert {rule: when for when, rule in told.rules} == {
        "billing.late": START,
        "billing.warn": START,
        "billing.warn_finally": at(72),
        "billing.block_backups": at(72),
        "billing.suspend": at(120),
        "billing.retain": at(192),
        "billing.warn_retention": at(120 + 14 * 24 - 72),
    }
    assert told.snapshot.facts["retention_until"] == at(120 + 14 * 24)
    assert told.last.due_at is None


def test_a_debt_that_comes_late_after_the_end_takes_the_place_of_the_ended_subscription() -> None:
    """Whether the end or the debt is learned of first, the account ends on the debt ladder alone."""
    ends: dict[str, Value] = {"subscription": "canceled", "subscription_ended_at": START}
    owes: dict[str, Value] = {"overdue_invoices": 1, "past_due_since": START}
    endings = []
    for first, second in ((ends, owes), (owes, ends)):
        told = story()
        told.evidence(**first)
        told.evidence(**second)
        endings.append(dict(told.snapshot.states))
    assert endings[0] == endings[1]


def test_a_subscription_that_ends_without_a_debt_is_told_and_then_stopped() -> None:
    told = story(servers=2)
    told.evidence(subscription="canceled", subscription_ended_at=START, has_active_plan=False)
    assert (told.state(), told.state("ended")) == ("active", "ended")
    assert told.notices() == ["send_subscription_ended_notice"]
    assert code(told, "instance.create") == "BILLING_NO_ACTIVE_PLAN"
    assert code(told, "host.start") is None
    told.until(7 * 24 - 1)
    assert told.state("ended") == "ended"
    told.until(7 * 24)
    assert told.state("ended") == "stopped"
    assert code(told, "host.start") == "BILLING_NO_ACTIVE_PLAN"
    told.until(10 * 24)
    assert told.state("ended") == "retained"
    told.evidence(subscription="active", subscription_ended_at=None, has_active_plan=True)
    assert told.state("ended") == "none"
    assert code(told, "host.start") is None
    assert {asked.intent for _, asked in told.asked if asked.intent.startswith(("start", "restart"))} == set()


def test_an_end_that_is_learned_of_a_year_late_still_gives_its_notice() -> None:
    told = story()
    told.until(24 * 365)
    told.evidence(subscription="canceled", subscription_ended_at=START)
    told.until(24 * 365 + 71)
    assert told.state("ended") == "ended"
    told.until(24 * 365 + 72)
    assert told.state("ended") == "stopped"


@pytest.mark.parametrize("rung", LADDER)
def test_a_stopped_server_may_be_looked_at_and_never_run(rung: str) -> None:
    told = story()
    told.snapshot = replace(told.snapshot, states={**told.snapshot.states, "billing": rung})
    told.evidence(overdue_invoices=0 if rung == "active" else 1, past_due_since=told.now)
    for action in ("host.stop", "files.list", "files.read", "files.download", "backups.list"):
        assert code(told, action) is None
    stopped = told.last.server.state in STOPPED_BILLING_STATES
    assert stopped is (rung in {"suspended", "retained", "pending_deletion"})
    for action in ("host.start", "host.restart", "console.command", "files.write", "files.upload", "files.delete",
                   "repair.start", "edge.publish"):  # fmt: skip
        assert (code(told, action) is not None) is stopped


def test_an_admin_may_restore_where_a_customer_may_not() -> None:
    told = story()
    told.evidence(overdue_invoices=1, past_due_since=told.now)
    told.until(120)
    assert code(told, "backups.restore") == "BILLING_SUSPENDED"
    assert code(told, "backups.restore", "admin") is None
    assert code(told, "host.start", "admin") == "BILLING_SUSPENDED"


def test_maintenance_delays_a_suspension_and_nothing_else() -> None:
    told = story()
    told.policy = replace(told.policy, calendars={"maintenance": ((at(119), at(125)),)})
    told.evidence(overdue_invoices=1, past_due_since=told.now)
    told.until(120)
    assert told.state() == "final_warning"
    assert [(each.permit, each.until) for each in told.last.waiting] == [("no_maintenance", at(125))]
    told.until(125)
    assert told.state() == "suspended"


def test_it_asks_for_nothing_that_destroys_but_what_two_admins_agreed_on_and_starts_nothing_by_itself() -> None:
    policy = shipped_policy()
    asked = [(rule, ask.intent) for machine in policy.account_machines for rule in machine.rules for ask in rule.do]
    assert [name for _, name in asked if policy.intents[name].starts_servers] == []
    ((rule, _),) = [(rule, name) for rule, name in asked if policy.intents[name].destructive]
    assert (rule.name, rule.sources) == ("deletion.destroy", ("approved",))
    assert "deletion_switch" in rule.needs
    assert compiled(policy).timed_relief is False
