"""Between dnspython's zones and our records. Imported only where a zone is read or written."""

from __future__ import annotations

import dns.name
import dns.node
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.zone
from dns.rdtypes.ANY.TXT import TXT

from jobs.edge.records import Record

READ = {"A", "AAAA", "CNAME", "SRV", "TXT"}


def records_in(zone: dns.zone.Zone) -> list[Record]:
    """Return the records of a zone that can lead somewhere or say whose they are."""
    origin = zone.origin
    assert origin is not None
    found = []
    for name, ttl, rdata in zone.iterate_rdatas():
        kind = dns.rdatatype.to_text(rdata.rdtype)
        if kind in READ:
            relative = name.relativize(origin).to_text().lower()
            found.append(Record(relative, kind, _value(rdata, origin), ttl))
    return found


def absolute(name: str, origin: dns.name.Name) -> dns.name.Name:
    """Return a name of the zone with its end."""
    return dns.name.from_text(name, origin)


def rdata_of(record: Record, origin: dns.name.Name) -> dns.rdata.Rdata:
    """Return a record's value as the wire has it."""
    text = '"' + record.value.replace("\\", "\\\\").replace('"', '\\"') + '"' if record.type == "TXT" else record.value
    return dns.rdata.from_text(dns.rdataclass.IN, record.type, text, origin=origin, relativize=False)


def _value(rdata: dns.rdata.Rdata, origin: dns.name.Name) -> str:
    if isinstance(rdata, TXT):
        return b"".join(rdata.strings).decode("utf-8", "replace")
    return rdata.to_text(origin=origin, relativize=False).lower()
