"""One account played through the real decision: what happens when, and who does not do as asked."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.model import Value
from engine.snapshot import Command, Hold, NoticeStatus
from engine.timeline.play import Item, Moment, Timeline, onwards, play, promises
from tests.factories import START, at, hours, shipped_policy

LATE: dict[str, Value] = {"overdue_invoices": 1, "past_due_since": START}
PAID: dict[str, Value] = {"overdue_invoices": 0, "past_due_since": None}


def lived(*items: Item, until: float | None = None, zone: str = "UTC") -> list[Moment]:
    """Return the moments of an account of the shipped policy."""
    return play(shipped_policy(), Timeline(START, zone, items), at(until) if until is not None else None)


def rules(moments: list[Moment]) -> list[tuple[float, str]]:
    """Return what fired, with the hour."""
    return [((m.at - START) / timedelta(hours=1), step.because) for m in moments for step in m.steps]


def test_late_account_climbs_at_each_due_instant_without_being_asked() -> None:
    moments = lived(Item(hours(0), set=LATE), until=800)
    assert rules(moments) == [
        (0, "billing.late"),
        (0, "billing.warn"),
        (72, "billing.warn_finally"),
        (72, "billing.block_backups"),
        (120, "billing.suspend"),
        (192, "billing.retain"),
        (384, "billing.warn_retention"),
    ]
    assert [name for m in moments for name in m.notices] == [
        "send_billing_warning",
        "send_final_warning",
        "send_suspended_notice",
        "send_retention_warning",
    ]


def test_each_item_has_one_moment_in_order() -> None:
    moments = lived(Item(hours(0), set=LATE), Item(hours(72)), Item(hours(72)), Item(hours(500), set=PAID))
    assert [m.item for m in moments if m.item is not None] == [0, 1, 2, 3]
    assert [s.because for s in moments[-1].steps] == ["billing.paid"]


def test_promise_is_told_kept_and_replaced_after_an_extension() -> None:
    extension = Item(hours(100), holds={"extension": Hold("extension", at(200))})
    moments = lived(Item(hours(0), set=LATE), Item(hours(99)), extension, until=249)
    policy = shipped_policy()
    told = [(m.at, promises(policy, m.snapshot).get("billing.suspend")) for m in moments]
    assert (at(99), at(120)) in told
    assert (at(100), None) in told
    assert (at(200), at(248)) in told
    assert (248, "billing.suspend") in rules(moments)


@pytest.mark.parametrize("answer", [False, None])
@pytest.mark.parametrize("permit", sorted(shipped_policy().permits))
def test_any_permit_can_be_withheld_and_given_again(permit: str, answer: bool | None) -> None:
    moments = lived(
        Item(hours(0), set=LATE), Item(hours(73), permits={permit: answer}), Item(hours(150), permits={permit: True})
    )
    needed = permit in shipped_policy().rule("billing.suspend").needs
    assert ((150 if needed else 120), "billing.suspend") in rules(moments)


def test_due_rule_that_is_not_permitted_does_not_hide_a_later_one() -> None:
    moments = lived(Item(hours(0), set=LATE), Item(hours(119), permits={"suspension_brake": False}), Item(hours(121)))
    assert moments[-1].waiting[0].permit == "suspension_brake"
    assert moments[-1].snapshot.states["billing"] == "final_warning"


@pytest.mark.parametrize("post", ["failed", "unknown", "delayed"])
def test_final_warning_that_did_not_arrive_holds_the_suspension(post: str) -> None:
    silent = Item(hours(71), post=post)  # type: ignore[arg-type]
    again = Item(hours(300), post="auto", send={"send_final_warning": "again"} if post != "delayed" else {})
    moments = lived(Item(hours(0), set=LATE), silent, again, until=349)
    assert (348, "billing.suspend") in rules(moments)


def test_claim_fixes_the_date_and_a_slow_delivery_keeps_it() -> None:
    moments = lived(
        Item(hours(0), set=LATE),
        Item(hours(71), post="delayed"),
        Item(hours(73), send={"send_final_warning": "claimed"}),
        Item(hours(80), send={"send_final_warning": "delivered"}),
        until=200,
    )
    sent = [s for m in moments for s in m.sent if s.intent == "send_final_warning"]
    assert [s.promise_at for s in sent] == [at(121), at(121)]
    assert (128, "billing.suspend") in rules(moments)


def test_refused_command_says_why_and_changes_nothing() -> None:
    moments = lived(Item(hours(1), command=Command("deletion_requested", "admin", "ada")))
    assert moments[-1].refused == "billing is active"
    assert moments[-1].steps == ()


def test_suspension_stops_the_server_and_payment_starts_nothing() -> None:
    moments = lived(Item(hours(0), set=LATE), Item(hours(130), set=PAID), until=200)
    assert [(mv.server_id, mv.to) for m in moments for mv in m.moves] == [("s1", "stopped")]
    assert moments[-1].snapshot.servers[0].lifecycle == "stopped"


def test_notice_that_waits_for_the_host_waits_no_longer_than_it_may() -> None:
    moments = lived(Item(hours(0), set=LATE, obeys=False), until=130)
    sent = [(m.at, s.intent) for m in moments for s in m.sent]
    assert (at(121), "send_suspended_notice") in sent


def test_a_start_asked_for_while_suspended_is_dropped() -> None:
    moments = lived(Item(hours(0), set=LATE), Item(hours(121), servers={"s1": "start_requested"}), until=122)
    dropped = [mv for m in moments for mv in m.moves if mv.dropped]
    assert [mv.dropped for mv in dropped] == [("start_server",)]
    assert moments[-1].snapshot.servers[0].observed == "stopped"


def test_safe_point_delays_the_suspension_until_the_backup_has_ended() -> None:
    moments = lived(
        Item(hours(0), set=LATE),
        Item(hours(119.5), servers={"s1": "backup_started"}),
        Item(hours(120.25), servers={"s1": "backup_finished"}),
    )
    assert (120.25, "billing.suspend") in rules(moments)


def test_timeline_goes_on_from_a_snapshot() -> None:
    first = lived(Item(hours(0), set=LATE), Item(hours(80)))[-1].snapshot
    later = play(shipped_policy(), Timeline(at(80), snapshot=first), at(130))
    assert [s.because for m in later for s in m.steps] == ["billing.suspend"]
    assert first.notices["send_final_warning"].status is NoticeStatus.DELIVERED


def test_what_follows_asks_again_for_an_answer_that_grew_old_and_not_for_one_that_was_no() -> None:
    policy = shipped_policy()
    for permit, follows in (("fresh_standing", ["billing.suspend", "billing.retain"]), ("suspension_brake", [])):
        first = lived(Item(hours(0), set=LATE), Item(hours(80), permits={permit: False}))[-1].snapshot
        moments = play(policy, onwards(policy, first, at(80)), at(200))
        assert [step.because for moment in moments for step in moment.steps] == follows, permit
