"""The edge file: what it may say, how its faults are told, and that secrets stay out of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobs.edge.base import Entry, Site
from jobs.edge.catalog import edge_of
from jobs.edge.cloudflare import CloudflareZone
from jobs.edge.records import Dns
from jobs.edge.rfc2136 import NameServer
from jobs.edge.velocity import Velocity
from jobs.edge.zonefile import ZoneFile
from jobs.operator_file import OperatorFileWrong
from storage.settings import Settings
from tests.jobs.edge.entries import ADA

ROOT = Path(__file__).resolve().parents[3]
SITES = "sites: {local: {address: 192.0.2.10}}\n"
SECRETS = {"FORBEAR_EDGE_KEY": "c2VjcmV0", "FORBEAR_EDGE_EMPTY": " "}


def settings(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "edge.yaml"
    file.write_text(text, encoding="utf-8")
    return Settings(database_url="postgresql://nowhere", data_dir=tmp_path, edge_file=file, edge_secrets=SECRETS)


def dns_file(driver: str, options: str, more: str = "") -> str:
    return SITES + f"dns: {{driver: {driver}, zone: play.example.net, {more} options: {options}}}\n"


def test_without_a_file_there_is_a_zone_file_and_no_proxy(tmp_path: Path) -> None:
    edge = edge_of(Settings(database_url="postgresql://nowhere", data_dir=tmp_path))
    assert isinstance(edge.dns, Dns)
    assert isinstance(edge.dns.store, ZoneFile)
    assert edge.dns.store.path == tmp_path / "edge" / "servers.internal.zone"
    assert (edge.proxy, edge.sites) == (None, {"local": Site("127.0.0.1")})


def test_ports_that_hosts_tell_are_told_on_where_somebody_is_led(tmp_path: Path) -> None:
    nobody = edge_of(Settings(database_url="postgresql://nowhere", data_dir=tmp_path))
    led = edge_of(settings(tmp_path, "sites: {local: {address: 192.0.2.10, port: 25565}}"))
    cases = ((0, None), (0, 40_000), (7, None), (7, 40_000))
    assert [nobody.port_of(*case) for case in cases] == [0, 0, 7, 7]
    assert [led.port_of(*case) for case in cases] == [0, 40_000, 7, 40_000]


def test_each_driver_is_made_of_its_options(tmp_path: Path) -> None:
    stores = {
        "zone_file": ("{file: /srv/zone}", ZoneFile),
        "rfc2136": ("{server: 192.0.2.53, key: forbear, secret: FORBEAR_EDGE_KEY}", NameServer),
        "cloudflare": (f"{{zone_id: {'0' * 31}a, token: FORBEAR_EDGE_KEY}}", CloudflareZone),
    }
    for driver, (options, kind) in stores.items():
        edge = edge_of(settings(tmp_path, dns_file(driver, options, "ttl: 1h, owner: two,")))
        assert isinstance(edge.dns, Dns)
        assert isinstance(edge.dns.store, kind)
        assert (edge.dns.zone.ttl, edge.dns.zone.owner) == (3600, "two")
        assert "c2VjcmV0" not in repr(edge)


def test_a_proxy_and_services_are_as_the_file_says(tmp_path: Path) -> None:
    text = """
sites: {local: {address: "2001:db8::1", port: 25565}}
services: {game: _minecraft._tcp, dev: _ssh._tcp}
look_every: 5m
proxy: {driver: velocity, options: {file: /srv/velocity.toml, password: FORBEAR_EDGE_KEY, domain: play.example.net}}
"""
    edge = edge_of(settings(tmp_path, text))
    assert isinstance(edge.proxy, Velocity)
    assert (edge.proxy.console, edge.proxy.domain, edge.dns) == (("127.0.0.1", 25575), "play.example.net", None)
    assert edge.look_every_seconds == 300
    assert edge.entry(ADA, "dev", "local", 0, "a") == Entry(ADA, "a", "2001:db8::1", 25565, "_ssh._tcp")
    assert edge.entry(ADA, "dev", "local", 7, "a") == Entry(ADA, "a", "2001:db8::1", 7, "_ssh._tcp")
    assert edge.entry(ADA, "dev", "elsewhere", 7, "a") is None


def test_the_example_can_be_used_also_with_what_it_only_mentions(tmp_path: Path) -> None:
    text = (ROOT / "examples" / "deploy" / "edge.yaml").read_text()
    names = {name: "c2VjcmV0" for name in re.findall(r"FORBEAR_EDGE_[A-Z_]+", text) if name != "FORBEAR_EDGE_FILE"}
    assert len(names) == 3
    chosen = "  driver: zone_file", "  options: {file"
    for driver in ("rfc2136", "cloudflare"):
        kept = [line for line in text.splitlines() if not line.startswith(chosen)]
        start = next(i for i, line in enumerate(kept) if line.startswith(f"  # driver: {driver}"))
        kept[start : start + 2] = [line.replace("# ", "", 1) for line in kept[start : start + 2]]
        start = next(i for i, line in enumerate(kept) if line.startswith("# proxy:"))
        kept[start:] = [line.removeprefix("# ") for line in kept[start:]]
        file = tmp_path / f"{driver}.yaml"
        file.write_text("\n".join(kept))
        edge = edge_of(Settings(database_url="", data_dir=tmp_path, edge_file=file, edge_secrets=names))
        assert edge.dns is not None
        assert edge.proxy is not None
    (tmp_path / "plain.yaml").write_text(text)
    edge = edge_of(Settings(database_url="", data_dir=tmp_path, edge_file=tmp_path / "plain.yaml"))
    assert edge.proxy is None


RFC = "{{server: 192.0.2.53, key: forbear, secret: {}}}"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: the file is empty"),
        ("dns: 3", "1:1: the key `sites` is missing"),
        ("sites: {}", "expected at least one host"),
        ("sites: {local: {address: example.com}}", "`example.com` is no IP address"),
        ("sites: {local: {address: 1.2.3.4, port: 0}}", "1:"),
        (SITES + "dns: {driver: bind, zone: a.example}", "2:15"),
        (SITES + "dns: {driver: zone_file, zone: Play.Example}", "expected a domain in small letters"),
        (SITES + 'dns: {driver: zone_file, zone: "a.example\\nb"}', "2:"),
        (dns_file("zone_file", "{}", "ttl: 10s,"), "between 30s and 1d"),
        (dns_file("zone_file", "{}", "ttl: 2d,"), "between 30s and 1d"),
        (dns_file("zone_file", "{file: relative}"), "a whole path"),
        (dns_file("zone_file", "{fil: /x}"), "fil"),
        (dns_file("rfc2136", "{}"), "server"),
        (dns_file("rfc2136", RFC.format("c2VjcmV0")), "the name of a variable of the environment"),
        (dns_file("rfc2136", RFC.format("FORBEAR_EDGE_NONE")), "the variable `FORBEAR_EDGE_NONE` is not set"),
        (dns_file("rfc2136", RFC.format("FORBEAR_EDGE_EMPTY")), "the variable `FORBEAR_EDGE_EMPTY` is not set"),
        (dns_file("cloudflare", "{zone_id: x, token: FORBEAR_EDGE_KEY}"), "the zone's id"),
        (SITES + "services: {game: minecraft}", "a service, such as `_minecraft._tcp`"),
        (SITES + "proxy: {driver: velocity, options: {file: /x}}", "password"),
        (SITES + "look_every: often", "a duration"),
        ("a: &x 1\nb: *x", "1:"),
    ],
)
def test_each_fault_is_told_with_its_place(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(OperatorFileWrong) as raised:
        edge_of(settings(tmp_path, text))
    assert fault in str(raised.value)
    assert re.search(r"edge\.yaml:\d+:\d+: ", str(raised.value))


def test_all_faults_come_at_once(tmp_path: Path) -> None:
    text = "sites: {a: {address: x}, b: {address: y}}\ndns: {driver: zone_file, zone: a.example, ttl: 1s}\n"
    with pytest.raises(OperatorFileWrong) as raised:
        edge_of(settings(tmp_path, text))
    assert len(raised.value.faults) == 3


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    for path in (tmp_path / "none.yaml", tmp_path):
        with pytest.raises(OperatorFileWrong, match="FORBEAR_EDGE_FILE"):
            edge_of(Settings(database_url="", data_dir=tmp_path, edge_file=path))
