"""A cluster for each test, and hosts that reach it: with much patience, but where it is sure to be waited out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.hosts.proxmox import ProxmoxHost
from jobs.hosts.proxmox.options import ProxmoxOptions
from tests.doubles.cluster import CERTIFICATE
from tests.doubles.proxmox import BACKUP_STORAGE, DISK_STORAGE, ProxmoxDouble
from tests.doubles.proxmox_http import SECRET, TOKEN

Reached = Callable[..., ProxmoxHost]
HASTY = {"request": 0.5, "start": 0.5, "force": 0.2, "create": 0.5, "backup": 0.5}
PATIENT = {**HASTY, "request": 30.0}


def written(cluster: ProxmoxDouble, **options: Any) -> dict[str, Any]:
    """Return what a hosts file says to reach a cluster; `None` leaves an option out."""
    given: dict[str, Any] = {
        "url": f"https://127.0.0.1:{cluster.port}",
        "token": TOKEN,
        "secret_variable": "PVE_SECRET",
        "ca_file": str(CERTIFICATE),
        "storage": DISK_STORAGE,
        "backup_storage": BACKUP_STORAGE,
        "kinds": {"game": {"type": "lxc", "template": "local:vztmpl/debian.tar.zst"}},
        "vmids": {"first": 1000, "last": 1999},
        "timeouts": PATIENT,
    }
    return {key: value for key, value in (given | options).items() if value is not None}


def options_for(cluster: ProxmoxDouble, **options: Any) -> ProxmoxOptions:
    """Return what reaches a cluster, with short patience."""
    checked = ProxmoxOptions.checked("pve", written(cluster, **options))
    return replace(checked, timeouts=replace(checked.timeouts, settle=0.05, margin=0.1, poll=0.05))


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxmoxDouble]:
    monkeypatch.setenv("PVE_SECRET", SECRET)
    made = ProxmoxDouble()
    made.serve()
    yield made
    made.close()


@pytest.fixture
def reached(cluster: ProxmoxDouble) -> Reached:
    """Make hosts with options that differ."""
    return lambda **options: ProxmoxHost("pve", options_for(cluster, **options))


@pytest.fixture
def host(cluster: ProxmoxDouble) -> ProxmoxHost:
    return ProxmoxHost("pve", options_for(cluster))
