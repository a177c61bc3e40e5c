"""What the host makes of each fault: it says what it observed or that it could not, and touches nobody else."""

from __future__ import annotations

import pytest

from jobs.hosts.base import HostError, ServerSpec
from tests.doubles.proxmox import Guest, ProxmoxDouble
from tests.jobs.hosts.proxmox.conftest import HASTY, Reached
from tests.jobs.hosts.proxmox.faults import ROWS, Row

SPEC = ServerSpec("5b2a4d0e-faults", "Ada's world", "game", 0)


@pytest.fixture
def guest(cluster: ProxmoxDouble) -> Guest:
    """Our server, running, with autostart on."""
    config = {"hostname": "forbear-5b2a4d0e-faults", "tags": f"forbear.1200.{SPEC.server_id}", "onboot": "1"}
    return cluster.add(1200, config=config, status="running")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_fault_ends_observed_or_is_said(cluster: ProxmoxDouble, reached: Reached, guest: Guest, row: Row) -> None:
    host = reached(timeouts=HASTY) if "hangs" in row.name else reached()
    row.begin(cluster, guest)
    strangers = {vmid: (each, each.status) for vmid, each in cluster.guests.items() if each is not guest}
    if row.sees == "nothing":
        with pytest.raises(HostError):
            host.observe_all()
    else:
        seen = host.observe_all().get(SPEC.server_id)
        assert ("missing" if seen is None else seen.observed) == row.sees
    if isinstance(row.ends, str):
        assert host.stop(SPEC, 0.2).observed == row.ends
        assert (guest.status == "stopped") is (row.ends == "stopped")
    else:
        with pytest.raises(HostError) as raised:
            host.stop(SPEC, 0.2)
        assert type(raised.value) is row.ends
        assert len(cluster.made("shutdown")) <= 1, "what may have been taken is not asked for twice"
    assert {vmid: (cluster.guests[vmid], cluster.guests[vmid].status) for vmid in strangers} == strangers
