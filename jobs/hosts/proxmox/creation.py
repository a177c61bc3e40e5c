"""Making guests, so that making one twice makes one.

A server's number follows from its id. Two that make the same server therefore ask for the same number, which the
cluster gives out once, and a try that died is found again where the next one would begin.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from jobs.hosts.errors import HostBusy, HostFailed, HostFull, HostMisconfigured, HostUnavailable
from jobs.hosts.proxmox import power
from jobs.hosts.proxmox.client import Refused
from jobs.hosts.proxmox.guests import checked_id, cluster, config_of, locate, marker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.hosts.base import ServerSpec
    from jobs.hosts.proxmox.client import Client
    from jobs.hosts.proxmox.guests import Cluster, Guest, Located
    from jobs.hosts.proxmox.options import KindOptions

MOST_NUMBERS = 500
BEING_MADE = frozenset({"create", "clone"})


def create(client: Client, spec: ServerSpec) -> Located:
    """Make a server's guest, stopped, unless it is there. Raises HostBusy while another makes it, HostFull."""
    kind = client.options.kinds.get(spec.kind)
    if kind is None:
        raise HostMisconfigured(client.host, f"no guest for servers of kind `{spec.kind}` under `kinds`")
    found = locate(client, checked_id(spec.server_id))
    if found is not None:
        if found.guest.lock in BEING_MADE or found.lock in BEING_MADE:
            raise HostBusy(spec.server_id, "creation")
        return found
    seen = cluster(client)
    for vmid in _numbers(client, spec.server_id):
        taken = [guest for guest in seen.guests if guest.vmid == vmid]
        if taken:
            if _is_half_made(client, spec, taken[0]):
                _mark(client, spec, kind, taken[0])
                break
            continue
        try:
            _make(client, spec, kind, seen, vmid)
        except Refused as error:
            if error.is_taken:  # since the list, or by a guest that the token may not see
                seen = cluster(client)
                if any(guest.vmid == vmid for guest in seen.guests):
                    raise HostBusy(spec.server_id, "creation") from None
                continue
            raise power.in_words(client, spec.server_id, "make a server", error) from None
        break
    else:
        raise HostFull(client.host)
    made = locate(client, spec.server_id)
    if made is None:
        raise HostUnavailable(client.host, "it made a server that it does not list")
    return made


def _numbers(client: Client, server_id: str) -> Iterator[int]:
    first, last = client.options.first_vmid, client.options.last_vmid
    count = last - first + 1
    begin = zlib.crc32(server_id.encode()) % count
    return (first + (begin + step) % count for step in range(min(count, MOST_NUMBERS)))


def _is_half_made(client: Client, spec: ServerSpec, guest: Guest) -> bool:
    """Tell whether a copy of ours was made and not yet marked, because whoever made it died."""
    if guest.name != _name(client, spec):
        if guest.lock in BEING_MADE:
            raise HostBusy(spec.server_id, "creation")  # it may be this very server: its name comes later
        return False
    config = config_of(client, guest)
    mine = config is not None and marker(client.options.namespace, guest.vmid, spec.server_id) in str(
        config.get("description", "")
    )
    if mine and config is not None and config.get("lock") in BEING_MADE:
        raise HostBusy(spec.server_id, "creation")
    return mine


def _make(client: Client, spec: ServerSpec, kind: KindOptions, seen: Cluster, vmid: int) -> None:
    doing = f"make guest {vmid}"
    told = marker(client.options.namespace, vmid, spec.server_id)
    if kind.clone is None:
        task = client.task("post", f"nodes/{_node(client, seen)}/lxc", **_unpacked(client, spec, kind, vmid))
        power.finish(client, spec.server_id, doing, task, client.options.timeouts.create)
        return
    source = next((guest for guest in seen.guests if guest.vmid == kind.clone and guest.type == kind.type), None)
    if source is None:
        raise HostMisconfigured(client.host, f"there is no {kind.type} guest {kind.clone} to make servers of")
    name = "hostname" if kind.type == "lxc" else "name"
    words: dict[str, Any] = {"newid": vmid, name: _name(client, spec), "description": told, "full": 1}
    task = client.task("post", f"{source.path}/clone", storage=client.options.storage, **words)
    power.finish(client, spec.server_id, doing, task, client.options.timeouts.create)
    made = [guest for guest in cluster(client).guests if guest.vmid == vmid]
    if not made or not _is_half_made(client, spec, made[0]):
        raise HostFailed(client.host, doing, "it was made and is not what was asked for")
    _mark(client, spec, kind, made[0])


def _unpacked(client: Client, spec: ServerSpec, kind: KindOptions, vmid: int) -> dict[str, Any]:
    told = marker(client.options.namespace, vmid, spec.server_id)
    return {
        "vmid": vmid,
        "ostemplate": kind.template,
        "hostname": _name(client, spec),
        "rootfs": f"{client.options.storage}:{kind.disk_gb}",
        "cores": kind.cores,
        "memory": kind.memory_mb,
        "net0": f"name=eth0,bridge={client.options.bridge},ip=dhcp",
        "unprivileged": 1,
        "onboot": 0,
        "start": 0,
        "tags": told,
        "description": told,
    }


def _mark(client: Client, spec: ServerSpec, kind: KindOptions, guest: Guest) -> None:
    """Make a copy a server of ours: until then nothing would ever be done to it."""
    told = marker(client.options.namespace, guest.vmid, spec.server_id)
    try:
        client.put(f"{guest.path}/config", tags=told, onboot=0, cores=kind.cores, memory=kind.memory_mb)
    except Refused as error:
        raise power.in_words(client, spec.server_id, f"mark guest {guest.vmid}", error) from None


def _node(client: Client, seen: Cluster) -> str:
    """Return the node with the most free memory among those that new servers may go to."""
    wanted = client.options.nodes or tuple(seen.nodes)
    online = [name for name in wanted if seen.nodes.get(name)]
    if not online:
        raise HostUnavailable(client.host, "no node that new servers may go to is online")
    return max(online, key=lambda name: seen.free_bytes.get(name, 0))


def _name(client: Client, spec: ServerSpec) -> str:
    """Return the guest's name in the network, at most 63 characters as any."""
    return f"{client.options.namespace}-{spec.server_id}"[:63].rstrip("-")
