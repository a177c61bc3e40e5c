"""Tells people about webhooks that fail: one failure for the morning, repeated ones at once.

Failures are counted in memory and told through the alerts' outbox when the database can be reached, never in the way of
an answer.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from storage.alerts import raise_alert
from storage.database import Database, is_lost

WINDOW_SECONDS: Final = 600.0
REPEATED: Final = 5  # events that could not be written, within the window
REFUSED: Final = 10  # signatures that did not fit: a wrong secret, or a stranger
REFUSED_AND_NONE_TAKEN: Final = 100
PENDING: Final = 50


class Alert(NamedTuple):
    """One alert that is to be written down."""

    kind: str
    words: str
    key: str


class Alarm:
    """Counts failures of one process. Used on the event loop; `tell` runs in a thread."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._failed: deque[float] = deque(maxlen=REPEATED)
        self._refused: deque[float] = deque(maxlen=REFUSED_AND_NONE_TAKEN)
        self._taken_at = clock()
        self.pending: list[Alert] = []

    def taken(self) -> None:
        """Note that an event was taken."""
        self._taken_at = self._clock()

    def failed(self, event_id: str, reason: str) -> None:
        """Note that a genuine event could not be written; Stripe sends it again."""
        self._failed.append(self._clock())
        self._want(
            "webhook_failed", f"event `{event_id}` could not be taken, Stripe will repeat it: {reason}", event_id
        )
        if self._full(self._failed):
            words = f"{REPEATED} webhooks failed within {WINDOW_SECONDS / 60:.0f} minutes, the last one: {reason}"
            self._want("webhook_failing", words, hour())

    def refused(self, reason: str) -> None:
        """Note a signature that does not fit. Anybody can send one, so one alone says nothing."""
        now = self._clock()
        self._refused.append(now)
        recent = sum(1 for at in self._refused if now - at <= WINDOW_SECONDS)
        if recent >= REFUSED:
            words = (
                f"{recent} webhooks in {WINDOW_SECONDS / 60:.0f} minutes had a signature that does not fit ({reason})"
            )
            self._want("webhook_failed", f"{words}; is STRIPE_WEBHOOK_SECRET the endpoint's?", f"signature:{hour()}")
        if self._full(self._refused) and now - self._taken_at > WINDOW_SECONDS:
            words = "no webhook was taken for a while, and every signature is refused; is STRIPE_WEBHOOK_SECRET right?"
            self._want("webhook_failing", words, f"signature:{hour()}")

    def tell(self) -> None:
        """Write down what waits. While the database is away it goes on waiting."""
        pending, self.pending = self.pending, []
        try:
            with self._database.begin() as conn:
                for alert in pending:
                    raise_alert(conn, alert.kind, alert.words, key=f"{alert.kind}:{alert.key}")
        except Exception as error:
            self.pending = [*pending, *self.pending][:PENDING]
            if not is_lost(error):
                raise

    def _full(self, times: deque[float]) -> bool:
        return len(times) == times.maxlen and self._clock() - times[0] <= WINDOW_SECONDS

    def _want(self, kind: str, words: str, key: str) -> None:
        alert = Alert(kind, words[:1000], key)
        if len(self.pending) < PENDING and all((each.kind, each.key) != (kind, key) for each in self.pending):
            self.pending.append(alert)


def hour() -> str:
    """Name the running hour: an alert that is keyed by it is told once in it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H")
