"""Keeps up with Stripe's own list of events: all the time where they come by it, and each hour for gaps where not.

What a reading is, and what it does with what it finds, is in `jobs.stripe.reading`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from engine.model import Policy
from jobs.logs import say
from jobs.stripe.client import READ_SECONDS, Asker, StandingUnknown, client_of
from jobs.stripe.reading import Reading, Taker
from storage.alerts import raise_alert
from storage.database import Database
from storage.errors import SettingWrong
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe import event_list

if TYPE_CHECKING:
    from stripe import StripeClient

POLL_SECONDS: Final = 5.0
RECONCILE_EVERY: Final = timedelta(hours=1)
PAGES_AT_ONCE: Final = 5
BUDGET_SECONDS: Final = 2.0  # of one turn: the controller has a lease to renew
PAUSE_SECONDS: Final = 15.0
TOLD_AFTER_SECONDS: Final = 300.0  # of failures in a row; a single one is nothing

log = logging.getLogger(__name__)


class EventReader:
    """Reads what is due to be read. Used by the controller, one look a tick."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        require_key(settings)
        self._settings = settings
        self._database = database
        self._clock = clock
        self._read_seconds = read_seconds
        self._taker = Taker(settings, database)
        self._client: StripeClient | None = None
        self._look_at = float("-inf")
        self._failing_since: float | None = None
        self.reading: Reading | None = None
        """The one under way: a long one takes many ticks."""
        self._ended_deep = False

    def run(
        self, policy: Policy, fence: Fence, *, force: bool = False, between: Callable[[], None] = lambda: None
    ) -> int:
        """Read some pages if any are due; return how many events were new.

        force: somebody waits for all that there is. between: called after each page. Raises as `Taker.take`.
        """
        if not self._settings.stripe_api_key or (self._clock() < self._look_at and not (force and self._is_well)):
            return 0
        self.reading = self.reading or self._due()
        if self.reading is None:
            self._look_at = self._clock() + POLL_SECONDS
            return 0
        try:
            return self._read(policy, self.reading, fence, between)
        except StandingUnknown as error:
            self.reading = None
            self._unread(error)
            return 0
        except BaseException:
            self.reading = None
            raise

    def has_ended_deep(self) -> bool:
        """Tell once of each reading that looked for gaps that it has ended: accounts are to be asked about then."""
        ended, self._ended_deep = self._ended_deep, False
        return ended

    @property
    def _is_well(self) -> bool:
        return self._failing_since is None

    def _due(self) -> Reading | None:
        with self._database.begin() as conn:
            cursor = event_list.cursor(conn)
        deep = cursor.reconciled_at is None or cursor.now - cursor.reconciled_at >= RECONCILE_EVERY
        return Reading.of(cursor, deep=deep) if deep or self._settings.polls else None

    def _read(self, policy: Policy, reading: Reading, fence: Fence, between: Callable[[], None]) -> int:
        self._client = self._client or client_of(self._settings, self._read_seconds)
        ask = Asker(self._client)
        began, count = time.monotonic(), 0
        for _ in range(PAGES_AT_ONCE):
            count += len(self._taker.take(policy, reading, reading.page(ask), fence))
            between()
            if reading.is_done:
                self._taker.end(reading, fence, watch_webhooks=self._settings.stripe_mode != "poll")
                self._ended_deep = reading.deep and not reading.failed
                self.reading = None
                self._look_at = self._clock() + (PAUSE_SECONDS if reading.failed else POLL_SECONDS)
                break
            if time.monotonic() - began > BUDGET_SECONDS:
                break
        self._failing_since = None
        return count

    def _unread(self, error: StandingUnknown) -> None:
        """Wait a little, and tell people when it lasts."""
        now = self._clock()
        self._look_at = now + PAUSE_SECONDS
        self._failing_since = now if self._failing_since is None else self._failing_since
        say(log, logging.WARNING, "Stripe's events could not be read; the cursor stays", reason=error.reason)
        if now - self._failing_since >= TOLD_AFTER_SECONDS:
            words = f"Stripe's events cannot be read for {TOLD_AFTER_SECONDS / 60:.0f} minutes: {error.reason}"
            with self._database.begin() as conn:
                hour = conn.exec_driver_sql("SELECT to_char(clock_timestamp(), 'YYYY-MM-DD HH24')").scalar_one()
                raise_alert(conn, "events_unread", words, key=f"events_unread:{hour}")


def require_key(settings: Settings) -> None:
    """Raise SettingWrong where Stripe is to be read without a key."""
    if settings.polls and not settings.stripe_api_key:
        reason = f"is `{settings.stripe_mode}`, and STRIPE_API_KEY is not set; reading Stripe's events needs a key"
        raise SettingWrong("FORBEAR_STRIPE_MODE", reason)
