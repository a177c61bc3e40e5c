"""Fetches what thin notifications name, and takes each in as the whole event that it stands for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sqlalchemy import Connection

from engine.model import Policy
from jobs.logs import say
from jobs.stripe.client import READ_SECONDS, Asker, StandingUnknown, client_of
from storage import leases
from storage.alerts import raise_alert
from storage.database import Database
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe import inbox, thin
from storage.stripe.event import API_VERSION, Named, NotAnEvent, StripeEvent, parse
from storage.stripe.inbox import Terms

if TYPE_CHECKING:
    from stripe import StripeClient

AT_ONCE: Final = 20
BUDGET_SECONDS: Final = 2.0  # of one turn: the controller has a lease to renew
PAUSE_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


class ThinFetcher:
    """Used by the controller, one look a tick. While Stripe does not answer, notifications wait."""

    def __init__(self, settings: Settings, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._terms = Terms.of(settings)
        self._client: StripeClient | None = None
        self._paused_until = float("-inf")

    def run(self, policy: Policy, fence: Fence) -> int:
        """Fetch what is named; return how many notifications were settled. Raises FenceLost."""
        if not self._settings.stripe_api_key or self._clock() < self._paused_until:
            return 0
        with self._database.begin() as conn:
            found = thin.waiting(conn, AT_ONCE)
        began, count = time.monotonic(), 0
        for event_id, payload in found:
            if time.monotonic() - began > BUDGET_SECONDS:
                break
            try:
                event = self._fetched(payload)
            except StandingUnknown as error:
                if error.everybody:
                    say(log, logging.WARNING, "a notification's object could not be fetched", reason=error.reason)
                    self._paused_until = self._clock() + PAUSE_SECONDS
                    break
                self._give_up(event_id, error.reason, fence)
            except NotAnEvent as error:
                self._give_up(event_id, str(error), fence)
            else:
                if event.fault is None:
                    self._take(policy, event_id, event, fence)
                else:
                    self._give_up(event_id, event.fault, fence)
            count += 1
        return count

    def _fetched(self, payload: str) -> StripeEvent:
        """Return the whole event. Raises StandingUnknown and NotAnEvent."""
        named = parse(payload.encode()).subject
        if not isinstance(named, Named):
            raise NotAnEvent("it names nothing that is read here")
        self._client = self._client or client_of(self._settings, READ_SECONDS)
        path = f"/v1/{thin.LISTS[named.kind]}/{quote(named.id, safe='')}"
        found: Mapping[str, Any] = Asker(self._client).one(path)
        return parse(thin.filled(payload, found, API_VERSION))

    def _take(self, policy: Policy, event_id: str, event: StripeEvent, fence: Fence) -> None:
        """Put the whole event in the row's place and take it, in one transaction."""
        given = {
            "id": event_id,
            "type": event.type,
            "payload": event.payload,
            "reason": thin.FETCHED,
            "object_id": event.object_id,
            "customer": event.about.customer_id,
            "subscription": event.about.subscription_id,
            "charge": event.about.charge_id,
            "claims": list(event.about.claims),
        }

        def work(conn: Connection) -> None:
            leases.check(conn, fence)
            if conn.execute(thin.FILL, given).rowcount == 0:
                return  # somebody settled it meanwhile
            (taken,) = inbox.take(conn, policy, [event], terms=self._terms)
            if taken.status == "duplicate":  # as parked as before, now for want of an account
                words = f"event `{event_id}` of type {event.type} waits for an account"
                raise_alert(conn, "event_parked", words, key=f"event_parked:{event.created_at.date().isoformat()}")

        self._database.transact(f"notification `{event_id}`", work)

    def _give_up(self, event_id: str, reason: str, fence: Fence) -> None:
        """Leave to a person what Stripe itself does not know."""
        with self._database.begin() as conn:
            leases.check(conn, fence)
            if conn.execute(thin.GIVE_UP, {"id": event_id, "reason": reason[:500]}).rowcount:
                words = f"notification `{event_id}` is quarantined: {reason}"
                raise_alert(conn, "event_quarantined", words, key=f"event_quarantined:{event_id}")
