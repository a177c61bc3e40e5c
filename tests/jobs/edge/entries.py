"""Entries and zones for tests of the edge."""

from __future__ import annotations

from uuid import UUID

from jobs.edge.base import Entry
from jobs.edge.records import Zone

ZONE = Zone("play.example.net", 300, "forbear")
ADA = str(UUID(int=1))
BEN = str(UUID(int=2))


def entry(server_id: str = ADA, label: str = "ada-1", **changes: object) -> Entry:
    """Make an entry of a game server."""
    given: dict[str, object] = {"address": "192.0.2.10", "port": 25570, "service": "_minecraft._tcp", **changes}
    return Entry(server_id, label, **given)  # type: ignore[arg-type]


def lines(label: str = "ada-1", server_id: str = ADA, port: int = 25570, address: str = "192.0.2.10") -> set[str]:
    """Return what its records look like."""
    return {
        f"{label} 300 A {address}",
        f"_forbear.{label} 300 TXT heritage=forbear,owner=forbear,server={server_id}",
        f"_minecraft._tcp.{label} 300 SRV 0 0 {port} {label}.play.example.net.",
    }
