"""A session that takes groups of webhooks one after the other, on its own connection, under the policy in force."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import policies
from storage.database import Database
from storage.stripe import event_list
from storage.stripe.event import StripeEvent
from storage.stripe.inbox import Taken, Terms, take

# Shorter than elsewhere: whoever sent an event waits for it, and sends it again.
LOCK_TIMEOUT: Final = "1500ms"
POLICY_SECONDS: Final = 1.0
MARK_SECONDS: Final = 30.0


class InboxSession:
    """Used by one thread at a time. Connects when it is first needed, and anew after any failure."""

    def __init__(self, database: Database, terms: Terms) -> None:
        self._database = database
        self._terms = terms
        self._conn: Connection | None = None
        self._policy: Policy | None = None
        self._looked_at = 0.0
        self._marked_at = float("-inf")

    def take(self, events: Sequence[StripeEvent]) -> list[Taken]:
        """Take one group in one transaction. Raises whatever kept it from being committed: nothing stays of it then.

        An error while committing leaves open whether the group stays; taken again, its events are duplicates then.
        """
        try:
            conn = self._conn or self._connect()
            with conn.begin():
                taken = take(conn, self._in_force(conn), events, terms=self._terms)
                if time.monotonic() - self._marked_at > MARK_SECONDS:
                    event_list.webhook_came(conn)
                    self._marked_at = time.monotonic()
                return taken
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next group opens another."""
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.invalidate()
            conn.close()

    def _connect(self) -> Connection:
        # Kept: the pool's check before each use would be one more round trip for each group. It never goes back to the
        # pool, because others wait for locks longer.
        conn = self._conn = self._database.engine.connect()
        with conn.begin():
            conn.execute(text(f"SET lock_timeout = '{LOCK_TIMEOUT}'"))
            # The same statements over arrays of much the same length: planning each anew costs as much as running it.
            conn.execute(text("SET plan_cache_mode = force_generic_plan"))
        return conn

    def _in_force(self, conn: Connection) -> Policy:
        now = time.monotonic()
        if self._policy is None or now - self._looked_at > POLICY_SECONDS:
            self._policy, self._looked_at = policies.in_force(conn), now
        return self._policy
