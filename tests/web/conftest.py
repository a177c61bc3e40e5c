"""A site for each module of tests: they make tenants of their own, so they do not see each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest
from psycopg import sql

from storage.embedded import Postgres, Redis
from tests.web.site import Site, serving


@pytest.fixture(scope="module")
def site_database_url(
    postgres_server: Postgres, template_database: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The address of a fresh, migrated database that lives as long as a module's tests."""
    name = "site_" + request.module.__name__.rpartition(".")[2]
    database = sql.Identifier(name)
    with closing(psycopg.connect(postgres_server.superuser_url, autocommit=True)) as connection:
        make = sql.SQL("CREATE DATABASE {} OWNER forbear TEMPLATE {} STRATEGY FILE_COPY")
        connection.execute(make.format(database, sql.Identifier(template_database)))
        yield postgres_server.url.rpartition("/")[0] + f"/{name}"
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))


@pytest.fixture(scope="module")
def site(site_database_url: str, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application on a fresh database, served for real."""
    data = tmp_path_factory.mktemp("site") / "data with spaces"
    with serving(Site(site_database_url, redis_server.url, data)) as running:
        yield running
