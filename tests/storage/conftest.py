"""A deployment for each test of storage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from storage.embedded import Postgres
from tests.storage.deployment import Deployment


@pytest.fixture
def deployment(database_url: str) -> Iterator[Deployment]:
    """A fresh, migrated database with the small policy."""
    made = Deployment(database_url)
    yield made
    made.close()


@pytest.fixture
def superuser(postgres_server: Postgres, deployment: Deployment) -> Iterator[psycopg.Connection[Any]]:
    """A session on the deployment's database that may do anything, in autocommit."""
    database = deployment.url.rpartition("/")[2]
    with psycopg.connect(postgres_server.superuser_url, dbname=database, autocommit=True) as session:
        yield session
