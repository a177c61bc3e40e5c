"""One reading of Stripe's own list of events, page by page, into the inbox that webhooks lead to.

The newest come first, so that a payment is known before the failure that it cured. The cursor moves only when a reading
came to its end with everything taken; whatever goes wrong leaves it, and what is read twice is a duplicate.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from engine.model import Policy
from jobs.logs import say
from jobs.stripe.client import PAGE, Asker
from storage import leases
from storage.alerts import raise_alert
from storage.database import Database, is_lost
from storage.errors import Busy, FenceLost, StorageError
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe import event_list, inbox
from storage.stripe.event import NotAnEvent, StripeEvent, parse
from storage.stripe.event_list import Cursor
from storage.stripe.inbox import Taken, Terms
from storage.stripe.inbox_events import Status

PATH: Final = "/v1/events"
# What is read again each time: nothing promises that an event is listed in the second in which it was created.
OVERLAP: Final = timedelta(minutes=1)
OVERLAP_OF_GAPS: Final = timedelta(hours=2)
MOST_PAGES: Final = 1_000  # 100,000 events; after more, asking about every account is the shorter way
SILENT_AFTER: Final = timedelta(minutes=15)  # an event so old that its webhook should have come

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Reading:
    """One way through the list, from its newest event back to where an earlier one began."""

    since: datetime | None
    """Nothing older is asked for; None: all that is listed."""
    deep: bool = False
    """It looks for gaps too, further back."""
    gap: bool = False
    """Older events may be listed no more."""
    after: str | None = None
    top: datetime | None = None
    """`created` of the newest event: how far the cursor moves."""
    bottom: datetime | None = None
    """`created` of the oldest so far."""
    pages: int = 0
    seen: int = 0
    failed: int = 0
    """Events that could not be taken; they keep the cursor where it is."""
    new: Counter[Status] = field(default_factory=Counter)
    """How many events were new, by what became of them."""
    newest_taken: datetime | None = None
    is_done: bool = False

    @classmethod
    def of(cls, cursor: Cursor, *, deep: bool) -> Reading:
        """Begin where the last one ended, and a little before."""
        overlap = OVERLAP_OF_GAPS if deep else OVERLAP
        since = None if cursor.read_to is None else cursor.read_to - overlap
        return cls(since, deep, cursor.has_gap)

    def page(self, ask: Asker) -> list[Mapping[str, Any]]:
        """Return the next page. Raises StandingUnknown."""
        query: dict[str, Any] = {"limit": PAGE}
        if self.since is not None:
            query["created"] = {"gte": int(self.since.timestamp())}
        if self.after is not None:
            query["starting_after"] = self.after
        documents, self.after = ask.page(PATH, **query)
        self.pages += 1
        self.seen += len(documents)
        self.is_done = self.after is None
        if not self.is_done and self.pages >= MOST_PAGES:
            self.gap = self.is_done = True
        return documents


class Taker:
    """Takes what was read into the inbox, by the path that webhooks go."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._terms = Terms.of(settings, came_by="reader")

    def take(
        self, policy: Policy, reading: Reading, documents: Sequence[Mapping[str, Any]], fence: Fence | None = None
    ) -> list[Taken]:
        """Take one page; return what became of what is new. Raises FenceLost, and where the database is away."""
        events = self._parsed(reading, documents)
        for event in events:
            reading.top = max(reading.top or event.created_at, event.created_at)
            reading.bottom = min(reading.bottom or event.created_at, event.created_at)
        # Of types on which nothing depends there are many, and they would only fill the log.
        wanted = [event for event in events if event.subject is not None or event.fault is not None]
        with self._database.begin() as conn:
            known = event_list.settled(conn, [event.id for event in wanted])
        fresh = [event for event in wanted if event.id not in known]
        taken = [each for each in self._taken(policy, reading, fresh, fence) if each.status != "duplicate"]
        created = {event.id: event.created_at for event in fresh}
        for each in taken:
            reading.newest_taken = max(reading.newest_taken or created[each.id], created[each.id])
        reading.new.update(each.status for each in taken)
        return taken

    def end(self, reading: Reading, fence: Fence | None = None, *, watch_webhooks: bool = False) -> None:
        """Move the cursor after a whole reading, and tell people when no webhook brought what was found."""
        if reading.failed:
            return

        def work(conn: Connection) -> None:
            if fence is not None:
                leases.check(conn, fence)
            before = event_list.cursor(conn)
            event_list.advance(conn, reading.top, deep=reading.deep, gap=reading.gap)
            if watch_webhooks:
                _tell_silence(conn, reading, before)

        self._database.transact("the cursor of Stripe's events", work)

    def _parsed(self, reading: Reading, documents: Sequence[Mapping[str, Any]]) -> list[StripeEvent]:
        found = []
        for document in documents:
            try:
                found.append(parse(json.dumps(document, separators=(",", ":")).encode()))
            except NotAnEvent as error:
                self._failed(reading, str(document.get("id"))[:100], str(error))
        return found

    def _taken(self, policy: Policy, reading: Reading, events: list[StripeEvent], fence: Fence | None) -> list[Taken]:
        if not events:
            return []
        try:
            return self._group(policy, events, fence)
        except (StorageError, DBAPIError) as error:
            if isinstance(error, FenceLost) or is_lost(error):
                raise
        found: list[Taken] = []
        for event in events:  # one that cannot be written harms itself alone
            try:
                found += self._group(policy, [event], fence)
            except (StorageError, DBAPIError) as error:
                if isinstance(error, FenceLost) or is_lost(error):
                    raise
                busy = isinstance(error, Busy)
                self._failed(reading, event.id, "" if busy else f"{type(error).__name__}: {_first_line(error)}")
        return found

    def _group(self, policy: Policy, events: list[StripeEvent], fence: Fence | None) -> list[Taken]:
        def work(conn: Connection) -> list[Taken]:
            if fence is not None:
                leases.check(conn, fence)
            return inbox.take(conn, policy, events, terms=self._terms)

        return self._database.transact("Stripe's events", work)

    def _failed(self, reading: Reading, event_id: str, reason: str) -> None:
        """Remember that one event is not taken. reason: empty where the next reading surely takes it."""
        reading.failed += 1
        if reason:
            say(log, logging.ERROR, "an event of Stripe's list could not be taken", event=event_id, reason=reason)
            words = f"event `{event_id}` of Stripe's list could not be taken and is read again: {reason}"
            with self._database.begin() as conn:
                raise_alert(conn, "webhook_failed", words[:1000], key=f"webhook_failed:{event_id}")


def _tell_silence(conn: Connection, reading: Reading, cursor: Cursor) -> None:
    """Tell people when events were found long after their webhooks should have come, and none came since."""
    if reading.newest_taken is None or cursor.read_at is None:  # the first reading finds what was before us
        return
    missed = cursor.now - reading.newest_taken > SILENT_AFTER
    silent = cursor.webhook_at is None or reading.newest_taken - cursor.webhook_at > SILENT_AFTER
    if missed and silent:
        newest = reading.newest_taken.strftime("%Y-%m-%d %H:%M")
        words = (
            f"{reading.new.total()} of Stripe's events came by no webhook, the newest of {newest} UTC; they were read "
            "from its list; `forbear doctor` says what to do"
        )
        raise_alert(conn, "webhook_silent", words, key=f"webhook_silent:{cursor.now:%Y-%m-%d}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
