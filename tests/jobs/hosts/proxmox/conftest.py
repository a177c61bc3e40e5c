"""A cluster for each test, and hosts that reach it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from jobs.hosts.proxmox import ProxmoxHost
from jobs.hosts.proxmox.options import ProxmoxOptions
from tests.doubles.proxmox import SECRET, ProxmoxDouble

Reached = Callable[..., ProxmoxHost]


def options_for(cluster: ProxmoxDouble, **options: Any) -> ProxmoxOptions:
    """Return what reaches a cluster, with short patience."""
    checked = ProxmoxOptions.checked("pve", cluster.options(secret_variable="PVE_SECRET", **options))
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
