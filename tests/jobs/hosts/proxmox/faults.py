"""The fault table: what can be wrong with a cluster while a server has to be stopped, and what may come of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from jobs.hosts.base import HostBusy, HostError, HostFailed, HostMisconfigured, HostUnavailable
from tests.doubles.proxmox import Guest, ProxmoxDouble

Ends = str | type[HostError]
HANG_SECONDS = 5.0


@dataclass(frozen=True)
class Row:
    """One fault."""

    name: str
    begin: Callable[[ProxmoxDouble, Guest], object]
    ends: Ends
    """What one try to stop the server ends with: what was observed, or what was raised."""
    sees: str = "running"
    """What seeing all shows of the running server in the midst of the fault; `nothing`: the host says it cannot."""


def failing(kind: str, match: str = "", **more: object) -> Callable[[ProxmoxDouble, Guest], object]:
    """Return a fault of every request that matches."""
    return lambda cluster, _: cluster.fail(kind, match, **more)


def lies(*verbs: str) -> Callable[[ProxmoxDouble, Guest], object]:
    """Return tasks that end well and do nothing."""
    return lambda cluster, _: cluster.ignored.update(verbs)


def task_fails(*verbs: str) -> Callable[[ProxmoxDouble, Guest], object]:
    """Return tasks that fail."""
    return lambda cluster, _: cluster.failing.update(dict.fromkeys(verbs, "VM quit/powerdown failed - got timeout"))


def locked(cluster: ProxmoxDouble, guest: Guest, *, began_ago: float | None = None) -> None:
    """Lock the guest by a backup that has begun so long ago; None: nothing works on it any more."""
    guest.config["lock"] = "backup"
    if began_ago is not None:
        upid = f"UPID:{guest.node}:0:0:0:vzdump:{guest.vmid}:root@pam:"
        task = {"upid": upid, "node": guest.node, "id": str(guest.vmid), "type": "vzdump", "verb": "vzdump"}
        cluster.tasks[upid] = {**task, "starttime": time.time() - began_ago, "exit": "OK", "polls": 0}


def moved(cluster: ProxmoxDouble, guest: Guest, *, listed: bool) -> None:
    """Let the guest be on the other node, with a list that knows it or does not yet."""
    if not listed:
        cluster.stale[guest.vmid] = {"node": guest.node}
    guest.node = "pve2"


def reused(cluster: ProxmoxDouble, guest: Guest) -> None:
    """Let the number be another's guest, while the list still shows ours."""
    cluster.stale[guest.vmid] = {"tags": guest.config["tags"], "name": guest.name}
    cluster.add(guest.vmid, node=guest.node, config={"hostname": "payroll", "onboot": "1"}, status="running")


def copied(cluster: ProxmoxDouble, guest: Guest) -> None:
    """Let somebody copy the server by hand, tags and all."""
    cluster.add(guest.vmid + 1, node=guest.node, config=dict(guest.config), status="running")


def two_claim(cluster: ProxmoxDouble, guest: Guest) -> None:
    """Let somebody tag another guest as this very server."""
    server_id = guest.config["tags"].rpartition(".")[2]
    config = {"tags": f"forbear.{guest.vmid + 1}.{server_id}"}
    cluster.add(guest.vmid + 1, node=guest.node, config=config, status="running")


def stop_never_ends(cluster: ProxmoxDouble, _: Guest) -> None:
    cluster.ignored.add("shutdown")
    cluster.endless.add("stop")


def node_dark(cluster: ProxmoxDouble, guest: Guest) -> None:
    cluster.nodes[guest.node] = False


def cut_short(cluster: ProxmoxDouble, guest: Guest) -> None:
    cluster.unlisted.add(guest.vmid)


def cut_short_and_dark(cluster: ProxmoxDouble, guest: Guest) -> None:
    cut_short(cluster, guest)
    cluster.nodes["pve2"] = False


def under_ha(cluster: ProxmoxDouble, guest: Guest) -> None:
    guest.ha = "started"


WELL, AWAY = "stopped", HostUnavailable
ROWS = (
    Row("all goes well", lambda *_: None, WELL),
    Row("every answer hangs", failing("hang", seconds=HANG_SECONDS), AWAY, "nothing"),
    Row("the command hangs", failing("hang", "POST", seconds=HANG_SECONDS), AWAY),
    Row("500", failing("500"), AWAY, "nothing"),
    Row("500 to the command", failing("500", "POST", reason="got no worker upid"), HostFailed),
    Row("595 of a node", failing("595", "nodes/"), AWAY),
    Row("596 of the API", failing("596"), AWAY, "nothing"),
    Row("401", failing("401"), HostMisconfigured, "nothing"),
    Row("403 to the command", failing("403", "POST", reason="Permission check failed"), HostMisconfigured),
    Row("HTML", failing("html"), AWAY, "nothing"),
    Row("an answer cut off", failing("cut"), AWAY, "nothing"),
    Row("an answer of another shape", failing("odd"), AWAY, "nothing"),
    Row("the task cannot be asked for", failing("596", "GET nodes/pve1/tasks"), AWAY),
    Row("locked by a backup", lambda c, g: locked(c, g, began_ago=60), HostBusy),
    Row("locked without an end", lambda c, g: locked(c, g, began_ago=9e4), HostFailed),
    Row("locked and left", locked, HostFailed),
    Row("the shutdown fails", task_fails("shutdown"), WELL),
    Row("every stop fails", task_fails("shutdown", "stop"), "running"),
    Row("the shutdown ends well and it runs", lies("shutdown"), WELL),
    Row("every stop ends well and it runs", lies("shutdown", "stop"), "running"),
    Row("the stop never ends", stop_never_ends, "running"),
    Row("autostart is taken and stays on", lies("config"), WELL),
    Row("its node is offline", node_dark, AWAY, "unknown"),
    Row("a list cut short", cut_short, WELL, "missing"),
    Row("a list cut short and a node offline", cut_short_and_dark, AWAY, "missing"),
    Row("its number reused by another guest", reused, "missing"),
    Row("moved to another node", lambda c, g: moved(c, g, listed=True), WELL),
    Row("moved, and the list is old", lambda c, g: moved(c, g, listed=False), WELL),
    Row("copied by hand", copied, WELL),
    Row("two guests claim to be it", two_claim, HostFailed, "unknown"),
    Row("under high availability", under_ha, WELL),
)
