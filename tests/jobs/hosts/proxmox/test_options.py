"""What the hosts file may tell a Proxmox host: every mistake is said with its place and a likely fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.hosts.base import HostMisconfigured, HostUnavailable
from jobs.hosts.proxmox import ProxmoxHost
from jobs.hosts.proxmox.options import ProxmoxOptions
from tests.doubles.proxmox import ProxmoxDouble
from tests.doubles.proxmox_http import SECRET
from tests.jobs.hosts.proxmox.conftest import Reached, written

QEMU = {"type": "qemu", "template": "local:vztmpl/debian.tar.zst"}

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"url": "http://127.0.0.1:8006"}, "`url`: expected an address such as `https://pve1.example.com:8006`"),
    ({"url": "https://127.0.0.1:8006/api2/json"}, "`url`: expected an address"),
    ({"url": "https://127.0.0.1:99999"}, "its port is none; often it is 8006"),
    ({"url": "https://root:password@pve1"}, "`url`: expected an address"),
    ({"url": None}, "'url' is a required property"),
    ({"token": "root@pam"}, "`token`: expected the name of an API token, such as"),
    ({"token": "root@pam!a=5ecre7"}, "`token`: expected the name of an API token, such as"),
    ({"secret_variable": None}, "named by one of `secret_variable` and `secret_file`"),
    ({"secret_file": "/run/secret"}, "named by one of `secret_variable` and `secret_file`"),
    ({"secret_variable": "a-secret!"}, "the name of an environment variable, not the secret itself"),
    ({"secret_variable": "NOT_SET_ANYWHERE"}, "the variable `NOT_SET_ANYWHERE` holds no secret"),
    ({"secret_variable": None, "secret_file": "/nowhere"}, "the file `/nowhere` cannot be read"),
    ({"ca_file": "/nowhere"}, "`ca_file` names `/nowhere`, and there is no such file"),
    ({"verify_tls": False}, "`ca_file` checks certificates and `verify_tls` turns that off; remove one"),
    ({"vmids": {"first": 9, "last": 99}}, "`vmids.first`: 9 is less than the minimum of 100"),
    ({"vmids": {"first": 900, "last": 800}}, "`first` is 900, which is after `last`, 800; swap them"),
    ({"kinds": {}}, "`kinds`: expected at least one of `game` and `dev`"),
    (
        {"kinds": {"game": {"type": "lxc"}}},
        "`kinds.game`: expected a map with `type` and one of `template` and `clone`",
    ),
    ({"kinds": {"game": {"type": "kvm", "clone": 900}}}, "`kinds.game.type`: expected `lxc` for a container"),
    ({"kinds": {"game": QEMU}}, "virtual machines are copies; name the guest in `clone`"),
    ({"nodes": "pve1"}, "`nodes`: expected a list of the nodes"),
    ({"storage": "a/../b"}, "`storage`: expected a name of letters"),
    ({"timeouts": {"request": 0}}, "`timeouts.request`"),
    ({"password": "x"}, "'password' was unexpected"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_a_mistake_is_told(cluster: ProxmoxDouble, options: dict[str, Any], told: str) -> None:
    with pytest.raises(HostMisconfigured) as wrong:
        ProxmoxHost.from_options("pve", written(cluster, **options))
    assert str(wrong.value).startswith("host `pve` is not set up: ")
    assert told in str(wrong.value)
    assert SECRET not in str(wrong.value)


def test_the_secret_may_stand_in_a_file_and_is_never_shown(cluster: ProxmoxDouble, tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    given = written(cluster, secret_variable=None, secret_file=str(file))
    assert ProxmoxHost.from_options("pve", given).observe_all() == {}
    assert SECRET not in repr(ProxmoxOptions.checked("pve", given))


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_a_certificate_of_nobody_known_is_refused(cluster: ProxmoxDouble, reached: Reached) -> None:
    with pytest.raises(HostUnavailable, match="its certificate cannot be checked"):
        reached(ca_file=None).observe_all()
    assert cluster.calls == [], "the token was not sent"
    assert reached(ca_file=None, verify_tls=False).observe_all() == {}


def test_no_connection_is_opened_before_something_is_asked(cluster: ProxmoxDouble, reached: Reached) -> None:
    reached()
    assert cluster.calls == []
    cluster.close()
    with pytest.raises(HostUnavailable, match="the connection failed"):
        reached().observe_all()
