"""The alarm about webhooks: few failures alarm nobody, repeated ones do, and it waits for a database that is away."""

from __future__ import annotations

from tests.storage.billing import Billing
from web.webhook_alarm import REFUSED, REPEATED, Alarm


def alarm_at(endpoint: Billing) -> tuple[Alarm, list[float]]:
    now = [1000.0]
    return Alarm(endpoint.database, clock=lambda: now[0]), now


def test_few_refused_signatures_alarm_nobody(database_url: str) -> None:
    alarm, _ = alarm_at(Billing(database_url))
    for _ in range(REFUSED - 1):
        alarm.refused("no signature fits")
    assert alarm.pending == []
    alarm.refused("no signature fits")
    assert [alert.kind for alert in alarm.pending] == ["webhook_failed"]


def test_only_failures_close_together_are_repeated_failures(database_url: str) -> None:
    alarm, now = alarm_at(Billing(database_url))
    for number in range(10):
        now[0] += 300
        alarm.failed(f"evt_{number}", "disk full")
    assert {alert.kind for alert in alarm.pending} == {"webhook_failed"}
    for number in range(REPEATED):
        alarm.failed(f"evt_x{number}", "disk full")
    assert "webhook_failing" in {alert.kind for alert in alarm.pending}


def test_an_alarm_waits_for_a_database_that_is_away(database_url: str) -> None:
    away = Billing(database_url.rpartition("@")[0] + "@127.0.0.1:1/forbear")
    alarm, _ = alarm_at(away)
    alarm.failed("evt_1", "the database is away")
    alarm.tell()
    assert [alert.key for alert in alarm.pending] == ["evt_1"]
