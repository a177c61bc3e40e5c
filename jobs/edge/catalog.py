"""The edge of a deployment. Without an edge file: a zone file under the data directory, and no proxy."""

from __future__ import annotations

from typing import Final

from jobs.edge.base import Edge, Site
from jobs.edge.records import Dns, Zone
from jobs.edge.zonefile import ZoneFile
from storage.settings import Settings

SERVICES: Final = {"game": "_minecraft._tcp"}
DEFAULT_ZONE: Final = "servers.internal"
DEFAULT_TTL: Final = 300
DEFAULT_LOOK_SECONDS: Final = 15.0
DEFAULT_OWNER: Final = "forbear"


def edge_of(settings: Settings) -> Edge:
    """Put together what leads to servers; opens no connection yet."""
    zone = Zone(DEFAULT_ZONE, DEFAULT_TTL, DEFAULT_OWNER)
    store = ZoneFile(zone, settings.data_dir / "edge" / f"{zone.name}.zone")
    return Edge({"local": Site("127.0.0.1")}, SERVICES, Dns(zone, store), look_every_seconds=DEFAULT_LOOK_SECONDS)
