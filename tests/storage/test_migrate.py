"""Migrations: they leave the tables that the code describes, quickly, once, also when two start at the same time."""

from __future__ import annotations

import subprocess
import sys
import time

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from storage import migrate
from storage.database import engine_of
from storage.errors import NotMigrated
from storage.tables import metadata
from tests.storage.deployment import together


def test_migrated_database_has_exactly_the_tables_of_the_code(database_url: str) -> None:
    engine = engine_of(database_url)
    with engine.begin() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        named = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        checks = {
            str(constraint.name)
            for table in metadata.sorted_tables
            for constraint in table.constraints
            if type(constraint).__name__ == "CheckConstraint"
        }
        assert set(conn.execute(text(named)).scalars()) == checks
        indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public'"
        described = {str(index.name) for table in metadata.sorted_tables for index in table.indexes}
        assert described <= set(conn.execute(text(indexes)).scalars())
        migrate.require(conn)
    engine.dispose()


def test_head_is_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_migrating_is_quick_and_needs_no_second_time(empty_database_url: str) -> None:
    start = time.perf_counter()
    assert migrate.upgrade(empty_database_url)
    assert time.perf_counter() - start < 20  # half a second on a quiet machine
    assert not migrate.upgrade(empty_database_url)


def test_two_that_start_at_once_migrate_once(empty_database_url: str) -> None:
    assert sorted(together(4, lambda _: migrate.upgrade(empty_database_url))) == [False, False, False, True]


def test_tables_that_another_has_made_meanwhile_are_seen(empty_database_url: str) -> None:
    engine = engine_of(empty_database_url, pool_size=1)
    with engine.begin() as conn:
        assert migrate.current(conn) is None
        with psycopg.connect(empty_database_url) as another:
            another.execute(f"CREATE TABLE alembic_version AS SELECT '{migrate.HEAD}' AS version_num")
        assert migrate.current(conn) == migrate.HEAD
    engine.dispose()


def test_empty_database_is_named_as_such(empty_database_url: str) -> None:
    engine = engine_of(empty_database_url)
    with engine.begin() as conn, pytest.raises(NotMigrated, match="run `forbear db upgrade`"):
        migrate.require(conn)
    engine.dispose()


def test_database_that_is_up_to_date_is_recognised_without_alembic(database_url: str) -> None:
    code = (
        "import sys; from storage.migrate import upgrade; "
        "assert upgrade(sys.argv[1]) is False; assert 'alembic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, database_url], check=True)
