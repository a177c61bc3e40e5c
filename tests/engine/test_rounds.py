"""Rounds of notices when a rung is left and climbed again within one episode, and when several machines ask for one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.decide import blank
from engine.delivered import ended
from engine.model import FactType, Machine, Origin, Policy, RuleKind
from engine.snapshot import NoticeStatus, Snapshot
from tests.factories import START, at, atom, fact, hours, machine, notice, policy_of, rule
from tests.story import Story


def swing(name: str) -> Machine:
    """Return a machine that climbs to `high` while pushed, gives notice there, and eases only as far as `middle`."""
    push = f"push_{name}"
    return machine(
        name,
        ("low", "middle", "high", "top"),
        (
            rule(name, "ease", RuleKind.RELIEF, ("high", "top"), "middle", when=atom(push, "eq", False)),
            rule(name, "rest", RuleKind.RELIEF, ("middle", "high", "top"), "low", when=atom(push, "is_null", True)),
            rule(name, "begin", RuleKind.PRESSURE, ("low",), "middle", when=atom(push, "is_null", False)),
            rule(name, "climb", RuleKind.PRESSURE, ("middle",), "high", when=atom(push, "eq", True), do=("send_news",)),
            rule(name, "top", RuleKind.PRESSURE, ("high",), "top", when=atom(push, "eq", True),
                 after={f"{name}_told_at": hours(10)}),
        ),
        facts=(fact(push, FactType.BOOL), fact(f"{name}_told_at", origin=Origin.DELIVERED, of="send_news")),
    )  # fmt: skip


def story_of(*machines: Machine, post: bool = True) -> Story:
    """Return an account under these machines."""
    policy: Policy = policy_of(*machines, intents=(notice("send_news"),))
    return Story(policy, Snapshot("a", *blank(policy), {}), post=post)


def test_a_rung_that_is_climbed_again_gives_its_notice_and_its_time_again() -> None:
    story = story_of(swing("one"))
    story.evidence(push_one=True)
    assert story.snapshot.facts["one_told_at"] == START
    story.until(9)
    story.evidence(push_one=False)
    assert story.state("one") == "middle"
    story.evidence(push_one=True)
    assert [asked.round for _, asked in story.asked] == [1, 2]
    assert story.snapshot.facts["one_told_at"] == at(9)
    story.until(18)
    assert story.state("one") == "high"
    story.until(19)
    assert story.state("one") == "top"


def test_climbing_again_waits_for_the_new_delivery_and_not_for_the_old_one() -> None:
    story = story_of(swing("one"))
    story.evidence(push_one=True)
    story.post = False
    story.evidence(push_one=False)
    story.evidence(push_one=True)
    assert story.snapshot.facts["one_told_at"] is None
    story.until(500)
    assert story.state("one") == "high"


@pytest.mark.parametrize("status", [NoticeStatus.OPEN, NoticeStatus.UNKNOWN])
def test_a_round_that_is_open_or_unknown_is_not_followed_by_another_by_itself(status: NoticeStatus) -> None:
    story = story_of(swing("one"), post=False)
    story.evidence(push_one=True)
    if status is not NoticeStatus.OPEN:
        story.snapshot = ended(story.snapshot, "send_news", 1, 1, status)
    for _ in range(3):
        story.evidence(push_one=False)
        story.evidence(push_one=True)
    assert [asked.round for _, asked in story.asked] == [1]
    assert story.snapshot.notices["send_news"].status is status


def test_a_round_that_failed_is_followed_by_another_when_the_rung_is_climbed_again() -> None:
    story = story_of(swing("one"), post=False)
    story.evidence(push_one=True)
    story.snapshot = ended(story.snapshot, "send_news", 1, 1, NoticeStatus.FAILED)
    story.evidence(push_one=False)
    story.evidence(push_one=True)
    assert [asked.round for _, asked in story.asked] == [1, 2]


def test_machines_that_share_a_notice_never_ask_for_the_same_round_twice() -> None:
    story = story_of(swing("one"), swing("two"))
    for name in ("one", "two", "one", "two", "two", "one"):
        push = f"push_{name}"
        story.evidence(**{push: True})
        story.evidence(**{push: False})
    keys = [asked.key("a") for _, asked in story.asked]
    assert len(keys) == len(set(keys)) == 6


def test_a_new_episode_of_one_machine_leaves_the_rounds_of_the_other_alone() -> None:
    story = story_of(swing("one"), swing("two"))
    for facts in ({"push_one": True}, {"push_two": True}, {"push_one": None}, {"push_one": True}, {"push_two": False}):
        story.evidence(**facts)
    story.evidence(push_two=True)
    keys = [asked.key("a") for _, asked in story.asked]
    assert len(keys) == len(set(keys)) == 4
    assert story.snapshot.episodes == {"one": 2, "two": 1}


def test_a_notice_state_that_lost_its_machine_counts_as_the_askers_own() -> None:
    """Rows that were written before the machine was kept with the round go on as they were."""
    story = story_of(swing("one"), post=False)
    story.evidence(push_one=True)
    bare = replace(story.snapshot.notices["send_news"], machine="")
    story.snapshot = replace(story.snapshot, notices={"send_news": bare})
    story.evidence(push_one=False)
    story.evidence(push_one=True)
    assert [asked.round for _, asked in story.asked] == [1]
