"""A floor with names and a proxy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.edge.base import Edge, Site
from tests.doubles.edge import DriverDouble
from tests.jobs.floor import Floor


@pytest.fixture
def names() -> DriverDouble:
    return DriverDouble("names")


@pytest.fixture
def proxy() -> DriverDouble:
    return DriverDouble("proxy")


@pytest.fixture
def edged(floor: Floor, names: DriverDouble, proxy: DriverDouble) -> Floor:
    """A floor whose servers have an edge."""
    sites = {"local": Site("192.0.2.10", 25565)}
    floor.context = replace(floor.context, edge=Edge(sites, {"game": "_minecraft._tcp"}, names, proxy))
    return floor
