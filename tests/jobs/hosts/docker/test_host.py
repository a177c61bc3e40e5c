"""The Docker host under the contract of all hosts, on an Engine that speaks the real API."""

from __future__ import annotations

from tests.jobs.hosts.contract import HostContract, NoTenancyContract


class TestDockerHost(HostContract, NoTenancyContract):
    """`empty_host` is a fixture of this folder."""
