"""Records at a name server that takes dynamic updates (RFC 2136), signed with a key (TSIG).

The key has to be allowed to transfer the zone and to update it. That a name is free, or still ours, is a prerequisite
of the update itself: the name server checks it in the same moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jobs.edge.base import EdgeTaken, EdgeUnavailable
from jobs.edge.records import Change, Record, Zone

TIMEOUT_SECONDS = 10.0
TRANSFER_SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class Tsig:
    """The key that signs what we ask."""

    name: str
    algorithm: str
    secret: str = field(repr=False)
    """Base64."""


class NameServer:
    """One zone at one name server."""

    def __init__(
        self, zone: Zone, address: str, port: int, key: Tsig, timeout_seconds: float = TIMEOUT_SECONDS
    ) -> None:
        self.zone = zone
        self.address = address
        self.port = port
        self.key = key
        self.timeout_seconds = timeout_seconds
        self.name = f"name server {address}"

    def read(self) -> list[Record]:
        """Transfer the zone. A transfer that breaks off is an error: the last record has to be the first one again."""
        import dns.query
        import dns.xfr
        import dns.zone

        from jobs.edge.zone_text import records_in

        zone = dns.zone.Zone(f"{self.zone.name}.", relativize=False)
        with self._trouble():
            query, _ = dns.xfr.make_query(zone, keyring=self._key())
            dns.query.inbound_xfr(
                self.address, zone, query, port=self.port, timeout=self.timeout_seconds, lifetime=TRANSFER_SECONDS
            )
        return records_in(zone)

    def edit(self, decide: Callable[[list[Record]], Change | None]) -> None:
        """Read, decide, and change on the condition that the name is still free, or still ours."""
        change = decide(self.read())
        if change is not None:
            self._update(change)

    def _update(self, change: Change) -> None:
        import dns.name
        import dns.query
        import dns.rcode
        import dns.update

        from jobs.edge.zone_text import absolute, rdata_of

        origin = dns.name.from_text(f"{self.zone.name}.")
        update = dns.update.UpdateMessage(origin, keyring=self._key())
        marker = absolute(change.marker.name, origin)
        if change.is_new:
            for name in sorted({change.label, change.marker.name} | {record.name for record in change.add}):
                update.absent(absolute(name, origin))
        else:
            update.present(marker, rdata_of(change.marker, origin))
        for record in change.remove:
            update.delete(absolute(record.name, origin), rdata_of(record, origin))
        for record in change.add:
            update.add(absolute(record.name, origin), record.ttl, rdata_of(record, origin))
        with self._trouble():
            answer = dns.query.tcp(update, self.address, port=self.port, timeout=self.timeout_seconds)
        if answer.rcode() == dns.rcode.YXDOMAIN:
            raise EdgeTaken(self.name, f"{change.label}.{self.zone.name}", "a record")
        if answer.rcode() != dns.rcode.NOERROR:
            raise EdgeUnavailable(self.name, f"it answered {dns.rcode.to_text(answer.rcode())} to an update")

    def _key(self) -> object:
        import dns.tsig

        return dns.tsig.Key(self.key.name, self.key.secret, self.key.algorithm)

    @contextmanager
    def _trouble(self) -> Iterator[None]:
        import dns.exception

        try:
            yield
        except (dns.exception.DNSException, OSError, EOFError, ValueError) as error:
            words = str(error) or type(error).__name__
            raise EdgeUnavailable(self.name, words[:200]) from error
