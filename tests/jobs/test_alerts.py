"""Alerts: each told at most once, in the policy's channel, and Discord's troubles stay Discord's."""

from __future__ import annotations

import threading

from jobs.alerts import AlertSender
from jobs.controller import Controller
from jobs.discord import Discord
from storage.alerts import raise_alert
from tests.doubles.discord import DiscordSink
from tests.jobs.floor import Floor
from tests.storage.deployment import eventually


def raised(floor: Floor, kind: str, words: str = "something") -> None:
    with floor.begin() as conn:
        raise_alert(conn, kind, words)


def sender(floor: Floor, sink: DiscordSink) -> AlertSender:
    channels = sorted({*floor.policy.alerts.values(), "support"})
    return AlertSender(floor.database, Discord(sink.webhooks(*channels)))


def test_each_goes_to_its_channel_once(floor: Floor) -> None:
    raised(floor, "enforcement_done", "a")
    raised(floor, "enforcement_failed", "b")
    raised(floor, "suspension_brake_tripped", "c")
    raised(floor, "a kind that no policy names", "d")
    raised(floor, "support_ticket", "e")
    with DiscordSink() as sink:
        alerts = sender(floor, sink)
        assert alerts.send() == 5
        assert alerts.send() == 0
    assert [text.split()[-1] for text in sink.texts("audit-log")] == ["a"]
    assert [text.split()[-1] for text in sink.texts("alerts-billing")] == ["b", "d"]
    assert [text.split()[-1] for text in sink.texts("alerts-critical")] == ["c"]
    assert [text.split()[-1] for text in sink.texts("support")] == ["e"]


def test_what_surely_was_not_told_comes_again_later(floor: Floor) -> None:
    raised(floor, "enforcement_done")
    with DiscordSink(status=429) as sink:
        alerts = sender(floor, sink)
        alerts.send()
        assert alerts.send() == 0, "not before Discord wants it"
        floor.rows("UPDATE alerts SET not_before = NULL RETURNING 1")
        sink.status = 204
        assert alerts.send() == 1
    assert len(sink.posts) == 2
    assert floor.rows("SELECT tries FROM alerts")[0]["tries"] == 2


def test_what_may_have_been_told_is_not_told_again(floor: Floor) -> None:
    raised(floor, "enforcement_done")
    with DiscordSink(status=0) as sink:
        alerts = sender(floor, sink)
        alerts.send()
        sink.status = 204
        alerts.send()
        assert len(sink.posts) == 1


def test_it_is_given_up_after_so_many_tries(floor: Floor) -> None:
    raised(floor, "enforcement_done")
    with DiscordSink(status=503) as sink:
        alerts = sender(floor, sink)
        for _ in range(20):
            alerts.send()
            floor.rows("UPDATE alerts SET not_before = NULL RETURNING 1")
    assert len(sink.posts) == 10
    assert "given up" in floor.rows("SELECT outcome FROM alerts")[0]["outcome"]


def test_discord_that_hangs_delays_no_tick(floor: Floor, controller: Controller) -> None:
    released = threading.Event()

    class Hanging:
        def has(self, channel: str) -> bool:
            return True

        def post(self, channel: str, text: str) -> None:
            released.wait(20)

    raised(floor, "enforcement_done")
    controller.alerts.channels = Hanging()
    account = floor.late()
    floor.tick(controller)
    assert floor.tick(controller).took_ms < 5000
    assert floor.row(account)["billing_status"] == "overdue_warning"
    being_told = "SELECT count(*) FROM alerts WHERE outcome = 'being told'"
    eventually(lambda: floor.scalar(being_told) == 1, "a thread beside the tick tells it")
    released.set()


def test_two_senders_never_share_an_alert(floor: Floor) -> None:
    for number in range(15):
        raised(floor, "enforcement_done", str(number))
    with DiscordSink() as sink:
        first, second = sender(floor, sink), sender(floor, sink)
        threads = [threading.Thread(target=each.send) for each in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert sorted(int(text.split()[-1]) for text in sink.texts("audit-log")) == list(range(15))
