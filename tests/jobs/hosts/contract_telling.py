"""What hosts tell of their servers, since when there are and where they are reached: further parts of the contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.hosts.base import Host, NotOffered, ServerMissing
from tests.jobs.hosts.contract_floor import ContractFloor
from tests.jobs.hosts.waiting import eventually


class TenancyContract(ContractFloor):
    """What metering asks, on hosts that can tell."""

    def test_a_tenant_is_as_old_as_its_server_and_suspended_until_it_is_started(self, created: Host) -> None:
        (tenant,) = created.tenants()
        assert (tenant.server_id, tenant.packages) == (self.SPEC.server_id, ())
        assert abs(datetime.now(UTC) - tenant.created_at) < timedelta(minutes=1)
        assert tenant.suspended_at is not None
        created.start(self.SPEC)
        assert created.tenants() == [replace(tenant, suspended_at=None)]

    def test_a_suspension_begins_with_the_first_stop_and_ends_with_the_start(self, started: Host) -> None:
        began = datetime.now(UTC).replace(microsecond=0)
        started.stop(self.SPEC, self.STOP_SECONDS)
        first = started.tenant(self.SPEC).suspended_at
        started.kill(self.SPEC)
        assert first is not None
        assert first >= began
        assert started.tenant(self.SPEC).suspended_at == first
        started.start(self.SPEC)
        assert started.tenant(self.SPEC).suspended_at is None

    def test_packages_are_what_was_last_set_whatever_happens_to_the_server(self, created: Host) -> None:
        assert created.set_packages(self.SPEC, ["voice", "backups-daily", "voice"]).packages == (
            "backups-daily",
            "voice",
        )
        created.start(self.SPEC)
        assert created.set_packages(self.SPEC, ["voice"]) == created.tenant(self.SPEC)
        created.stop(self.SPEC, self.STOP_SECONDS)
        assert created.tenants()[0].packages == ("voice",)
        assert created.set_packages(self.SPEC, []).packages == ()

    def test_a_server_that_is_gone_or_was_never_made_is_no_tenant(self, created: Host) -> None:
        created.destroy(self.SPEC)
        assert created.tenants() == []
        with pytest.raises(ServerMissing):
            created.tenant(self.SPEC)
        with pytest.raises(ServerMissing):
            created.set_packages(self.SPEC, ["voice"])


class PortContract(ContractFloor):
    """Hosts that know where a server is reached."""

    def test_a_running_server_is_reached_on_a_port_and_one_that_is_down_on_none(self, started: Host) -> None:
        eventually(lambda: started.observe(self.SPEC).port is not None)
        port = started.observe(self.SPEC).port
        assert started.observe_all()[self.SPEC.server_id].port == port
        self.assert_reached(port)
        assert started.stop(self.SPEC, self.STOP_SECONDS).port is None
        assert started.observe_all()[self.SPEC.server_id].port is None

    def assert_reached(self, port: int | None) -> None:
        """See that the port is the one."""
        raise NotImplementedError


class NoTenancyContract(ContractFloor):
    """Hosts that cannot tell what metering asks."""

    def test_what_metering_asks_is_said_not_to_be_offered(self, created: Host) -> None:
        for ask in (created.tenants, lambda: created.tenant(self.SPEC), lambda: created.set_packages(self.SPEC, [])):
            with pytest.raises(NotOffered):
                ask()
