"""A floor for each test of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.controller import Controller
from tests.jobs.floor import Floor


@pytest.fixture
def floor(database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Floor]:
    """A deployment of the shipped policy on a host that can be told to fail."""
    made = Floor(database_url, redis_url, tmp_path / "data")
    yield made
    made.close()


@pytest.fixture
def controller(floor: Floor) -> Controller:
    """A controller on that floor."""
    return floor.controller()
