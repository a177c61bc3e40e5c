"""What is still wanted when a worker is about to do it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model import Intent, IntentKind
from engine.wanted import Verdict, wanted
from tests.factories import HERE, START, at, small_policy
from tests.story import Story

POLICY = small_policy()
FINAL = "send_final_warning"


def story_at(hour: float, *, post: bool = True) -> Story:
    """Return a late customer's account so many hours after the failed payment."""
    story = Story(POLICY)
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.post = post
    story.until(hour)
    return story


def ask(story: Story, intent: str, *, machine: str = "billing", episode: int = 1, round_: int | None = None) -> Verdict:
    """Ask whether the intent is wanted now."""
    return wanted(story.policy, story.snapshot, intent, machine, episode, story.now, round_=round_)


def test_a_notice_is_wanted_on_its_rungs_only() -> None:
    story = story_at(72)
    assert ask(story, FINAL).ok
    assert ask(story, "send_billing_warning") == Verdict(False, "billing is final_warning")
    assert not ask(story, "send_suspended_notice").ok


def test_payment_makes_everything_that_is_pending_unwanted() -> None:
    story = story_at(120)
    for intent in ("suspend_customer_servers", "shutdown_suspended_server", "send_suspended_notice"):
        assert ask(story, intent).ok
    story.evidence(overdue_invoices=0)
    for intent in ("suspend_customer_servers", "shutdown_suspended_server", "send_suspended_notice"):
        assert not ask(story, intent).ok
    assert ask(story, "restore_access").ok


def test_restoring_is_not_wanted_while_another_cause_stops_the_servers() -> None:
    story = story_at(120)
    story.settle(story.admin("abuse_reported"))
    story.settle(story.admin("abuse_confirmed"))
    story.evidence(overdue_invoices=0)
    assert ask(story, "restore_access") == Verdict(False, "servers are suspended_shutdown by abuse")


def test_a_notice_of_an_episode_that_is_over_is_not_wanted_in_the_next() -> None:
    story = story_at(80)
    story.evidence(overdue_invoices=0)
    story.evidence(overdue_invoices=1, past_due_since=at(80))
    story.until(160)
    assert story.state() == "final_warning"
    assert ask(story, FINAL, episode=1) == Verdict(False, "episode 1 of billing is over; it is 2 now")
    assert ask(story, FINAL, episode=2).ok


def test_lifting_a_restriction_is_wanted_whichever_episode_asked() -> None:
    story = story_at(120)
    story.evidence(overdue_invoices=0)
    story.evidence(overdue_invoices=1, past_due_since=at(120))
    assert ask(story, "restore_access", episode=1).ok


def test_a_round_that_was_replaced_or_is_over_is_not_wanted() -> None:
    story = story_at(72, post=False)
    assert ask(story, FINAL, round_=1).ok
    story.post = True
    story.settle()
    assert ask(story, FINAL, round_=1) == Verdict(False, "round 1 is delivered already")
    story.evidence(past_due_since=at(50))
    assert ask(story, FINAL, round_=1) == Verdict(False, "round 2 has replaced round 1")


def test_an_intent_that_the_policy_lost_is_not_wanted() -> None:
    assert ask(story_at(0), "send_flowers") == Verdict(False, "the policy has no intent `send_flowers`")


@pytest.mark.parametrize("state", ["suspended", "retained", "pending_deletion"])
def test_a_server_that_billing_stopped_is_never_started_whatever_the_policy_lists(state: str) -> None:
    start = Intent("start_server", IntentKind.COMMAND, HERE, per_server=True, starts_servers=True)
    story = story_at(0)
    story.policy = replace(POLICY, intents={**POLICY.intents, "start_server": start})
    assert ask(story, "start_server").ok
    story.snapshot = replace(story.snapshot, states={**story.snapshot.states, "billing": state})
    assert not ask(story, "start_server").ok


def test_what_destroys_is_never_wanted_without_a_state_that_allows_it() -> None:
    assert ask(story_at(24 * 40), "delete_suspended_server") == Verdict(
        False, "it destroys, and nothing says in which state it may"
    )
