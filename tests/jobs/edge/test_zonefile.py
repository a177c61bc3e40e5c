"""The zone file: kept whole, shared with its operator, and never overwritten when it cannot be read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import dns.zone
import pytest

from jobs.edge.base import EdgeUnavailable
from jobs.edge.records import Dns, Record
from jobs.edge.zonefile import ZoneFile
from tests.jobs.edge.entries import ADA, ZONE, entry, lines
from tests.jobs.edge.names_contract import NamesContract

HEAD = "$ORIGIN play.example.net.\n$TTL 600\n@ SOA ns hostmaster 7 1 1 1 1\n@ NS ns\nns A 192.0.2.53\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "edge" / "play.example.net.zone"


@pytest.fixture
def names(path: Path) -> Dns:
    return Dns(ZONE, ZoneFile(ZONE, path))


def file_of(names: Dns) -> Path:
    assert isinstance(names.store, ZoneFile)
    return names.store.path


class TestZoneFile(NamesContract):
    """The contract, on a file."""

    def put(self, names: Dns, *records: Record) -> None:
        path = file_of(names)
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else HEAD.replace("ns A 192.0.2.53\n", "")
        for record in records:
            value = f'"{record.value}"' if record.type == "TXT" else record.value
            text += f"{record.name} {record.ttl} IN {record.type} {value}\n"
        path.write_text(text)

    def remove(self, names: Dns, name: str, kind: str) -> None:
        path = file_of(names)
        kept = [
            line for line in path.read_text().splitlines() if not (line.startswith(f"{name} ") and f" {kind} " in line)
        ]
        path.write_text("\n".join(kept) + "\n")


def test_a_name_server_can_load_it_and_its_serial_grows(names: Dns, path: Path) -> None:
    names.publish(entry())
    first = dns.zone.from_file(str(path), origin="play.example.net.")
    names.publish(entry(port=1))
    second = dns.zone.from_file(str(path), origin="play.example.net.")
    assert second.get_soa().serial > first.get_soa().serial
    assert path.read_text().startswith("; Kept by Forbear")


def test_what_the_operator_wrote_stays(names: Dns, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(HEAD + "www 60 A 192.0.2.80\n@ MX 10 mail\n")
    path.chmod(0o640)
    names.publish(entry())
    names.withdraw(entry())
    zone = dns.zone.from_file(str(path), origin="play.example.net.")
    www = zone.get_rdataset("www", "A")
    assert www is not None
    assert www.ttl == 60
    assert zone.get_rdataset("@", "MX") is not None
    assert zone.get_soa().rname.to_text() == "hostmaster"
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    "damage", [b"", b"ada-1 A not-an-address\n", b"\xff\xfe", b"@ SOA only", HEAD.encode() + b"x A"]
)
def test_a_file_that_cannot_be_read_is_unknown_and_not_overwritten(names: Dns, path: Path, damage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(damage)
    with pytest.raises(EdgeUnavailable, match="zone file"):
        names.observe_all()
    with pytest.raises(EdgeUnavailable):
        names.publish(entry())
    with pytest.raises(EdgeUnavailable):
        names.withdraw(entry())
    assert path.read_bytes() == damage


def test_it_includes_no_other_file(names: Dns, path: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("stolen A 192.0.2.66\n")
    path.parent.mkdir()
    path.write_text(HEAD + f"$INCLUDE {secret}\n")
    with pytest.raises(EdgeUnavailable):
        names.observe_all()


def test_writers_at_once_lose_nothing(path: Path) -> None:
    def publish(number: int) -> None:
        Dns(ZONE, ZoneFile(ZONE, path)).publish(entry(str(UUID(int=number)), f"s-{number}"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(publish, range(1, 17)))
    assert len(Dns(ZONE, ZoneFile(ZONE, path)).observe_all().ours) == 16
    assert [each.name for each in path.parent.iterdir() if each.suffix == ".tmp"] == []


def test_a_file_is_parsed_again_only_when_it_has_changed(names: Dns, path: Path) -> None:
    names.publish(entry())
    first = names.observe_all()
    assert names.observe_all() == first
    Dns(ZONE, ZoneFile(ZONE, path)).withdraw(entry())
    assert dict(names.observe_all().ours) == {}


def test_a_record_of_the_customers_making_stays_text(names: Dns) -> None:
    assert names.expected(entry()) == lines()
    assert all("\n" not in line for line in names.expected(entry(ADA, "x")))
