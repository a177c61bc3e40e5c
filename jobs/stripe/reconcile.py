"""Catches up with Stripe at once, on somebody's word: the whole list of events since the cursor, then the accounts.

The controller does the same by itself each hour, a little at a time (`jobs.stripe.reader`); both may run at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from engine.model import Policy
from jobs.stripe.client import FIRST, READ_SECONDS, Asker, StandingPoll, StandingUnknown, client_of
from jobs.stripe.reading import Reading, Taker
from storage.database import Database
from storage.settings import Settings
from storage.stripe import event_list

LISTED = timedelta(days=30)
RETRIES = 2  # a person waits, and no lease has to be renewed
AT_ONCE = 100


@dataclass
class Reconciled:
    """What was found."""

    reading: Reading
    asked: int = 0
    changed: set[UUID] = field(default_factory=set)
    """Accounts of which Stripe said something that no event had told."""
    unknown: dict[UUID, str] = field(default_factory=dict)
    """Accounts about which there was no complete answer, and why."""

    @property
    def needs_a_person(self) -> bool:
        """Whether anything is left that another run would not settle by itself."""
        return bool(self.unknown or self.reading.failed or self.reading.new["quarantined"])


class Reconciliation:
    """One of them. `events`, then `accounts`; each tells how far it is as a share of all."""

    def __init__(self, settings: Settings, database: Database, policy: Policy) -> None:
        self._settings = settings
        self._database = database
        self._policy = policy
        with database.begin() as conn:
            self._cursor = event_list.cursor(conn)
        self.found = Reconciled(Reading.of(self._cursor, deep=True))

    def events(self, told: Callable[[float], None]) -> None:
        """Read the list to its end. Raises StandingUnknown, and then the cursor is where it was."""
        taker = Taker(self._settings, self._database)
        ask = Asker(client_of(self._settings, READ_SECONDS, retries=RETRIES))
        reading = self.found.reading
        while not reading.is_done:
            taker.take(self._policy, reading, reading.page(ask))
            told(self._share())
        taker.end(reading)

    def _share(self) -> float:
        """Return how much of the time that is to be read lies behind."""
        reading = self.found.reading
        if reading.top is None or reading.bottom is None:
            return 0.0
        whole = reading.top - (reading.since or reading.top - LISTED)
        return min(1.0, (reading.top - reading.bottom) / whole) if whole else 1.0

    def to_ask(self, *, everybody: bool) -> int:
        """Return about how many accounts Stripe is to be asked: those that events cannot have told of, or all."""
        with self._database.begin() as conn:
            cursor = event_list.cursor(conn)
            self._since = cursor.now if everybody else cursor.ask_since
            return event_list.count_unasked(conn, self._since)

    def accounts(self, told: Callable[[int], None]) -> None:
        """Ask about each of them. Raises StandingUnknown where nobody can be asked about."""
        poll = StandingPoll(self._settings, self._database)
        after = FIRST
        while batch := self._next(after):
            for after in batch:
                try:
                    self.found.changed |= poll.refresh(self._policy, after)
                except StandingUnknown as error:
                    if error.everybody:
                        raise
                    self.found.unknown[after] = error.reason
                self.found.asked += 1
                told(1)

    def _next(self, after: UUID) -> list[UUID]:
        with self._database.begin() as conn:
            return event_list.unasked(conn, self._since, after, AT_ONCE)
