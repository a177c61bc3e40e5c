"""A site for each module of tests: they make tenants of their own, so they do not see each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from storage.embedded import Redis
from tests.databases import Databases
from tests.web.site import Site, serving


@pytest.fixture(scope="module")
def site_database_url(databases: Databases) -> Iterator[str]:
    """The address of a fresh, migrated database that lives as long as a module's tests."""
    with databases.lend() as url:
        yield url


@pytest.fixture(scope="module")
def site(site_database_url: str, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The application on a fresh database, served for real."""
    data = tmp_path_factory.mktemp("site") / "data with spaces"
    with serving(Site(site_database_url, redis_server.url, data)) as running:
        yield running
