"""Databases for tests: migrated once, copied, lent to one test after another, and emptied in between.

To make a database costs ten times as much as to empty one, and to empty one in a new session seven times as much as in
one that knows the tables already: that is kept. What a test has altered the tables of is dropped instead.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from storage.embedded import Postgres

TEMPLATE = "forbear_template"
BETWEEN = "between two tests"  # how sessions are called that a test has left as new ones are
LARGEST_BYTES = 4_000_000  # of tables whose rows are gone and whose pages are not: more is slow to look through

# Fires in the transaction of whatever alters a table, a column, a constraint or a trigger.
NOTE_ALTERATIONS = """
CREATE TABLE kept.alterations (tag text);
CREATE FUNCTION kept.note() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN INSERT INTO kept.alterations VALUES (tg_tag); END $$;
CREATE EVENT TRIGGER note ON ddl_command_end EXECUTE FUNCTION kept.note();
"""
END_SESSIONS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = %s AND backend_type = 'client backend' AND pid <> %s AND NOT (application_name = %s AND state = 'idle')
"""
WHETHER_SPOILT = """
SELECT EXISTS (SELECT FROM kept.alterations) OR sum(pg_relation_size(oid)) > %s
FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""


class Databases:
    """The databases of one test process."""

    def __init__(self, server: Postgres) -> None:
        self.server = server
        self._control = psycopg.connect(server.superuser_url, autocommit=True)
        self._numbers = itertools.count(1)
        self._free: list[str] = []
        self._kept: dict[str, psycopg.Connection[Any]] = {}  # by database: the session that empties it
        self._empty: sql.Composed | None = None
        self._make_sign_in_cheap()

    def close(self) -> None:
        """End the sessions that make, empty and drop them; the server's end ends them."""
        for session in (*self._kept.values(), self._control):
            session.close()

    @contextmanager
    def lend(self) -> Iterator[str]:
        """Lend a fresh, migrated database; whoever is still connected afterwards is cut off. Yields its address."""
        name = self._free.pop() if self._free else self._copy()
        yield self._url_of(name)
        if self._emptied(name):
            self._free.append(name)
        else:
            self._drop(name)

    @contextmanager
    def lend_bare(self) -> Iterator[str]:
        """Lend a database without any table. Yields its address."""
        name = self._new("template0")
        yield self._url_of(name)
        self._drop(name)

    def _make_sign_in_cheap(self) -> None:
        """Hash the role's password once, not 4096 times: every test signs in again and again."""
        password = unquote(urlsplit(self.server.url).password or "")
        self._control.execute("SET scram_iterations = 1")
        change = sql.SQL("ALTER ROLE forbear PASSWORD {}").format(sql.Literal(password))
        self._control.execute(change)

    def _copy(self) -> str:
        if self._empty is None:
            self._empty = self._make_template()
        return self._new(TEMPLATE)

    def _make_template(self) -> sql.Composed:
        """Make it, and return what brings a copy back to it."""
        from storage.migrate import upgrade

        statement = sql.SQL("CREATE DATABASE {} OWNER forbear TEMPLATE template0")
        self._control.execute(statement.format(sql.Identifier(TEMPLATE)))
        upgrade(self._url_of(TEMPLATE))
        with self._superuser(TEMPLATE) as session:
            way_back = _way_back(session)
            session.execute(NOTE_ALTERATIONS)
        return way_back

    def _new(self, template: str) -> str:
        name = f"test_{next(self._numbers)}"
        make = sql.SQL("CREATE DATABASE {} OWNER forbear TEMPLATE {} STRATEGY WAL_LOG")
        self._control.execute(make.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def _drop(self, name: str) -> None:
        if (session := self._kept.pop(name, None)) is not None:
            session.close()
        self._control.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def _emptied(self, name: str) -> bool:
        """Bring a database back to what it was. Returns False when that cannot be done."""
        try:
            session = self._session(name)
            self._control.execute(END_SESSIONS, [name, session.info.backend_pid, BETWEEN])
            (spoilt,) = session.execute(WHETHER_SPOILT, [LARGEST_BYTES]).fetchone() or (True,)
            if not spoilt and self._empty is not None:
                session.execute(self._empty)
            return not spoilt
        except psycopg.Error:
            return False

    def _session(self, name: str) -> psycopg.Connection[Any]:
        """Return the session that empties a database; a new one, should a test have ended it."""
        kept = self._kept.get(name)
        try:
            if kept is not None:
                kept.execute("SELECT")
                return kept
        except psycopg.Error:
            pass
        self._kept[name] = self._superuser(name)
        return self._kept[name]

    def _superuser(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.superuser_url, dbname=name, autocommit=True)

    def _url_of(self, name: str) -> str:
        return self.server.url.rpartition("/")[0] + f"/{name}"


def _way_back(session: psycopg.Connection[Any]) -> sql.Composed:
    """Keep the rows that the migrations wrote, and return what brings any database to just these.

    As a replica: foreign keys do not count, and neither do the triggers that let a table only grow.
    """
    session.execute("CREATE SCHEMA kept")
    steps: list[sql.Composable] = [sql.SQL("SET lock_timeout = '5s'; SET session_replication_role = replica")]
    for (name,) in session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
        table = sql.Identifier(name)
        steps.append(sql.SQL("DELETE FROM public.{}").format(table))
        if session.execute(sql.SQL("SELECT FROM public.{}").format(table)).fetchone() is not None:
            session.execute(sql.SQL("CREATE TABLE kept.{} AS TABLE public.{}").format(table, table))
            steps.append(sql.SQL("INSERT INTO public.{} OVERRIDING SYSTEM VALUE TABLE kept.{}").format(table, table))
    for (name,) in session.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'").fetchall():
        where = sql.SQL("SELECT last_value, is_called FROM public.{}").format(sql.Identifier(name))
        at = session.execute(where).fetchone()
        assert at is not None, "a sequence has one row"
        steps.append(sql.SQL("SELECT setval({}, {}, {})").format(sql.Literal(f"public.{name}"), *map(sql.Literal, at)))
    return sql.SQL("; ").join(steps)
