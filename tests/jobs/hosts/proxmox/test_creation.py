"""Making a server twice makes one, whoever died in between and whoever else makes guests at the same time."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from jobs.hosts.base import HostBusy, HostError, HostFailed, HostFull, HostMisconfigured, HostUnavailable, ServerSpec
from jobs.hosts.proxmox import ProxmoxHost
from tests.doubles.proxmox import ProxmoxDouble
from tests.jobs.hosts.proxmox.conftest import Reached

SPEC = ServerSpec("5b2a4d0e-new", "Ada's world", "game", 0)
COPIES = {"game": {"type": "qemu", "clone": 900}}


def ours(cluster: ProxmoxDouble) -> list[int]:
    """Return the numbers of all guests that are, or are to be, our server."""
    return [vmid for vmid, each in cluster.guests.items() if SPEC.server_id in str(each.config)]


@pytest.fixture
def golden(cluster: ProxmoxDouble) -> None:
    cluster.add(900, type="qemu", config={"name": "golden", "template": "1", "tags": "golden", "onboot": "1"})


def test_a_container_is_made_as_the_options_say(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    host.create(SPEC)
    (made,) = cluster.guests.values()
    assert made.config["tags"] == f"forbear.{made.vmid}.{SPEC.server_id}"
    assert (made.config["rootfs"], made.config["memory"], made.config["onboot"]) == ("fast:8", "1024", "0")
    assert made.config["unprivileged"] == "1"
    assert 1000 <= made.vmid <= 1999


def test_two_who_make_the_same_server_make_one(cluster: ProxmoxDouble, reached: Reached) -> None:
    def make(_: int) -> bool:
        try:
            return reached().create(SPEC).observed == "stopped"
        except HostBusy:
            return False

    with ThreadPoolExecutor(4) as threads:
        assert any(threads.map(make, range(4)))
    assert len(ours(cluster)) == 1


def test_what_was_taken_without_an_answer_is_found_by_the_next_try(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    cluster.fail("cut", "POST", times=1)
    with pytest.raises(HostUnavailable):
        host.create(SPEC)
    assert host.create(SPEC).observed == "stopped"
    assert len(ours(cluster)) == len(cluster.made("lxc")) == 1


@pytest.mark.usefixtures("golden")
def test_a_copy_whose_maker_died_before_it_was_marked_is_taken_up(cluster: ProxmoxDouble, reached: Reached) -> None:
    host = reached(kinds=COPIES)
    fault = cluster.fail("596", "PUT")
    with pytest.raises(HostUnavailable):
        host.create(SPEC)
    assert host.observe(SPEC).observed == "missing", "what has no mark is nobody's"
    cluster.faults.remove(fault)
    assert host.create(SPEC).autostart is False
    assert len(ours(cluster)) == len(cluster.made("clone")) == 1


def test_a_number_that_is_somebody_elses_is_passed_over(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    host.create(SPEC)
    (first,) = cluster.guests
    cluster.guests.clear()
    cluster.add(first, config={"hostname": "payroll"}, status="running")
    cluster.unlisted.add(first)  # a guest that the token may not see
    host.create(SPEC)
    assert first not in ours(cluster)
    assert cluster.guests[first].config == {"hostname": "payroll"}


def test_a_guest_in_the_making_at_our_number_is_waited_for(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    host.create(SPEC)
    (first,) = cluster.guests
    cluster.guests.clear()
    cluster.add(first, config={"lock": "create"})
    with pytest.raises(HostBusy):
        host.create(SPEC)
    assert len(cluster.made("lxc")) == 1


def test_no_second_is_made_while_the_first_could_be_out_of_sight(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    host.create(SPEC)
    (first,) = cluster.guests
    cluster.unlisted.add(first)
    assert host.create(SPEC).observed == "stopped"
    cluster.nodes["pve2"] = False
    with pytest.raises(HostUnavailable, match="`pve2` is offline"):
        host.create(SPEC)
    assert ours(cluster) == [first]


REFUSED: list[tuple[str, type[HostError]]] = [
    ("unable to create CT: no space left, No space left on device", HostFull),
    ("unable to create CT: volume 'local:vztmpl/debian.tar.zst' does not exist on storage", HostFailed),
]


@pytest.mark.parametrize(("status", "raised"), REFUSED)
def test_a_task_that_failed_has_made_nothing(
    cluster: ProxmoxDouble, host: ProxmoxHost, status: str, raised: type[HostError]
) -> None:
    cluster.failing["create"] = status
    with pytest.raises(raised):
        host.create(SPEC)
    assert host.observe(SPEC).observed == "missing"


def test_no_number_and_no_node_and_no_template_are_told(cluster: ProxmoxDouble, reached: Reached) -> None:
    cluster.add(1000, config={"hostname": "payroll"})
    with pytest.raises(HostFull):
        reached(vmids={"first": 1000, "last": 1000}).create(SPEC)
    with pytest.raises(HostUnavailable, match="no node"):
        reached(nodes=["pve9"]).create(SPEC)
    with pytest.raises(HostMisconfigured, match="no qemu guest 900"):
        reached(kinds=COPIES).create(SPEC)
    with pytest.raises(HostMisconfigured, match="kind `dev`"):
        reached().create(ServerSpec("5b2a4d0e-dev", "x", "dev", 0))
