"""The Docker host under the contract of all hosts, on an Engine that speaks the real API."""

from __future__ import annotations

from tests.jobs.hosts.contract import HostContract
from tests.jobs.hosts.contract_telling import NoTenancyContract, PortContract


class TestDockerHost(HostContract, NoTenancyContract, PortContract):
    """`empty_host` is a fixture of this folder."""

    def assert_reached(self, port: int | None) -> None:
        assert port == 32_768 + 565, "where the Engine published it"
