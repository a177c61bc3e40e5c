"""A process that shows that it lives: a row, and a lock in PostgreSQL that its own session holds as long as it does."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import Any

import psycopg
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from engine.faults import PolicyFaults
from jobs.logs import say
from storage import policies, processes
from storage.database import Database, is_lost
from storage.errors import NoPolicy

SEEN_EVERY_SECONDS = 5.0

log = logging.getLogger(__name__)


class Presence:
    """What `claimed_by` of an intent points to. A lost session means a new id: the old one's lock is free."""

    def __init__(self, database: Database, role: str) -> None:
        self.database = database
        self.role = role
        self.process_id = 0
        self._session: psycopg.Connection[Any] | None = None
        self._seen_at = float("-inf")
        self._told = False
        self._read: str | None = None

    def keep(self) -> bool:
        """Show that the process lives; tell whether the database is there. Cheap when called often."""
        if self._session is not None and time.monotonic() - self._seen_at < SEEN_EVERY_SECONDS:
            return True
        try:
            self._note()
        except (psycopg.Error, DBAPIError) as error:
            if not is_lost(error):
                raise
            self._drop()
            if not self._told:
                say(log, logging.ERROR, "the database is lost: nothing is done until it is back", role=self.role)
                self._told = True
            return False
        if self._told:
            say(log, logging.INFO, "the database is back", role=self.role, process_id=self.process_id)
            self._told = False
        return True

    def leave(self) -> None:
        """Say goodbye, so that nobody waits for us."""
        if self._session is not None:
            with contextlib.suppress(psycopg.Error):
                processes.leave(self._session, self.process_id)
        self._drop()

    def _note(self) -> None:
        if self._session is None:
            session = self.database.connect()
            try:
                self.process_id = processes.register(session, self.role, os.getpid(), processes.own_code())
            except BaseException:
                session.close()
                raise
            self._session = session
        self._session.execute("SELECT 1")
        with self.database.begin() as conn:
            processes.seen(conn, self.process_id, self._digest(conn))
        self._seen_at = time.monotonic()

    def _digest(self, conn: Connection) -> str | None:
        """Return the policy that this process decides by: the one in force, unless its code cannot read that."""
        try:
            self._read = policies.in_force(conn).digest
        except NoPolicy:
            self._read = None
        except PolicyFaults as error:
            say(log, logging.ERROR, "this process cannot read the policy in force", role=self.role, reason=error)
        return self._read

    def _drop(self) -> None:
        if self._session is not None:
            with contextlib.suppress(psycopg.Error):
                self._session.close()
        self._session = None
