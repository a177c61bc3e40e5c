"""A deployment for each test of storage, and the shipped policy to deploy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from storage import policies
from storage.embedded import Postgres
from storage.settings import SHIPPED_POLICY
from tests.factories import shipped_policy
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the shipped policy, to change."""
    return Path(shutil.copytree(SHIPPED_POLICY, tmp_path / "policy", ignore=shutil.ignore_patterns("schema")))


@pytest.fixture
def shipped(database_url: str) -> Iterator[Deployment]:
    """A deployment with the shipped policy in force."""
    made = Deployment(database_url, shipped_policy())
    policies.deploy_folder(made.database.engine, SHIPPED_POLICY, {}, "tests")
    yield made
    made.close()
