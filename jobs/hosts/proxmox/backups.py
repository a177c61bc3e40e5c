"""Backups by vzdump. A backup is ours because its notes name our server and our backup; they come when it is whole."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import BackupInfo
from jobs.hosts.errors import (
    BackupMissing,
    HostFailed,
    HostMisconfigured,
    HostUnavailable,
    StillRunning,
)
from jobs.hosts.proxmox import power, tasks
from jobs.hosts.proxmox.client import Refused
from jobs.hosts.proxmox.guests import cluster, is_true, locate, marker, server_of, tags_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.hosts.proxmox.client import Client
    from jobs.hosts.proxmox.guests import Cluster, Located

RESTORES = frozenset({"vzrestore", "qmrestore"})
BACKUP_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")


@dataclass(frozen=True, slots=True)
class Volume:
    """A backup where it lies."""

    info: BackupInfo
    volume: str
    node: str
    protected: bool


def notes(client: Client, server_id: str, backup_id: str) -> str:
    """Return what a backup is known by."""
    return f"{client.options.namespace} server {server_id} backup {backup_id}"


def volumes(client: Client, server_id: str) -> list[Volume]:
    """List a server's backups, oldest first, also when its guest is gone. Raises HostUnavailable unless all is seen."""
    storage = _storage(client)
    begins = notes(client, server_id, "")
    found = {}
    for node in _nodes(client, cluster(client), storage):
        try:
            rows = client.rows(f"nodes/{node}/storage/{storage}/content", content="backup")
        except Refused as error:
            raise HostUnavailable(client.host, f"storage `{storage}` cannot be listed: {error.reason}") from None
        for row in rows:
            told = str(row.get("notes") or "").strip()
            if told.startswith(begins) and BACKUP_ID.fullmatch(told.removeprefix(begins)):
                volume = _volume(client, row, node, told.removeprefix(begins))
                found[node, volume.volume] = volume
    return sorted(found.values(), key=lambda each: (each.info.created_at, each.info.backup_id))


def listed(client: Client, server_id: str) -> Sequence[BackupInfo]:
    """List a server's finished backups, oldest first."""
    return [each.info for each in volumes(client, server_id)]


def find(client: Client, server_id: str, backup_id: str) -> Volume | None:
    """Return the backup of that id; `None`: there is none."""
    return next((each for each in volumes(client, server_id) if each.info.backup_id == backup_id), None)


def create(client: Client, server_id: str, found: Located, backup_id: str) -> BackupInfo:
    """Back a guest up, once per id. INVARIANT: older backups are left alone, whatever the storage's own rules say."""
    if BACKUP_ID.fullmatch(backup_id) is None:
        raise BackupMissing(backup_id)
    made = find(client, server_id, backup_id)
    if made is not None:
        return made.info
    power.refuse_locked(client, server_id, found)
    doing = f"back guest {found.guest.vmid} up"
    told: dict[str, Any] = {"notes-template": notes(client, server_id, backup_id)}
    task = power.begin(
        client,
        server_id,
        doing,
        lambda: client.task(
            "post",
            f"nodes/{found.guest.node}/vzdump",
            vmid=found.guest.vmid,
            storage=_storage(client),
            mode="snapshot",
            compress="zstd",
            remove=0,
            **told,
        ),
    )
    power.finish(client, server_id, doing, task, client.options.timeouts.backup)
    made = find(client, server_id, backup_id)
    if made is None:
        raise HostFailed(client.host, doing, "its task ended well, and there is no such backup")
    return made.info


def delete(client: Client, server_id: str, backup_id: str) -> None:
    """Remove a backup. One that somebody protected stays: raises HostFailed."""
    made = find(client, server_id, backup_id)
    if made is None:
        return
    doing = f"delete backup `{backup_id}`"
    if made.protected:
        raise HostFailed(client.host, doing, "somebody has protected it there; lift that first")
    path = f"nodes/{made.node}/storage/{_storage(client)}/content/{made.volume}"
    try:
        task = client.delete(path)
    except Refused as error:
        raise HostFailed(client.host, doing, error.reason) from None
    if isinstance(task, str) and task.startswith("UPID:"):  # a storage that is quick about it answers without
        power.finish(client, server_id, doing, task, client.options.timeouts.create)
    if find(client, server_id, backup_id) is not None:
        raise HostFailed(client.host, doing, "its task ended well, and the backup is still there")


def restore(client: Client, server_id: str, found: Located, backup_id: str, safety_id: str | None) -> BackupInfo:
    """Put a backup in a guest's place after a safety copy; what was there is put back when that fails.

    Raises BackupMissing, StillRunning, HostBusy, HostFailed.
    """
    made = find(client, server_id, backup_id)
    if made is None:
        raise BackupMissing(backup_id)
    if power.live(client, server_id, found).get("status") != "stopped":
        raise StillRunning(server_id)
    power.refuse_locked(client, server_id, found)
    begun = find(client, server_id, safety_id) if safety_id is not None else None
    if begun is not None and _was_put_in_place(client, found, begun):
        _as_before(client, server_id, found, onboot=False)  # what it was is not known any more; a start sets it
        return begun.info
    safety = create(client, server_id, found, safety_id or f"safety-{secrets.token_hex(8)}")
    try:
        _put_in_place(client, server_id, found, made)
    except HostFailed:
        kept = find(client, server_id, safety.backup_id)
        if kept is not None:
            _put_in_place(client, server_id, found, kept)
        raise
    return safety


def _was_put_in_place(client: Client, found: Located, safety: Volume) -> bool:
    """Tell whether a try before this one ended well after nobody waited for it any more.

    Without this a restore that takes longer than its bound would begin again for ever. After one that failed, what came
    last may have been the safety copy: then it is done again.
    """
    guest = found.guest
    since = int(safety.info.created_at.timestamp())
    try:
        rows = client.rows(f"nodes/{guest.node}/tasks", vmid=guest.vmid, source="archive", since=since)
    except Refused:
        return False
    ended = [row.get("status") for row in rows if row.get("type") in RESTORES]
    return bool(ended) and all(tasks.is_well(str(status)) for status in ended)


def _put_in_place(client: Client, server_id: str, found: Located, made: Volume) -> None:
    guest = found.guest
    doing = f"restore guest {guest.vmid}"
    # the archive is named differently to containers and to machines
    source = {"ostemplate": made.volume, "restore": 1} if guest.type == "lxc" else {"archive": made.volume}
    words: dict[str, Any] = {"vmid": guest.vmid, "force": 1, "storage": client.options.storage, **source}
    task = power.begin(
        client, server_id, doing, lambda: client.task("post", f"nodes/{guest.node}/{guest.type}", **words)
    )
    power.finish(client, server_id, doing, task, client.options.timeouts.backup)
    _as_before(client, server_id, found, onboot=found.onboot)


def _as_before(client: Client, server_id: str, found: Located, *, onboot: bool) -> None:
    """Give the guest its mark and its autostart back: a backup brings those of its own time, or of another guest."""
    guest = found.guest
    told = marker(client.options.namespace, guest.vmid, server_id)
    path = f"{guest.path}/config"
    try:
        restored = client.fields(path)
        kept = server_of(client.options.namespace, guest.vmid, tags_of(restored.get("tags"))) == server_id
        tags = {} if kept else {"tags": told}
        client.put(path, onboot=int(onboot), **tags)
    except Refused as error:
        raise power.in_words(client, server_id, f"set guest {guest.vmid} up again", error) from None
    again = locate(client, server_id)
    if again is None or again.onboot != onboot:
        raise HostFailed(client.host, f"set guest {guest.vmid} up again", "it was taken and is not so")


def _volume(client: Client, row: dict[str, Any], node: str, backup_id: str) -> Volume:
    try:
        size, made_at = int(row["size"]), datetime.fromtimestamp(int(row["ctime"]), UTC)
        info = BackupInfo(backup_id, size, "", made_at)
        return Volume(info, str(row["volid"]), node, is_true(row.get("protected")))
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise HostUnavailable(client.host, "its list of backups holds one without a size or a date") from None


def _nodes(client: Client, seen: Cluster, storage: str) -> list[str]:
    """Return the nodes that together see the whole storage: one where it is shared, else every one."""
    having = [(node, shared) for name, node, shared in seen.storages if name == storage and seen.nodes.get(node)]
    if not having:
        raise HostUnavailable(client.host, f"no node that is online has the storage `{storage}`")
    if any(shared for _, shared in having):
        return [having[0][0]]
    if dark := sorted(name for name, online in seen.nodes.items() if not online):
        raise HostUnavailable(client.host, f"its node `{dark[0]}` is offline, and may hold backups")
    return [node for node, _ in having]


def _storage(client: Client) -> str:
    if client.options.backup_storage is None:
        raise HostMisconfigured(client.host, "no `backup_storage` is named in the hosts file")
    return client.options.backup_storage
