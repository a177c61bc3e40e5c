"""Commands of people and workers: who may send them, when, and why they are refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.decide import settle
from engine.errors import CommandRefused
from engine.model import Policy, RuleKind
from engine.snapshot import Command, Hold
from tests.factories import (
    START,
    at,
    machine,
    notice,
    policy_of,
    rule,
    small_permits,
    small_policy,
    snapshot_of,
)
from tests.story import Story, late_customer_after

POLICY = small_policy()


def test_a_command_needs_its_role() -> None:
    story = late_customer_after(0)
    for role in ("customer", "worker"):
        with pytest.raises(CommandRefused, match="only the role admin may send it"):
            settle(POLICY, story.snapshot, START, Command("abuse_reported", role, "mallory"))
    assert story.settle(story.admin("abuse_reported")).snapshot.states["abuse"] == "restricted"


@pytest.mark.parametrize(
    ("event", "hour", "reason"),
    [
        ("no_such_event", 0, "no rule knows it"),
        ("abuse_confirmed", 0, "abuse is clear"),
        ("deletion_requested", 0, "billing is overdue_warning"),
        ("deletion_requested", 200, "it counts from `retention_warned_at`, which has not happened"),
        ("deletion_requested", 400, "not before 2026-03-20T08:00:00"),
    ],
)
def test_a_command_that_no_rule_takes_is_refused_with_its_reason(event: str, hour: float, reason: str) -> None:
    story = late_customer_after(hour)
    with pytest.raises(CommandRefused, match=reason):
        settle(POLICY, story.snapshot, story.now, story.admin(event))


def test_deletion_is_asked_for_by_a_person_after_the_retention_that_was_told_and_never_by_time() -> None:
    story = late_customer_after(24 * 365)
    assert story.state() == "retained"
    story.settle(story.admin("deletion_requested"))
    assert story.state() == "pending_deletion"
    assert story.last.server.state == "retained"
    story.settle(story.admin("deletion_withdrawn"))
    assert story.state() == "retained"
    story.settle(story.admin("deletion_requested"))
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"


def test_a_command_under_a_hold_is_refused_and_says_until_when() -> None:
    one = rule("m", "up", RuleKind.PRESSURE, ("low",), "high", event="go", by="admin", needs=("no_hold",))
    policy = policy_of(
        machine("m", ("low", "high"), (one,)), permits=small_permits(), intents=(notice("send_hold_changed_notice"),)
    )
    story = Story(policy, snapshot_of(policy))
    story.hold(Hold("extension", at(1)))
    with pytest.raises(CommandRefused, match="`no_hold` does not permit it until 2026-03-01T09:00:00"):
        settle(policy, story.snapshot, START, story.admin("go"))
    assert settle(policy, story.snapshot, at(1), story.admin("go")).snapshot.states["m"] == "high"


def test_a_payment_that_is_known_beats_a_command() -> None:
    story = late_customer_after(24 * 365)
    paid = replace(story.snapshot, facts={**story.snapshot.facts, "overdue_invoices": 0})
    with pytest.raises(CommandRefused, match="billing is active"):
        settle(POLICY, paid, story.now, story.admin("deletion_requested"))


def test_a_command_is_taken_once() -> None:
    story = late_customer_after(0)
    story.settle(story.admin("abuse_reported"))
    assert story.state("abuse") == "restricted", "one rung, although a second report would find no rule"
    with pytest.raises(CommandRefused):
        settle(POLICY, story.snapshot, START, story.admin("abuse_reported"))


def test_a_command_for_one_machine_is_not_taken_by_another() -> None:
    story = late_customer_after(0)
    with pytest.raises(CommandRefused, match="no rule knows it"):
        settle(POLICY, story.snapshot, START, Command("abuse_reported", "admin", "ada", machine="billing"))


def two_people_policy() -> Policy:
    """Return a machine whose second step needs another person than its first."""
    steps = machine(
        "deletion",
        ("none", "requested", "approved"),
        (
            rule("deletion", "request", RuleKind.PRESSURE, ("none",), "requested", event="requested", by="admin"),
            rule("deletion", "approve", RuleKind.PRESSURE, ("requested",), "approved", event="approved", by="admin",
                 other_than="requested"),
            rule("deletion", "off", RuleKind.RELIEF, ("requested", "approved"), "none", event="withdrawn", by="admin"),
        ),
    )  # fmt: skip
    return policy_of(steps)


def test_two_people_means_two_different_people() -> None:
    policy = two_people_policy()
    story = Story(policy, snapshot_of(policy))
    story.settle(story.admin("requested", "ada"))
    with pytest.raises(CommandRefused, match="whoever sent `requested` may not send it too"):
        story.settle(story.admin("approved", "ada"))
    story.settle(story.admin("approved", "grace"))
    assert story.state("deletion") == "approved"


def test_who_sent_what_is_forgotten_with_the_episode_and_an_unknown_sender_counts_as_nobody() -> None:
    policy = two_people_policy()
    story = Story(policy, snapshot_of(policy))
    story.settle(story.admin("requested", "ada"))
    with pytest.raises(CommandRefused, match="nobody is known to have sent `requested`"):
        settle(policy, replace(story.snapshot, senders={}), START, story.admin("approved", "grace"))
    story.settle(story.admin("withdrawn", "grace"))
    assert story.snapshot.senders == {}
