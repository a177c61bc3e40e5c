"""Slots: how many workers may do one kind of work at the same time, whatever processes there are.

A slot is an advisory lock of a session of its own: the database frees it the moment its holder is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from storage.database import Database

LOCK_CLASS: Final = 7_203_117  # advisory locks of this class are slots of provisioning


@contextmanager
def slot(database: Database, limit: int) -> Iterator[bool]:
    """Hold one of `limit` slots for the block; False when all of them are taken: then nothing is held."""
    session = database.connect()
    try:
        take = "SELECT pg_try_advisory_lock(%s::integer, %s::integer)"
        yield any(session.execute(take, [LOCK_CLASS, number]).fetchone() == (True,) for number in range(limit))
        with contextlib.suppress(psycopg.Error):  # then the lock went with its session
            session.execute("SELECT pg_advisory_unlock_all()")
    finally:
        session.close()
