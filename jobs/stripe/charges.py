"""Asks Stripe whose the charges of parked disputes are, where a key is configured: nobody may have told of them."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from urllib.parse import quote

from jobs.logs import say
from jobs.stripe.client import Asker, StandingUnknown, client_of
from storage import leases
from storage.database import Database, raw
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe.event_disputes import ChargeSeen, read_charge
from storage.stripe.event_fields import Unreadable
from storage.stripe.inbox_charges import remember, unknown_charges

AT_ONCE = 10
BUDGET_SECONDS = 2.0  # of one look: the controller has a lease to renew
PAUSE_SECONDS = 300.0  # before a charge that could not be had is asked for again

log = logging.getLogger(__name__)


class ChargePoll:
    """Used by the controller, right before it looks at parked events again."""

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._paused_until: dict[str, float] = {}

    def run(self, fence: Fence | None = None) -> int:
        """Ask about charges that nobody knows; return how many are known now. Without a key nobody is asked."""
        if not self._settings.stripe_api_key:
            return 0
        now = self._clock()
        self._paused_until = {charge: until for charge, until in self._paused_until.items() if until > now}
        with self._database.begin() as conn:
            wanted = unknown_charges(raw(conn), limit=AT_ONCE, but=list(self._paused_until))
        if not wanted:
            return 0
        ask = Asker(client_of(self._settings), time.monotonic() + BUDGET_SECONDS)
        seen = [charge for charge_id in wanted if (charge := self._asked(ask, charge_id, now)) is not None]
        if seen:
            with self._database.begin() as conn:
                if fence is not None:
                    leases.check(conn, fence)
                remember(raw(conn), seen)
        return len(seen)

    def _asked(self, ask: Asker, charge_id: str, now: float) -> ChargeSeen | None:
        """Return a charge and its customer; None, and a pause, when there is no such answer."""
        try:
            charge = read_charge(ask.one(f"/v1/charges/{quote(charge_id, safe='')}"))
        except (StandingUnknown, Unreadable) as error:
            self._paused_until[charge_id] = now + PAUSE_SECONDS
            say(log, logging.WARNING, "whose a disputed charge is stays unknown", charge=charge_id, reason=error)
            return None
        if charge.id != charge_id or charge.customer_id is None:
            self._paused_until[charge_id] = now + PAUSE_SECONDS
            return None
        return charge
