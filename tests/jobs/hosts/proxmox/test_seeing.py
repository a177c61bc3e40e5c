"""What seeing all servers shows: one list, and what that cannot tell."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.hosts.base import HostUnavailable, ServerSpec
from jobs.hosts.proxmox import ProxmoxHost
from jobs.hosts.proxmox.overview import READS
from tests.doubles.proxmox import Guest, ProxmoxDouble
from tests.jobs.hosts.proxmox.conftest import Reached


def server(cluster: ProxmoxDouble, number: int, **more: Any) -> Guest:
    """Put a server of ours there."""
    config = {"tags": f"other;forbear.{number}.server-{number}", "onboot": more.pop("onboot", "0")}
    return cluster.add(number, config=config, **more)


def test_a_fleet_is_seen_in_one_list_and_a_bounded_number_of_looks(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    for number in range(1000, 1050):
        server(cluster, number, status="running" if number % 2 else "stopped", onboot=str(number % 2))
    for number in range(1050, 1060):
        cluster.add(number, config={"tags": "payroll"}, status="running")
    seen = host.observe_all()
    assert len(seen) == 50
    assert [path for _, path, _ in cluster.calls].count("cluster/resources") == 1
    assert len(cluster.calls) <= 2 + READS
    assert {each.observed for each in seen.values()} == {"running", "stopped"}


def test_autostart_is_known_of_what_is_stopped_first_and_of_all_in_turn(
    cluster: ProxmoxDouble, host: ProxmoxHost
) -> None:
    for number in range(1000, 1030):
        server(cluster, number, status="running" if number < 1015 else "stopped", onboot="1")
    known = [{name for name, each in host.observe_all().items() if each.autostart is not None} for _ in range(3)]
    assert [len(each) for each in known] == [READS, 2 * READS, 30]
    assert known[0] <= {f"server-{number}" for number in range(1015, 1030)}


def test_a_list_that_is_behind_is_not_believed_about_what_was_just_done(
    cluster: ProxmoxDouble, host: ProxmoxHost
) -> None:
    guest = server(cluster, 1000, status="running")
    cluster.stale[1000] = {"status": "running"}
    host.stop(ServerSpec("server-1000", "x", "game", 0), 1)
    assert guest.status == "stopped"
    assert host.observe_all()["server-1000"].observed == "stopped"


@pytest.mark.parametrize(("state", "autostart"), [("started", True), ("stopped", False), ("ignored", False)])
def test_high_availability_counts_as_autostart(
    cluster: ProxmoxDouble, host: ProxmoxHost, state: str, *, autostart: bool
) -> None:
    server(cluster, 1000, ha=state)
    assert host.observe_all()["server-1000"].autostart is autostart
    assert host.observe(ServerSpec("server-1000", "x", "game", 0)).autostart is autostart


def test_high_availability_neither_ends_nor_starts_a_server_because_of_its_autostart(
    cluster: ProxmoxDouble, host: ProxmoxHost
) -> None:
    spec = ServerSpec("server-1000", "x", "game", 0)
    guest = server(cluster, 1000, status="running", ha="started", onboot="1")
    host.set_autostart(spec, on=False)
    cluster.manage()
    assert (guest.status, guest.ha) == ("running", "ignored")
    assert host.stop(spec, 1).observed == "stopped"
    assert guest.ha == "stopped"
    host.set_autostart(spec, on=True)
    cluster.manage()
    assert guest.status == "stopped"
    assert host.start(spec).observed == "running"
    host.set_autostart(spec, on=True)
    assert guest.ha == "started"


def test_a_template_and_another_installations_server_are_none_of_ours(cluster: ProxmoxDouble, reached: Reached) -> None:
    server(cluster, 1000, status="running")
    server(cluster, 1001).config["template"] = "1"
    assert set(reached().observe_all()) == {"server-1000"}
    assert reached(namespace="elsewhere").observe_all() == {}


def test_a_list_without_nodes_is_not_an_empty_cluster(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    cluster.nodes.clear()
    with pytest.raises(HostUnavailable, match="not the whole"):
        host.observe_all()
