"""Backups by vzdump: whose they are, that none goes by itself, and what a restore leaves when it fails."""

from __future__ import annotations

import pytest

from jobs.hosts.base import (
    BackupMissing,
    HostBusy,
    HostFailed,
    HostFull,
    HostMisconfigured,
    HostUnavailable,
    NotOffered,
    ServerSpec,
)
from jobs.hosts.proxmox import ProxmoxHost
from tests.doubles.proxmox import Guest, ProxmoxDouble
from tests.jobs.hosts.proxmox.conftest import Reached

SPEC = ServerSpec("5b2a4d0e-saved", "Ada's world", "game", 0)


@pytest.fixture
def guest(cluster: ProxmoxDouble) -> Guest:
    """Our server, stopped."""
    return cluster.add(1200, config={"tags": f"forbear.1200.{SPEC.server_id}", "onboot": "0"}, disk="old")


def ids(host: ProxmoxHost) -> list[str]:
    return [info.backup_id for info in host.list_backups(SPEC)]


@pytest.mark.usefixtures("guest")
def test_a_backup_leaves_older_ones_alone(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    for backup_id in ("b-1", "b-2", "b-3"):
        host.create_backup(SPEC, backup_id)
    assert ids(host) == ["b-1", "b-2", "b-3"]


def test_backups_of_others_are_neither_shown_nor_deleted(
    cluster: ProxmoxDouble, host: ProxmoxHost, guest: Guest
) -> None:
    host.create_backup(SPEC, "b-1")
    guest.config["tags"] = "forbear.1200.5b2a4d0e-other"
    other = ServerSpec("5b2a4d0e-other", "x", "game", 0)
    host.create_backup(other, "b-1")
    assert ids(host) == ["b-1"]
    host.delete_backup(SPEC, "b-1")
    assert [info.backup_id for info in host.list_backups(other)] == ["b-1"]
    assert len(cluster.archives) == 1


@pytest.mark.usefixtures("guest")
def test_a_protected_backup_stays(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    host.create_backup(SPEC, "b-1")
    next(iter(cluster.archives.values())).protected = True
    with pytest.raises(HostFailed, match="protected"):
        host.delete_backup(SPEC, "b-1")
    assert ids(host) == ["b-1"]
    assert cluster.made("DELETE") == []


@pytest.mark.usefixtures("guest")
def test_a_backup_that_goes_on_is_found_once_it_is_whole(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    cluster.polls_running = 1_000
    with pytest.raises(HostBusy):
        host.create_backup(SPEC, "b-1")
    assert host.create_backup(SPEC, "b-1").backup_id == "b-1"
    assert len(cluster.made("vzdump")) == 1


@pytest.mark.usefixtures("guest")
def test_a_backup_that_failed_is_none(cluster: ProxmoxDouble, host: ProxmoxHost) -> None:
    cluster.failing["vzdump"] = "job errors"
    with pytest.raises(HostFailed, match="job errors"):
        host.create_backup(SPEC, "b-1")
    cluster.failing["vzdump"] = "zstd: error 70: No space left on device"
    with pytest.raises(HostFull):
        host.create_backup(SPEC, "b-1")
    cluster.failing.clear()
    cluster.ignored.add("vzdump")
    with pytest.raises(HostFailed, match="no such backup"):
        host.create_backup(SPEC, "b-1")
    assert ids(host) == []


def test_a_restore_that_fails_puts_the_files_of_before_back(
    cluster: ProxmoxDouble, host: ProxmoxHost, guest: Guest
) -> None:
    host.create_backup(SPEC, "b-1")
    guest.disk = "new"

    def half() -> None:
        cluster.guests[1200].disk = "half of old"
        cluster.before.clear()
        cluster.failing["vzrestore"] = "unable to restore CT 1200 - command failed"
        cluster.before["vzrestore"] = cluster.failing.clear

    cluster.before["vzrestore"] = half
    with pytest.raises(HostFailed, match="command failed"):
        host.restore_backup(SPEC, "b-1", "kept")
    assert cluster.guests[1200].disk == "new"
    assert ids(host) == ["b-1", "kept"]


def test_a_restore_that_outlasts_its_bound_is_not_begun_again(
    cluster: ProxmoxDouble, host: ProxmoxHost, guest: Guest
) -> None:
    guest.config["onboot"] = "1"
    host.create_backup(SPEC, "b-1")
    guest.config["onboot"] = "0"
    guest.disk = "new"
    host.create_backup(SPEC, "kept")  # the first try's safety copy
    cluster.polls_running = 1_000
    with pytest.raises(HostBusy):
        host.restore_backup(SPEC, "b-1", "kept")
    assert host.restore_backup(SPEC, "b-1", "kept").backup_id == "kept"
    assert (cluster.guests[1200].disk, cluster.guests[1200].config["onboot"]) == ("old", "0")
    assert [path for path in cluster.made("lxc") if path == "nodes/pve1/lxc"] == ["nodes/pve1/lxc"]


def test_a_restored_server_keeps_its_mark_and_stays_off_at_boot(
    cluster: ProxmoxDouble, host: ProxmoxHost, guest: Guest
) -> None:
    guest.config["onboot"] = "1"
    host.create_backup(SPEC, "b-1")
    next(iter(cluster.archives.values())).guest.config["tags"] = "forbear.4711.5b2a4d0e-saved"  # made under that number
    guest.config["onboot"] = "0"
    host.restore_backup(SPEC, "b-1")
    cluster.reboot("pve1")
    seen = host.observe(SPEC)
    assert (seen.observed, seen.autostart) == ("stopped", False)


@pytest.mark.usefixtures("guest")
def test_backups_that_could_be_on_a_node_out_of_reach_are_not_said_to_be_missing(
    cluster: ProxmoxDouble, host: ProxmoxHost
) -> None:
    host.create_backup(SPEC, "b-1")
    cluster.shared_vault = False
    assert ids(host) == ["b-1"]
    cluster.nodes["pve2"] = False
    with pytest.raises(HostUnavailable, match="`pve2` is offline"):
        host.list_backups(SPEC)


@pytest.mark.usefixtures("guest")
def test_what_is_not_there_or_not_offered_is_said(reached: Reached) -> None:
    host = reached()
    with pytest.raises(BackupMissing):
        host.restore_backup(SPEC, "nothing")
    with pytest.raises(BackupMissing):
        host.create_backup(SPEC, "../b")
    with pytest.raises(NotOffered, match="downloads of backups"):
        host.open_backup(SPEC, "b-1")
    with pytest.raises(HostMisconfigured, match="backup_storage"):
        reached(backup_storage=None).list_backups(SPEC)
