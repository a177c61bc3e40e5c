"""Whom we talk to on a customer's word: public addresses alone, whatever they are written like."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address

import pytest

from jobs.letters.public_address import AddressRefused, is_public, public_address, target_of

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.8", "198.18.0.1", "192.0.2.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1",
    "fc00::1", "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
    "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe", "2001:db8::1", "fec0::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "::ffff:8.8.8.8"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(ip_address(address))
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(AddressRefused):
        target_of(f"https://{host}/")


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_fine(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hooks.example.org",
        "http://hooks.example.org/",
        "ftp://hooks.example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "https://user@hooks.example.org/",
        "https://user:pass@hooks.example.org/",
        "https://hooks.example.org:22/",
        "https://hooks.example.org:99999/",
        "https://hooks.example.org:x/",
        "https://hooks.example.org/\r\nX: y",
        "https://hooks.example.org\\@127.0.0.1/",
        "https://hooks example.org/",
        "https://hööks.example.org/",
        "https://[::1/",
        f"https://hooks.example.org/{'x' * 500}",
    ],
)
def test_what_is_no_address_for_us_is_refused(url: str) -> None:
    with pytest.raises(AddressRefused):
        target_of(url)


def test_a_target_keeps_name_port_and_path() -> None:
    target = target_of("https://Hooks.example.org:8443/in/a?b=c#d")
    assert (target.host, target.port, target.path) == ("hooks.example.org", 8443, "/in/a?b=c")
    assert target.authority == "hooks.example.org:8443"
    assert target_of("https://hooks.example.org").authority == "hooks.example.org"


@pytest.mark.parametrize("host", ["localhost", "127.1", "2130706433", "0x7f.1", "017700000001"])
def test_a_name_that_leads_home_is_refused_once_it_is_resolved(host: str) -> None:
    with pytest.raises((AddressRefused, OSError)):
        asyncio.run(public_address(target_of(f"https://{host}/")))
