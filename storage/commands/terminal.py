"""What commands at a terminal share: the database of the system that they mean, and who types them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from storage import migrate
from storage.beside import settings_beside
from storage.database import Database
from storage.settings import Settings


@contextmanager
def opened(*, pool_size: int = 1) -> Iterator[tuple[Settings, Database]]:
    """Open the database of the system that the running command means."""
    settings = settings_beside()
    database = Database(settings, pool_size=pool_size)
    try:
        yield settings, database
    finally:
        database.close()


@contextmanager
def connected() -> Iterator[tuple[Settings, Connection]]:
    """Begin a transaction there. Raises what `migrate.require` does, where its tables are of another version."""
    with opened() as (settings, database), database.begin() as conn:
        migrate.require(conn)
        yield settings, conn


def operator(by: str | None) -> str:
    """Return who the audit says it was: by whom they say it is, else the system's user."""
    return f"operator:{by or os.environ.get('USER') or 'unknown'}"
