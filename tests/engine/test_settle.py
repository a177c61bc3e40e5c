"""The account ladder, told as timelines: what a late customer lives through."""

from __future__ import annotations

from datetime import timedelta

from engine.servers import server_state
from engine.snapshot import Hold
from tests.factories import START, Story, at, small_policy

POLICY = small_policy()


def late(story: Story) -> None:
    """Let one invoice fail now."""
    story.evidence(overdue_invoices=1, past_due_since=story.now)


def test_an_extension_covers_every_later_rung_and_a_fresh_final_warning_precedes_the_suspension() -> None:
    story = Story(POLICY)
    late(story)
    assert story.state() == "overdue_warning"
    assert story.notices() == ["send_billing_warning"]
    story.until(72)
    assert story.state() == "final_warning"
    assert story.last.server.state == "backup_blocked"
    assert story.promised() == at(120)
    story.until(100)
    story.hold(Hold("extension", at(200)))
    assert story.state() == "final_warning"
    assert story.promised() is None
    assert story.notices()[-1] == "send_hold_changed_notice"
    story.until(199)
    assert story.state() == "final_warning"
    assert story.last.due_at == at(200)
    story.until(200)
    assert story.notices()[-1] == "send_final_warning"
    assert story.promised() == at(248)
    story.until(247)
    assert story.state() == "final_warning"
    story.until(248)
    assert story.state() == "suspended"
    assert story.last.server.state == "suspended_shutdown"
    story.until(249)
    story.evidence(overdue_invoices=0)
    assert story.state() == "active"
    assert [asked.intent for when, asked in story.asked if when == at(249)] == [
        "send_restored_notice",
        "restore_access",
    ]
    assert server_state(POLICY, story.snapshot).state == "allowed"
    assert START + timedelta(hours=249) == at(249)
