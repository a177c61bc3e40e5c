"""Tells people what they have to know: takes alerts from their outbox and posts each at most once, beside the tick.

Fail-soft and bounded: a Discord that is slow, gone or misconfigured delays alerts and nothing else.
"""

from __future__ import annotations

import logging
from uuid import UUID

from jobs.discord import Channels, DiscordDelayed, DiscordRefused, DiscordUncertain
from jobs.logs import say
from storage import alerts, policies, tickets
from storage.alerts import Alert
from storage.database import Database

AT_ONCE = 20
MOST_TRIES = 10
# Questions of customers are no alarm: no policy says where they go.
FIXED_CHANNELS = {tickets.ALERT: "support"}
UNKNOWN_KIND_CHANNEL = "alerts-billing"  # a kind that the policy does not name is still told

log = logging.getLogger(__name__)


class AlertSender:
    """Posts what waits in the outbox of alerts."""

    def __init__(self, database: Database, channels: Channels) -> None:
        self.database = database
        self.channels = channels

    def send(self) -> int:
        """Post what waits, oldest first; return how many were dealt with. The first that must wait ends the round."""
        told = 0
        while told < AT_ONCE:
            alert = self._take()
            if alert is None:
                break
            told += 1
            if not self._post(alert):
                break
        return told

    def _take(self) -> Alert | None:
        """Take one alert by noting it as told: if this process dies now, it is lost rather than told twice."""
        with self.database.begin() as conn:
            waiting = alerts.unsent(conn, 1)
            if not waiting:
                return None
            alerts.settle(conn, waiting[0].id, "being told")
            return waiting[0]

    def _post(self, alert: Alert) -> bool:
        with self.database.begin() as conn:
            named = {**policies.in_force(conn).alerts, **FIXED_CHANNELS}
        channel = named.get(alert.kind, UNKNOWN_KIND_CHANNEL)
        level = logging.WARNING if channel.startswith("alerts-") else logging.INFO
        say(log, level, alert.text, alert=alert.kind, channel=channel, account=alert.account_id)
        if not self.channels.has(channel):
            self._note(alert.id, f"no webhook for {channel}: only in the log")
            return True
        try:
            self.channels.post(channel, worded(alert))
        except DiscordDelayed as error:
            if alert.tries + 1 >= MOST_TRIES:
                self._note(alert.id, f"given up: {error}")
            else:
                self._again(alert.id, error)
            return False
        except (DiscordRefused, DiscordUncertain) as error:
            say(log, logging.WARNING, str(error), channel=channel)
            self._note(alert.id, str(error))
            return True
        self._note(alert.id, f"told on {channel}")
        return True

    def _note(self, alert_id: int, outcome: str) -> None:
        with self.database.begin() as conn:
            alerts.settle(conn, alert_id, outcome)

    def _again(self, alert_id: int, error: DiscordDelayed) -> None:
        with self.database.begin() as conn:
            alerts.postpone(conn, alert_id, error.after_seconds, str(error))


def worded(alert: Alert) -> str:
    """Write one alert for people."""
    about: UUID | None = alert.account_id
    return f"{alert.kind.replace('_', ' ')}: {alert.text}" + (f" (account {about})" if about else "")
