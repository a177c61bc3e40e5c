"""Guests, and which of them are servers of ours.

A guest is a server because a tag of it says so, together with the guest's own number: a number that was given to
another guest, or a copy that somebody made of a server, is nobody of ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.hosts.errors import HostBusy, HostFailed, HostUnavailable, ServerMissing
from jobs.hosts.proxmox.client import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jobs.hosts.proxmox.client import Client

SERVER_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
TYPES = ("lxc", "qemu")
# The state that high availability wants; in every other one it may start the guest, here or on another node.
HA_LEAVES_ALONE = frozenset({"stopped", "request_stop", "ignored", "disabled", "error"})


@dataclass(frozen=True, slots=True)
class Guest:
    """One row of a list of guests."""

    vmid: int
    node: str
    type: str
    name: str
    status: str
    """`running` or `stopped`; `unknown` when its node has not told."""
    tags: frozenset[str]
    lock: str | None
    ha: str | None
    """What high availability makes of it; `None`: nothing."""
    template: bool

    @property
    def path(self) -> str:
        return f"nodes/{self.node}/{self.type}/{self.vmid}"

    @property
    def ha_path(self) -> str:
        return f"cluster/ha/resources/{'ct' if self.type == 'lxc' else 'vm'}:{self.vmid}"


@dataclass(frozen=True, slots=True)
class Cluster:
    """What one call showed of everything."""

    nodes: Mapping[str, bool]
    """Node -> whether it is online."""
    free_bytes: Mapping[str, int]
    """Memory that is free on each node that is online."""
    guests: tuple[Guest, ...]
    storages: tuple[tuple[str, str, bool], ...]
    """(storage, node, whether all nodes see the same), of what can be used now."""


@dataclass(frozen=True, slots=True)
class Located:
    """A guest that was proved to be a server of ours a moment ago."""

    guest: Guest
    config: Mapping[str, Any]

    @property
    def lock(self) -> str | None:
        """What holds it; a machine that was put to sleep holds itself, and nobody waits for that."""
        lock = self.config.get("lock")
        return None if lock is None or lock == "suspended" else str(lock)

    @property
    def onboot(self) -> bool:
        return is_true(self.config.get("onboot"))


def is_true(value: object) -> bool:
    """Read a switch as the API writes it."""
    return str(value).lower() in {"1", "true", "yes", "on"}


def tags_of(value: object) -> frozenset[str]:
    """Read a list of tags; a version or two of the API has put commas or spaces between them."""
    return frozenset(re.split(r"[;, ]+", str(value or "").lower())) - {""}


def checked_id(server_id: str) -> str:
    """Return an id that can stand in a tag. Raises ServerMissing: no guest can have any other."""
    if SERVER_ID.fullmatch(server_id) is None:
        raise ServerMissing(server_id)
    return server_id


def marker(namespace: str, vmid: int, server_id: str) -> str:
    """Return the tag that makes a guest a server."""
    return f"{namespace}.{vmid}.{server_id}"


def server_of(namespace: str, vmid: int, tags: Iterable[str]) -> str | None:
    """Return the server that a guest is; `None`: none of ours."""
    start = f"{namespace}.{vmid}."
    found = [tag.removeprefix(start) for tag in tags if tag.startswith(start)]
    return found[0] if len(found) == 1 else None


def cluster(client: Client) -> Cluster:
    """See everything in one call. Raises HostUnavailable when the answer cannot be the whole."""
    try:
        rows = client.rows("cluster/resources")
    except Refused as error:
        raise HostUnavailable(client.host, f"it does not list its guests: {error.reason}") from None
    nodes = {
        str(row["node"]): row.get("status") == "online" for row in rows if row.get("type") == "node" and "node" in row
    }
    if not nodes:
        raise HostUnavailable(client.host, "its answer names no node, so that it is not the whole")
    free = {
        str(row["node"]): int(row.get("maxmem") or 0) - int(row.get("mem") or 0)
        for row in rows
        if row.get("type") == "node" and nodes.get(str(row.get("node")))
    }
    guests = tuple(guest_of(client, row, nodes) for row in rows if row.get("type") in TYPES)
    storages = tuple(
        (str(row.get("storage")), str(row.get("node")), is_true(row.get("shared")))
        for row in rows
        if row.get("type") == "storage" and row.get("status") == "available"
    )
    return Cluster(nodes, free, guests, storages)


def guest_of(client: Client, row: Mapping[str, Any], nodes: Mapping[str, bool]) -> Guest:
    """Read one row. A guest whose node is not online is unknown, whatever was last heard of it."""
    try:
        node, status = str(row["node"]), str(row.get("status", "unknown"))
        return Guest(
            vmid=int(row["vmid"]),
            node=node,
            type=str(row["type"]),
            name=str(row.get("name", "")),
            status=status if nodes.get(node) else "unknown",
            tags=tags_of(row.get("tags")),
            lock=row.get("lock"),
            ha=row.get("hastate"),
            template=is_true(row.get("template")),
        )
    except (KeyError, TypeError, ValueError):
        raise HostUnavailable(client.host, "its answer holds a guest without a number or a node") from None


def locate(client: Client, server_id: str) -> Located | None:
    """Find a server and prove that it is the one; `None` when every node says that it has none.

    Raises HostUnavailable when a node cannot say, HostBusy while it moves, HostFailed when two guests claim to be it.
    """
    checked_id(server_id)
    for _ in range(2):  # a guest that has moved in this very moment is looked for once more
        seen = cluster(client)
        moved = False
        for found in (_in_list, _on_nodes):  # the list is quick, and may be short or old
            guest = _only(client, server_id, found(client, seen, server_id))
            config = None if guest is None else config_of(client, guest)
            if guest is None or config is None:
                moved = moved or guest is not None
            elif server_of(client.options.namespace, guest.vmid, tags_of(config.get("tags"))) == server_id:
                return Located(guest, config)
        if not moved:
            return None
    raise HostBusy(server_id, "migration")


def config_of(client: Client, guest: Guest) -> dict[str, Any] | None:
    """Read a guest's settings; `None` when it is not on that node."""
    try:
        return client.fields(f"{guest.path}/config")
    except Refused as error:
        if error.is_gone:
            return None
        raise HostFailed(client.host, f"show guest {guest.vmid}", error.reason) from None


def _in_list(client: Client, seen: Cluster, server_id: str) -> list[Guest]:
    return _claiming(client, seen.guests, server_id)


def _on_nodes(client: Client, seen: Cluster, server_id: str) -> list[Guest]:
    """Ask each node by itself: a server is gone only when all of them say so."""
    if dark := sorted(name for name, online in seen.nodes.items() if not online):
        raise HostUnavailable(client.host, f"the server is not in its list, and its node `{dark[0]}` is offline")
    guests = []
    for node in seen.nodes:
        for kind in TYPES:
            try:
                rows = client.rows(f"nodes/{node}/{kind}")
            except Refused as error:
                raise HostUnavailable(
                    client.host, f"its node `{node}` does not list its guests: {error.reason}"
                ) from None
            guests += [guest_of(client, {**row, "node": node, "type": kind}, seen.nodes) for row in rows]
    return _claiming(client, guests, server_id)


def _claiming(client: Client, guests: Iterable[Guest], server_id: str) -> list[Guest]:
    namespace = client.options.namespace
    return [each for each in guests if not each.template and server_of(namespace, each.vmid, each.tags) == server_id]


def _only(client: Client, server_id: str, guests: list[Guest]) -> Guest | None:
    numbers = sorted({each.vmid for each in guests})
    if len(numbers) > 1:
        reason = f"guests {numbers[0]} and {numbers[1]} both say that they are it; remove the tag of the wrong one"
        raise HostFailed(client.host, f"tell which guest server `{server_id}` is", reason)
    return guests[0] if guests else None
