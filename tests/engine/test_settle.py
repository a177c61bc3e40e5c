"""The account ladder, told as timelines: what a late customer lives through."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from engine.decide import settle
from engine.model import Policy
from engine.servers import server_state
from engine.snapshot import Hold, ServerFacts, StepKind
from tests.factories import LADDER, START, at, small_policy
from tests.story import Story

POLICY = small_policy()


def story_of_a_late_customer(policy: Policy = POLICY, *, post: bool = True) -> Story:
    """Return an account whose payment failed at START."""
    story = Story(policy, post=post)
    story.evidence(overdue_invoices=1, past_due_since=START)
    return story


def test_an_extension_covers_every_later_rung_and_a_fresh_final_warning_precedes_the_suspension() -> None:
    story = story_of_a_late_customer()
    assert story.state() == "overdue_warning"
    assert story.rules[-1] == (START, "billing.warn")
    assert story.notices() == ["send_billing_warning"]
    assert story.last.server.state == "allowed"

    story.until(72)
    assert story.state() == "final_warning"
    assert (at(72), "billing.warn_finally") in story.rules
    assert story.last.server.state == "backup_blocked"
    assert story.notices()[-1] == "send_final_warning"
    assert story.promised() == at(120)

    story.until(100)
    story.hold(Hold("extension", at(200)))
    assert story.state() == "final_warning"
    assert story.promised() is None
    assert story.notices()[-1] == "send_hold_changed_notice"

    story.until(199)
    assert story.state() == "final_warning"
    assert story.last.due_at == at(200), "the rule has no date; what is next is the end of the hold"

    story.until(200)
    assert story.notices()[-1] == "send_final_warning"
    assert story.promised() == at(248)

    story.until(247)
    assert story.state() == "final_warning"

    story.until(248)
    assert story.state() == "suspended"
    assert story.rules[-1] == (at(248), "billing.suspend")
    assert (story.last.server.state, story.last.server.code) == ("suspended_shutdown", "BILLING_SUSPENDED")

    story.until(249)
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"
    assert story.rules[-1] == (at(249), "billing.paid")
    asked = {asked.intent for when, asked in story.asked if when == at(249)}
    assert asked == {"restore_access", "send_restored_notice"}
    assert server_state(POLICY, story.snapshot).state == "allowed"


def test_the_whole_ladder_in_its_own_time() -> None:
    story = story_of_a_late_customer()
    story.until(24 * 40)
    assert [(when, rule) for when, rule in story.rules if rule.startswith("billing.")] == [
        (START, "billing.late"),
        (START, "billing.warn"),
        (at(72), "billing.warn_finally"),
        (at(72), "billing.block_backups"),
        (at(120), "billing.suspend"),
        (at(192), "billing.retain"),
        (at(120 + 14 * 24 - 72), "billing.warn_retention"),
    ]
    assert story.state() == "retained"
    assert story.snapshot.facts["retention_until"] == at(120 + 14 * 24)
    assert story.last.due_at is None, "nothing happens by itself after that, for ever"


def test_ten_days_of_downtime_skip_no_rung_and_no_notice() -> None:
    story = Story(POLICY)
    story.snapshot = replace(
        story.snapshot, facts={**story.snapshot.facts, "overdue_invoices": 1, "past_due_since": START}
    )
    story.jump(240)
    assert story.state() == "overdue_warning"
    assert story.notices() == ["send_billing_warning"]
    story.until(263)
    assert story.state() == "overdue_warning"
    story.until(264)
    assert story.state() == "final_warning"
    assert story.promised() == at(264 + 48)
    story.until(311)
    assert story.state() == "final_warning"
    story.until(312)
    assert story.state() == "suspended"


def test_an_old_debt_found_a_year_later_starts_at_its_first_notice() -> None:
    story = Story(POLICY)
    story.jump(24 * 365)
    story.evidence(overdue_invoices=1, past_due_since=START)
    assert story.state() == "overdue_warning"
    assert story.last.due_at == at(24 * 365 + 24)


def test_nobody_is_suspended_while_the_final_warning_has_not_left() -> None:
    story = story_of_a_late_customer()
    story.until(71)
    story.post = False
    story.until(24 * 365)
    assert story.state() == "final_warning"
    assert story.last.due_at is None
    story.post = True
    story.settle()
    assert story.promised() == at(24 * 365 + 48)
    story.until(24 * 365 + 48)
    assert story.state() == "suspended"


def test_a_first_warning_that_has_not_left_holds_back_everything_after_it() -> None:
    story = story_of_a_late_customer(post=False)
    story.until(24 * 30)
    assert story.state() == "overdue_warning"
    assert story.last.server.state == "allowed"


@pytest.mark.parametrize("rung", LADDER[1:])
def test_payment_wins_on_every_rung_and_forgets_everything(rung: str) -> None:
    story = story_of_a_late_customer()
    story.until(24 * 40)
    stamps = ("warning_sent_at", "final_warning_sent_at", "backup_blocked_at", "suspended_at", "retention_until",
              "retention_told_at", "retention_warned_at")  # fmt: skip
    assert all(story.snapshot.facts[name] is not None for name in stamps)
    story.snapshot = replace(story.snapshot, states={**story.snapshot.states, "billing": rung})
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"
    assert all(story.snapshot.facts[name] is None for name in stamps)
    assert set(story.snapshot.notices) <= {"send_restored_notice"}
    assert story.last.server.state == "allowed"
    assert story.last.due_at is None


def test_several_unpaid_invoices_of_which_one_is_paid_is_still_late() -> None:
    story = story_of_a_late_customer()
    story.evidence(overdue_invoices=2)
    story.until(80)
    story.evidence(overdue_invoices=1)
    assert story.state() == "final_warning"


def test_a_payment_a_moment_before_the_suspension_prevents_it() -> None:
    story = story_of_a_late_customer()
    story.until(119)
    story.snapshot = replace(story.snapshot, facts={**story.snapshot.facts, "overdue_invoices": 0})
    story.jump(120)
    assert story.state() == "active"
    assert "billing.suspend" not in {rule for _, rule in story.rules}


def test_a_second_delinquency_is_a_new_episode_with_its_own_time() -> None:
    story = story_of_a_late_customer()
    story.until(100)
    story.evidence(overdue_invoices=0, past_due_since=None)
    story.until(101)
    story.evidence(overdue_invoices=1, past_due_since=at(101))
    assert story.snapshot.episodes["billing"] == 2
    assert story.state() == "overdue_warning"
    story.until(101 + 71)
    assert story.state() == "overdue_warning"
    story.until(101 + 120)
    assert story.state() == "suspended"
    keys = [asked.key("a") for _, asked in story.asked]
    assert len(keys) == len(set(keys))


def test_a_debt_and_an_abuse_are_each_lifted_by_their_own_cure() -> None:
    story = story_of_a_late_customer()
    for event in ("abuse_reported", "abuse_confirmed"):
        story.settle(story.admin(event))
    assert (story.last.server.state, story.last.server.code) == ("suspended_shutdown", "ABUSE_SUSPENDED")
    story.until(120)
    assert story.state() == "suspended"
    assert story.last.server.machine == "billing", "between equals the first machine gives the code"
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"
    assert (story.last.server.state, story.last.server.machine) == ("suspended_shutdown", "abuse")
    story.settle(story.admin("abuse_cleared"))
    assert story.last.server.state == "allowed"


def test_an_exemption_that_is_lifted_starts_again_at_the_first_notice() -> None:
    story = story_of_a_late_customer()
    story.until(119)
    story.evidence(exempt=True)
    assert story.state() == "active"
    story.until(500)
    story.evidence(exempt=False)
    assert story.state() == "overdue_warning"
    assert story.notices()[-1] == "send_billing_warning"
    story.until(523)
    assert story.state() == "overdue_warning"


def test_effects_on_servers_are_asked_for_each_of_them_once() -> None:
    story = story_of_a_late_customer()
    servers = tuple(ServerFacts(f"s{number}", "running", "running") for number in range(3))
    story.snapshot = replace(story.snapshot, servers=servers)
    story.until(120)
    shut = [asked.server_id for _, asked in story.asked if asked.intent == "shutdown_suspended_server"]
    assert shut == ["s0", "s1", "s2"]
    whole = [asked.server_id for _, asked in story.asked if asked.intent == "suspend_customer_servers"]
    assert whole == [None]


def test_a_partial_payment_that_moves_the_oldest_date_back_shortens_no_notice() -> None:
    story = story_of_a_late_customer()
    story.until(10)
    story.evidence(past_due_since=START - timedelta(days=300))
    assert story.state() == "overdue_warning"
    story.until(23)
    assert story.state() == "overdue_warning"
    story.until(24)
    assert story.state() == "final_warning"
    assert story.promised() == at(24 + 48)


def test_a_step_says_why() -> None:
    story = story_of_a_late_customer()
    story.until(119)
    (step,) = settle(POLICY, story.snapshot, at(120)).steps
    assert (step.kind, step.machine, step.because) == (StepKind.TRANSITION, "billing", "billing.suspend")
    assert (step.from_, step.to, step.place) == ("final_warning", "suspended", "test.yaml:1")
    assert step.facts == {
        "overdue_invoices": 1,
        "subscription": "active",
        "exempt": False,
        "past_due_since": START,
        "final_warning_sent_at": at(72),
    }
    assert {asked.intent for asked in step.asked} == {
        "suspend_customer_servers",
        "shutdown_suspended_server",
        "send_suspended_notice",
    }
