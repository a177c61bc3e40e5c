"""Brings a database to the newest tables. A database that is there already is left alone, without loading Alembic."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, text

from storage.database import engine_of
from storage.errors import NotMigrated

HEAD = "0029"
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
LOCK = 7_203_114  # any number: two that start at once migrate one after the other
# Not `to_regclass`: a session remembers that a name meant nothing, and waiting for the lock above does not remind it.
THERE = text(
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables "
    "WHERE tablename = 'alembic_version' AND schemaname = ANY(current_schemas(false)))"
)


def upgrade(url: str) -> bool:
    """Migrate the database at `url` in one transaction; tell whether there was anything to do."""
    engine = engine_of(url, pool_size=1)
    try:
        with engine.begin() as conn:
            if current(conn) == HEAD:
                return False
            conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            if current(conn) == HEAD:
                return False
            _run(conn)
            return True
    finally:
        engine.dispose()


def current(conn: Connection) -> str | None:
    """Return the migration that the database is at; None when it has no tables."""
    if not conn.execute(THERE).scalar_one():
        return None
    version: str | None = conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
    return version


def require(conn: Connection) -> None:
    """Raise NotMigrated unless the tables are those that this version of the code needs."""
    found = current(conn)
    if found != HEAD:
        raise NotMigrated(found, HEAD)


def _run(conn: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
