"""The Kubernetes host under the contract of all hosts, and what it does not offer."""

from __future__ import annotations

import pytest

from jobs.hosts.base import Host, HostFailed, NotOffered, ServerSpec
from jobs.hosts.kubernetes import KubernetesHost
from tests.doubles.kubernetes import KubernetesDouble
from tests.jobs.hosts.contract import LifecycleContract
from tests.jobs.hosts.contract_telling import TenancyContract


class TestKubernetesHost(LifecycleContract, TenancyContract):
    AUTOSTART_OUTLIVES_A_STOP = False

    @pytest.fixture
    def empty_host(self, cluster: KubernetesDouble, host: KubernetesHost) -> KubernetesHost:
        cluster.add("somebody-elses", {"app": "payroll"})
        self.cluster = cluster
        return host

    def put(self, host: Host, text: str) -> None:
        self._mine()["spec"]["kept"] = text

    def held(self, host: Host) -> str:
        return str(self._mine()["spec"]["kept"])

    def _mine(self) -> dict[str, dict[str, str]]:
        return self.cluster.resources[f"s-{self.SPEC.server_id}"]


class TestWithSlowOperator(TestKubernetesHost):
    """What is asked for comes about later, and is waited for."""

    @pytest.fixture
    def empty_host(self, cluster: KubernetesDouble, host: KubernetesHost) -> KubernetesHost:
        self.cluster = cluster
        cluster.lag_seconds = 0.03
        return host


SPEC = ServerSpec("server-1", "Ada's world", "game", 0)


def test_what_a_resource_cannot_tell_is_said_not_to_be_offered(host: KubernetesHost) -> None:
    for ask in (
        lambda: host.list_files(SPEC, "/"),
        lambda: host.open_upload(SPEC, "a"),
        lambda: host.send(SPEC, "list"),
        lambda: host.create_backup(SPEC, "b-1"),
        lambda: host.restore_backup(SPEC, "b-1"),
    ):
        with pytest.raises(NotOffered):
            ask()


def test_a_new_server_is_what_its_kind_says_and_is_marked_as_ours(
    cluster: KubernetesDouble, host: KubernetesHost
) -> None:
    host.create(SPEC)
    made = cluster.resources["s-server-1"]
    assert made["spec"] == {"size": "small", "image": {"name": "game", "tag": "1"}, "suspend": True, "packages": []}
    assert made["metadata"]["labels"] == {"forbear/server": "server-1"}
    assert host.tenant(SPEC).name == "Ada's world"


def test_a_tenant_that_somebody_else_has_made_is_ours_once_it_has_the_label(
    cluster: KubernetesDouble, host: KubernetesHost
) -> None:
    cluster.add("acme", {"forbear/server": "server-1"}, creationTimestamp="2025-02-03T04:05:06Z")
    cluster.edit("acme", {"packages": ["voice", "search"]})
    (tenant,) = host.tenants()
    assert (tenant.server_id, tenant.name, tenant.packages) == ("server-1", "acme", ("search", "voice"))
    assert tenant.created_at.isoformat() == "2025-02-03T04:05:06+00:00"
    assert host.stop(SPEC, 1).observed == "stopped"
    assert "s-server-1" not in cluster.resources


def test_two_that_make_the_same_server_make_one(cluster: KubernetesDouble, host: KubernetesHost) -> None:
    cluster.before["POST"] = lambda: cluster.add("s-server-1", {"forbear/server": "server-1"}, suspend=True)
    assert host.create(SPEC).observed == "stopped"
    assert list(cluster.resources) == ["s-server-1"]


def test_a_name_that_is_taken_by_another_is_said(cluster: KubernetesDouble, host: KubernetesHost) -> None:
    cluster.add("s-server-1", {"app": "payroll"})
    with pytest.raises(HostFailed, match="already exists"):
        host.create(SPEC)
    assert cluster.runs == {"s-server-1": True}


def test_a_fleet_is_seen_page_by_page(cluster: KubernetesDouble, host: KubernetesHost) -> None:
    cluster.page = 3
    for number in range(10):
        cluster.add(f"tenant-{number}", {"forbear/server": f"server-{number}"}, suspend=number % 2 == 0)
    cluster.expired_pages = 1
    seen = host.observe_all()
    assert len(seen) == 10
    assert [seen[f"server-{number}"].observed for number in range(4)] == ["stopped", "running"] * 2
    assert [tenant.server_id for tenant in host.tenants()] == sorted(seen)


def test_another_installations_servers_are_none_of_ours(cluster: KubernetesDouble, host: KubernetesHost) -> None:
    cluster.add("theirs", {"elsewhere/server": "server-1"})
    assert host.observe_all() == {}
    assert host.observe(SPEC).observed == "missing"


def test_packages_that_the_schema_does_not_know_are_not_said_to_be_set(
    cluster: KubernetesDouble, host: KubernetesHost
) -> None:
    cluster.pruned.add("packages")
    host.create(SPEC)
    with pytest.raises(HostFailed, match="`packages` was taken and is not so"):
        host.set_packages(SPEC, ["voice"])
