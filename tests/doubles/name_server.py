"""A name server for one zone over TCP: transfers, dynamic updates with their prerequisites, and signatures (TSIG)."""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.update
import dns.zone

from jobs.edge.records import Record
from jobs.edge.zone_text import absolute, rdata_of
from tests.doubles.listener import Listener, handler_of, take

SECRET = "c2VjcmV0IG9mIHRoZSBkb3VibGU="
KEY = dns.tsig.Key("forbear", SECRET, "hmac-sha256")
Fault = Literal["", "refuse", "cut_transfer", "hang_up", "servfail_update", "garbage"]


@dataclass
class NameServerDouble:
    """Use as a context manager. `fault` may be changed at any moment."""

    zone_name: str
    fault: Fault = ""
    hangs: threading.Event | None = None
    """No answer before this is set."""
    before_update: Any = None
    """Called once, right before an update is looked at: what somebody else does meanwhile."""
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        origin = dns.name.from_text(f"{self.zone_name}.")
        text = "@ 3600 SOA localhost. hostmaster.localhost. 1 3600 900 1209600 60\n@ 3600 NS localhost.\n"
        self.zone = dns.zone.from_text(text, origin=origin, relativize=False)
        self.origin = origin

    def put(self, *records: Record) -> None:
        """Hold these records from now on."""
        with self.zone.writer() as changes:
            for record in records:
                changes.add(absolute(record.name, self.origin), record.ttl, rdata_of(record, self.origin))

    def remove(self, name: str, kind: str) -> None:
        """Hold no records of this kind there any more."""
        with self.zone.writer() as changes:
            changes.delete(absolute(name, self.origin), dns.rdatatype.from_text(kind))

    def __enter__(self) -> Self:
        self._listener = Listener(handler_of(self.serve))
        return self

    def __exit__(self, *_: object) -> None:
        if self.hangs is not None:
            self.hangs.set()
        self._listener.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._listener.port

    def serve(self, connection: Any) -> None:
        """Answer what comes on one connection until it ends."""
        while True:
            (length,) = struct.unpack("!H", take(connection, 2))
            wire = take(connection, length)
            if self.hangs is not None:
                self.hangs.wait(30)
            if self.fault == "hang_up":
                return
            answer = b"\xff" * 20 if self.fault == "garbage" else self.answer(wire)
            connection.sendall(struct.pack("!H", len(answer)) + answer)
            if self.fault == "cut_transfer":
                return

    def answer(self, wire: bytes) -> bytes:
        """Return what a name server would."""
        try:
            query = dns.message.from_wire(wire, keyring=KEY)
        except dns.exception.DNSException:
            plain = dns.message.from_wire(wire, keyring=False)
            refused = dns.message.make_response(plain)
            refused.set_rcode(dns.rcode.NOTAUTH)
            refused.use_tsig(False)
            return refused.to_wire()
        answer = dns.message.make_response(query)
        if not query.had_tsig or self.fault == "refuse":
            answer.set_rcode(dns.rcode.REFUSED)
        elif isinstance(query, dns.update.UpdateMessage):
            self.asked.append("update")
            if self.before_update is not None:
                before, self.before_update = self.before_update, None
                before()
            answer.set_rcode(dns.rcode.SERVFAIL if self.fault == "servfail_update" else self._update(query))
        else:
            self.asked.append("transfer")
            answer.flags |= dns.flags.AA
            answer.answer = self._transfer()
        return answer.to_wire()

    def _transfer(self) -> list[dns.rrset.RRset]:
        soa = self.zone.get_rrset(self.origin, dns.rdatatype.SOA)
        assert soa is not None
        found = [soa]
        for name, rdataset in self.zone.iterate_rdatasets():
            if rdataset.rdtype != dns.rdatatype.SOA:
                found.append(dns.rrset.from_rdata_list(name, rdataset.ttl, list(rdataset)))
        return found if self.fault == "cut_transfer" else [*found, soa]

    def _update(self, update: dns.update.UpdateMessage) -> dns.rcode.Rcode:
        for wanted in update.prerequisite:
            node = self.zone.get_node(wanted.name)
            if wanted.deleting == dns.rdataclass.NONE and wanted.rdtype == dns.rdatatype.ANY:
                if node is not None:
                    return dns.rcode.YXDOMAIN
            elif node is None or set(node.get_rdataset(wanted.rdclass, wanted.rdtype) or ()) != set(wanted):
                return dns.rcode.NXRRSET
        with self.zone.writer() as changes:
            for change in update.update:
                for rdata in change:
                    if change.deleting is None:
                        changes.add(change.name, change.ttl, rdata)
                    else:
                        changes.delete(change.name, rdata)
        return dns.rcode.NOERROR
