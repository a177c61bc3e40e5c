"""The Proxmox host under the contract of all hosts, with containers and with virtual machines."""

from __future__ import annotations

import pytest

from jobs.hosts.base import Host
from jobs.hosts.proxmox import ProxmoxHost
from tests.doubles.proxmox import ProxmoxDouble
from tests.jobs.hosts.contract import BackupsContract, LifecycleContract
from tests.jobs.hosts.contract_telling import NoTenancyContract
from tests.jobs.hosts.proxmox.conftest import Reached


class TestContainers(BackupsContract, LifecycleContract, NoTenancyContract):
    @pytest.fixture
    def empty_host(self, cluster: ProxmoxDouble, host: ProxmoxHost) -> ProxmoxHost:
        self.cluster = cluster
        return host

    def _vmid(self) -> int:
        return next(vmid for vmid, each in self.cluster.guests.items() if self.SPEC.server_id in each.config["tags"])

    def put(self, host: Host, text: str) -> None:
        self.cluster.guests[self._vmid()].disk = text

    def held(self, host: Host) -> str:
        return self.cluster.guests[self._vmid()].disk


class TestVirtualMachines(TestContainers):
    @pytest.fixture
    def empty_host(self, cluster: ProxmoxDouble, reached: Reached) -> ProxmoxHost:
        self.cluster = cluster
        config = {"name": "golden", "template": "1", "tags": "golden", "onboot": "1"}
        cluster.add(900, type="qemu", config=config)
        return reached(kinds={"game": {"type": "qemu", "clone": 900, "cores": 2, "memory_mb": 2048}})
