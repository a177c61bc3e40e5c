"""Fixtures for every folder: a real PostgreSQL and a real Redis for each test process, emptied for each test.

Started only when a test asks for one, on folders of their own; nothing of the machine's environment reaches a test.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import closing

import hypothesis
import pytest
import redis

from storage.embedded import Postgres, Redis
from tests.databases import Databases

for name in [name for name in os.environ if name.startswith(("FORBEAR_", "STRIPE_", "BILLING_"))]:
    del os.environ[name]

# What is imported and collected stays: to look for garbage in it again and again took a tenth.
gc.set_threshold(10_000, 50, 50)

# The tests start some hundred Pythons: each would compile the whole project again where bytecode may not be written.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Who runs the tests in the background of a shell leaves SIGINT ignored, and what is started here would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline for single examples, nor for drawing them: a machine that is busy is no fault. The seed is printed, and
# may be given. The long searches are in `make soak`.
hypothesis.settings.register_profile(
    "forbear", deadline=None, max_examples=50, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("forbear")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Choose the seed of every property test once, also for the test processes that this one starts."""
    if config.option.hypothesis_seed is None:
        config.option.hypothesis_seed = str(random.randrange(2**32))


def pytest_report_header(config: pytest.Config) -> str:
    """Say how to run the same again."""
    return f"replay: make test ARGS=--hypothesis-seed={config.option.hypothesis_seed}"


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later look for garbage: that took a fifth."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A running PostgreSQL of this test process. It survives a kill, but not a power cut: fsync is off."""
    folder = tmp_path_factory.mktemp("postgres")
    server = Postgres.start(folder, durable=False)
    yield server
    server.stop()
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def databases(postgres_server: Postgres) -> Iterator[Databases]:
    """The databases of this test process, for fixtures that keep one for longer than a test."""
    made = Databases(postgres_server)
    yield made
    made.close()


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """The address of a fresh, migrated database; whoever is still connected afterwards is cut off."""
    with databases.lend() as url:
        yield url


@pytest.fixture
def empty_database_url(databases: Databases) -> Iterator[str]:
    """The address of a fresh database without any table, for the tests of migrations."""
    with databases.lend_bare() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A running Redis of this test process."""
    server = Redis.start(tmp_path_factory.mktemp("redis"))
    yield server
    server.stop()


_redis_numbers = itertools.cycle(range(1, 64))


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """The address of an empty Redis database of its own."""
    url = redis_server.url.removesuffix("/0") + f"/{next(_redis_numbers)}"
    with closing(redis.Redis.from_url(url)) as connection:
        connection.flushdb()
    return url
