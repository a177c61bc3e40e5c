"""A real name server takes our updates and loads our zone file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dns.exception
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.tsig
import dns.update
import pytest

from jobs.edge.base import EdgeTaken, EdgeUnavailable
from jobs.edge.records import Dns, Record
from jobs.edge.rfc2136 import NameServer, Tsig
from jobs.edge.zone_text import absolute, rdata_of
from jobs.edge.zonefile import ZoneFile
from tests.doubles.name_server import KEY, SECRET
from tests.jobs.edge.entries import ADA, ZONE, entry, lines
from tests.jobs.edge.names_contract import NamesContract

FILED = replace(ZONE, name="file.example.net")
CONFIG = """\
server:
    rundir: "{folder}/run"
    listen: 127.0.0.1@{port}
log:
  - target: stderr
    any: info
database:
    storage: "{folder}/database"
key:
  - id: forbear
    algorithm: hmac-sha256
    secret: {secret}
acl:
  - id: ours
    key: forbear
    action: [update, transfer]
template:
  - id: default
    storage: "{folder}"
zone:
  - domain: play.example.net
    file: updated.zone
    acl: ours
  - domain: file.example.net
    file: filed.zone
"""
EMPTY = "@ 3600 SOA ns.example.com. hostmaster.example.com. 1 3600 900 1209600 60\n@ 3600 NS ns.example.com.\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int, name: str, kind: str) -> list[str] | None:
    """Return what is answered to a question; None while nobody answers."""
    try:
        found = dns.query.udp(dns.message.make_query(name, kind), "127.0.0.1", port=port, timeout=0.5)
    except (dns.exception.Timeout, OSError):
        return None
    if found.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return None
    return [rdata.to_text() for rrset in found.answer for rdata in rrset]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A name server of its own with both zones; the filed one was published before it started."""
    found = shutil.which("knotd") or shutil.which("knotd", path="/usr/sbin:/sbin")
    assert found is not None, "knotd is missing; Debian and Ubuntu: apt-get install knot"
    number = free_port()
    for folder in ("run", "database"):
        (tmp_path / folder).mkdir()
    (tmp_path / "updated.zone").write_text(EMPTY)
    Dns(FILED, ZoneFile(FILED, tmp_path / "filed.zone")).publish(entry())
    (tmp_path / "knot.conf").write_text(CONFIG.format(folder=tmp_path, port=number, secret=SECRET))
    log = tmp_path / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen([found, "-c", str(tmp_path / "knot.conf")], stdout=stream, stderr=stream)
    try:
        give_up_at = time.monotonic() + 20
        while not all(answers(number, zone.name, "SOA") for zone in (ZONE, FILED)):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up_at, log.read_text()
            time.sleep(0.05)
        yield number
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def names(port: int) -> Dns:
    return Dns(ZONE, NameServer(ZONE, "127.0.0.1", port, Tsig("forbear", "hmac-sha256", SECRET)))


class TestKnot(NamesContract):
    """The contract, on Knot DNS."""

    def put(self, names: Dns, *records: Record) -> None:
        origin = dns.name.from_text(f"{ZONE.name}.")
        update = dns.update.UpdateMessage(origin, keyring=KEY)
        for record in records:
            update.add(absolute(record.name, origin), record.ttl, rdata_of(record, origin))
        self.send(names, update)

    def remove(self, names: Dns, name: str, kind: str) -> None:
        update = dns.update.UpdateMessage(f"{ZONE.name}.", keyring=KEY)
        update.delete(name, kind)
        self.send(names, update)

    def send(self, names: Dns, update: dns.update.UpdateMessage) -> None:
        assert isinstance(names.store, NameServer)
        answer = dns.query.tcp(update, "127.0.0.1", port=names.store.port, timeout=5)
        assert answer.rcode() == dns.rcode.NOERROR


def test_what_is_published_is_answered_and_what_is_withdrawn_is_not(names: Dns, port: int) -> None:
    names.publish(entry())
    assert answers(port, "ada-1.play.example.net", "A") == ["192.0.2.10"]
    assert answers(port, "_minecraft._tcp.ada-1.play.example.net", "SRV") == ["0 0 25570 ada-1.play.example.net."]
    names.withdraw(entry())
    assert answers(port, "ada-1.play.example.net", "A") == []


def test_a_zone_file_of_ours_is_loaded(port: int) -> None:
    assert answers(port, "ada-1.file.example.net", "A") == ["192.0.2.10"]
    assert answers(port, "_minecraft._tcp.ada-1.file.example.net", "SRV") == ["0 0 25570 ada-1.file.example.net."]
    assert answers(port, "_forbear.ada-1.file.example.net", "TXT") == [f'"heritage=forbear,owner=forbear,server={ADA}"']


def test_a_key_that_it_does_not_know_is_refused(port: int) -> None:
    wrong = Tsig("forbear", "hmac-sha256", "d3Jvbmcgd3Jvbmcgd3Jvbmc=")
    with pytest.raises(EdgeUnavailable):
        Dns(ZONE, NameServer(ZONE, "127.0.0.1", port, wrong)).publish(entry())
    assert answers(port, "ada-1.play.example.net", "A") == []


def test_a_name_that_somebody_takes_between_look_and_update_is_left_to_them(names: Dns, port: int) -> None:
    theirs = Record("ada-1", "A", "203.0.113.5", 600)
    store = names.store
    assert isinstance(store, NameServer)
    read = store.read

    class Late(NameServer):
        """Shows the zone as it was before somebody else was quicker."""

        def read(self) -> list[Record]:
            before = read()
            TestKnot().put(names, theirs)
            return before

    with pytest.raises(EdgeTaken):
        Dns(ZONE, Late(ZONE, "127.0.0.1", port, store.key)).publish(entry())
    assert {str(record) for record in read()} == {str(theirs)}
    assert lines() & {str(record) for record in read()} == set()
