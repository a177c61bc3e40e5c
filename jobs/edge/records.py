"""DNS records of servers: which there should be, whose those are that there are, and what has to change.

Beside each server's records stands a TXT record at `_forbear.NAME` that says whose they are. A name without it is
somebody else's, and nothing under it is touched.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from jobs.edge.base import EdgeTaken, Entry, Look

MARKER: Final = "_forbear"
HERITAGE: Final = re.compile(r"heritage=forbear,owner=([a-z0-9-]{1,63}),server=([0-9a-f-]{36})")
TELLING: Final = frozenset({"A", "AAAA", "CNAME", "SRV"})  # what leads somebody somewhere


@dataclass(frozen=True, slots=True, order=True)
class Record:
    """One record. Names are relative to the zone, in small letters."""

    name: str
    type: str
    value: str
    """As written in a zone file, targets with their last dot; of TXT the text itself."""
    ttl: int

    def __str__(self) -> str:
        return f"{self.name} {self.ttl} {self.type} {self.value}"


@dataclass(frozen=True, slots=True)
class Change:
    """What has to change under one label. `marker` says whose it is; `is_new`: nothing may stand under it before."""

    label: str
    marker: Record
    is_new: bool
    add: tuple[Record, ...]
    remove: tuple[Record, ...]


class ZoneStore(Protocol):
    """Where records are kept. `decide` is given every record there is, and says what to change, or nothing."""

    @property
    def name(self) -> str:
        """What operators call it."""

    def read(self) -> list[Record]:
        """Return every record of the zone. Raises EdgeUnavailable when they are not all there."""

    def edit(self, decide: Callable[[list[Record]], Change | None]) -> None:
        """Read, decide and change, as nearly at once as the store can. Raises EdgeUnavailable, EdgeTaken."""


@dataclass(frozen=True, slots=True)
class Zone:
    """Which zone records are made in, and how."""

    name: str
    """Without its last dot."""
    ttl: int
    owner: str
    """Tells this deployment from another one in the same zone."""


class Dns:
    """The driver for names, over any store of records."""

    def __init__(self, zone: Zone, store: ZoneStore) -> None:
        self.zone = zone
        self.store = store

    @property
    def name(self) -> str:
        """What operators call it."""
        return self.store.name

    def expected(self, entry: Entry) -> frozenset[str]:
        """Return the records that an entry is made of, as text."""
        return frozenset(str(record) for record in records_of(entry, self.zone))

    def publish(self, entry: Entry) -> None:
        """Make the entry's records stand, and no others of ours beside them."""
        wanted = records_of(entry, self.zone)

        def decide(there: list[Record]) -> Change | None:
            ours, taken = sorted_by_owner(there, self.zone)
            marker, had = marker_of(entry, self.zone), ours.get(entry.server_id, frozenset())
            marked = {record.name: server_id for server_id, records in ours.items() for record in records}
            if marked.get(marker.name, entry.server_id) != entry.server_id:
                taken = {entry.label: "records of another server"}
            if entry.label in taken:
                raise EdgeTaken(self.name, f"{entry.label}.{self.zone.name}", taken[entry.label])
            if had == wanted:
                return None
            is_new = marker.name not in marked
            return Change(entry.label, marker, is_new, tuple(sorted(wanted - had)), tuple(sorted(had - wanted)))

        self.store.edit(decide)

    def withdraw(self, entry: Entry) -> None:
        """Remove every record that is marked as this server's."""

        def decide(there: list[Record]) -> Change | None:
            had = sorted_by_owner(there, self.zone)[0].get(entry.server_id, frozenset())
            marker = next((record for record in had if record.name.startswith(f"{MARKER}.")), None)
            if marker is None:
                return None
            return Change(marker.name.removeprefix(f"{MARKER}."), marker, False, (), tuple(sorted(had)))

        self.store.edit(decide)

    def observe_all(self) -> Look:
        """Return the records of every server of ours."""
        ours, taken = sorted_by_owner(self.store.read(), self.zone)
        lines = {server_id: frozenset(str(record) for record in records) for server_id, records in ours.items()}
        return Look(lines, frozenset(taken))


def records_of(entry: Entry, zone: Zone) -> frozenset[Record]:
    """Return the records that lead to a server: its address, its service when the port is known, and whose they are."""
    kind = "AAAA" if ipaddress.ip_address(entry.address).version == 6 else "A"
    records = {Record(entry.label, kind, entry.address, zone.ttl), marker_of(entry, zone)}
    if entry.service and entry.port:
        target = f"0 0 {entry.port} {entry.label}.{zone.name}."
        records.add(Record(f"{entry.service}.{entry.label}", "SRV", target, zone.ttl))
    return frozenset(records)


def marker_of(entry: Entry, zone: Zone) -> Record:
    """Return the record that says whose the others are."""
    text = f"heritage=forbear,owner={zone.owner},server={entry.server_id}"
    return Record(f"{MARKER}.{entry.label}", "TXT", text, zone.ttl)


def sorted_by_owner(records: Iterable[Record], zone: Zone) -> tuple[Mapping[str, frozenset[Record]], Mapping[str, str]]:
    """Return our records by server, and what others have, by label.

    What has no marker of ours, or the marker of another deployment, is others'.
    """
    records = list(records)
    owners: dict[str, str] = {}
    others: dict[str, str] = {}
    for record in records:
        base = _base(record.name)
        if record.type == "TXT" and record.name == f"{MARKER}.{base}":
            found = HERITAGE.fullmatch(record.value)
            if found is None or found[1] != zone.owner or owners.get(base, found[2]) != found[2]:
                others[base] = f"a mark `{record.value[:100]}`"
            else:
                owners[base] = found[2]
    ours: dict[str, set[Record]] = {}
    for record in records:
        base = _base(record.name)
        is_marker = record.type == "TXT" and record.name == f"{MARKER}.{base}"
        if not is_marker and record.type not in TELLING:
            continue
        if base in owners and base not in others:
            ours.setdefault(owners[base], set()).add(record)
        elif not is_marker:
            others.setdefault(base, f"a record {record.type} {record.value[:100]}")
    return {server_id: frozenset(found) for server_id, found in ours.items()}, others


def _base(name: str) -> str:
    """Return the name that a service or a mark is about: what follows the parts with an underscore."""
    parts = name.split(".")
    while len(parts) > 1 and parts[0].startswith("_"):
        parts.pop(0)
    return ".".join(parts)
