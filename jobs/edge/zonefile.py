"""Records in a zone file of this machine, which any name server can load. What others wrote into it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.edge.base import EdgeUnavailable
from jobs.edge.files import locked, replace_file, trouble_of
from jobs.edge.records import Change, Record, Zone

if TYPE_CHECKING:
    import dns.zone

MOST_BYTES = 64 * 1024 * 1024
HEAD = """\
; Kept by Forbear. Records beside a `_forbear` TXT are its own; others may stand here too, their comments do not last.
$ORIGIN {zone}.
$TTL {ttl}
"""
FIRST = """\
@ SOA localhost. hostmaster.localhost. 1 3600 900 1209600 60
@ NS localhost.
"""


class ZoneFile:
    """The zone file. Changes are made one after the other, and each replaces the file at once."""

    name = "zone file"

    def __init__(self, zone: Zone, path: Path) -> None:
        self.zone = zone
        self.path = path
        self._read_at: tuple[int, int, int] | None = None
        self._records: list[Record] = []

    def read(self) -> list[Record]:
        """Return what the file holds; a file that has not changed is not parsed again."""
        from jobs.edge.zone_text import records_in

        with trouble_of(self.name, self.path):
            stamp = self._stamp()
        if stamp is None:
            return []
        if stamp != self._read_at:
            self._records = records_in(self._parsed())
            self._read_at = stamp
        return list(self._records)

    def edit(self, decide: Callable[[list[Record]], Change | None]) -> None:
        """Read, decide and write while nobody else does."""
        import dns.exception

        from jobs.edge.zone_text import absolute, rdata_of, records_in

        with trouble_of(self.name, self.path), locked(self.path):
            zone = self._parsed()
            change = decide(records_in(zone))
            if change is None:
                return
            assert zone.origin is not None
            with zone.writer() as changes:
                for record in change.remove:
                    changes.delete(absolute(record.name, zone.origin), rdata_of(record, zone.origin))
                for record in change.add:
                    changes.add(absolute(record.name, zone.origin), record.ttl, rdata_of(record, zone.origin))
                try:
                    changes.update_serial(name=zone.origin)
                except (KeyError, dns.exception.DNSException) as error:
                    raise EdgeUnavailable(self.name, f"its zone cannot be given a new serial: {error}") from error
            self._write(zone)

    def _parsed(self) -> dns.zone.Zone:
        import dns.exception
        import dns.zone

        head = HEAD.format(zone=self.zone.name, ttl=self.zone.ttl)
        try:
            with self.path.open("rb") as stream:
                text = stream.read(MOST_BYTES + 1).decode("utf-8")
        except FileNotFoundError:
            text = head + FIRST
        except UnicodeDecodeError as error:
            raise EdgeUnavailable(self.name, "the file is no UTF-8 text; put it right, or move it away") from error
        if len(text) > MOST_BYTES:
            raise EdgeUnavailable(self.name, f"the file is larger than {MOST_BYTES // 1024 // 1024} MiB")
        try:
            zone = dns.zone.from_text(text, origin=f"{self.zone.name}.", relativize=False, check_origin=True)
        except (dns.exception.DNSException, ValueError) as error:
            reason = f"the file cannot be read: {error}; put it right, or move it away"
            raise EdgeUnavailable(self.name, reason) from error
        return zone

    def _write(self, zone: dns.zone.Zone) -> None:
        text = HEAD.format(zone=self.zone.name, ttl=self.zone.ttl) + zone.to_text(relativize=True)
        replace_file(self.path, text.encode())

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
