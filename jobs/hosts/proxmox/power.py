"""Starting and stopping guests: a command is given, its task watched, and then the guest itself looked at."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import Observation, Observed
from jobs.hosts.errors import HostBusy, HostError, HostFailed, HostFull, HostUnavailable, LaunchFailed
from jobs.hosts.proxmox import tasks
from jobs.hosts.proxmox.client import Refused
from jobs.hosts.proxmox.guests import HA_LEAVES_ALONE, Located, is_true

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.hosts.proxmox.client import Client

LOOK_SECONDS = 0.2
LOCK_PATIENCE_SECONDS = 2 * 3600.0  # longer than a backup of anything that is rented out here takes


def live(client: Client, server_id: str, found: Located) -> dict[str, Any]:
    """Ask a guest's own node how it is: the cluster's list may be ten seconds old. Raises HostBusy while it moves."""
    try:
        return client.fields(f"{found.guest.path}/status/current")
    except Refused as error:
        if error.is_gone:
            raise HostBusy(server_id, "migration") from None
        raise HostFailed(client.host, f"show guest {found.guest.vmid}", error.reason) from None


def shown(found: Located, current: dict[str, Any], trouble: str | None = None) -> Observation:
    """Return what was seen. Whatever is neither running nor stopped is unknown."""
    status = str(current.get("status"))
    observed: Observed = "running" if status == "running" else "stopped" if status == "stopped" else "unknown"
    ha = current.get("ha")
    wants = str(ha.get("state") or "started") if isinstance(ha, dict) and is_true(ha.get("managed")) else None
    autostart = found.onboot or (wants is not None and wants not in HA_LEAVES_ALONE)
    words = f"{found.guest.type} {found.guest.vmid} on {found.guest.node}"
    return Observation(observed, autostart, f"{words}; {trouble}" if trouble else words)


def start(client: Client, server_id: str, found: Located) -> Observation:
    """Start a guest unless it runs. Raises LaunchFailed, HostBusy."""
    current = live(client, server_id, found)
    if current.get("status") != "running":
        refuse_locked(client, server_id, found)
        if _is_managed(current) and ha_state(client, found) in {"stopped", "disabled"}:
            set_ha(client, found, "ignored")  # it would be stopped again; `started` is set with autostart
        with_words = f"start guest {found.guest.vmid}"
        task = begin(client, server_id, with_words, lambda: client.task("post", f"{found.guest.path}/status/start"))
        status = tasks.end_of(client, task, client.options.timeouts.start)
        if tasks.is_locked(status):
            raise HostBusy(server_id, "command")
        if status is not None and not tasks.is_well(status):
            raise LaunchFailed(server_id, "its host says that it could not", status)
        current = _await(client, server_id, found, "running", client.options.timeouts.settle)
    return shown(found, current)


def stop(client: Client, server_id: str, found: Located, timeout_seconds: float) -> Observation:
    """End a guest, by force after `timeout_seconds`, and return what was then seen.

    The node is told to use force by itself, so that it does when this process dies. A task that ended well proves
    nothing: a guest that is still seen running is ended once more, by force alone.
    """
    current = live(client, server_id, found)
    trouble: str | None = None
    if current.get("status") != "stopped":
        refuse_locked(client, server_id, found)
        _let_go(client, found, current)
        if timeout_seconds > 0:
            bound = math.ceil(timeout_seconds)
            current, trouble = _end(client, server_id, found, "shutdown", bound, timeout=bound, forceStop=1)
        if current.get("status") != "stopped":
            current, trouble = _end(client, server_id, found, "stop", client.options.timeouts.force)
    if current.get("status") == "stopped" and _is_managed(current) and ha_state(client, found) != "stopped":
        set_ha(client, found, "stopped")
        current = live(client, server_id, found)
    return shown(found, current, trouble)


def _end(
    client: Client, server_id: str, found: Located, verb: str, seconds: float, **params: Any
) -> tuple[dict[str, Any], str | None]:
    """Give one command, and return what was seen of the guest afterwards, and what was wrong with the task."""
    words = f"stop guest {found.guest.vmid}"
    task = begin(client, server_id, words, lambda: client.task("post", f"{found.guest.path}/status/{verb}", **params))
    status = tasks.end_of(client, task, seconds + client.options.timeouts.margin)
    settle = client.options.timeouts.settle if tasks.is_well(status) else 0
    current = _await(client, server_id, found, "stopped", settle)
    if current.get("status") == "stopped":
        return current, None
    if tasks.is_locked(status):
        raise HostBusy(server_id, "command")
    if status is None:
        return current, f"its {verb} has not ended"
    if tasks.is_well(status):
        return current, f"its {verb} ended well, and it runs all the same"
    return current, f"its {verb} failed: {status[:120]}"


def begin(client: Client, server_id: str, doing: str, command: Callable[[], str]) -> str:
    """Give a command and return its task. Raises HostBusy, HostFull, HostFailed."""
    try:
        return command()
    except Refused as error:
        raise in_words(client, server_id, doing, error) from None


def in_words(client: Client, server_id: str, doing: str, error: Refused) -> HostError:
    """Return what a refusal means to a caller."""
    if error.is_gone:
        return HostBusy(server_id, "migration")
    if error.is_locked:
        return HostBusy(server_id, "command")
    return HostFailed(client.host, doing, error.reason)


def finish(client: Client, server_id: str, doing: str, task: str, seconds: float) -> None:
    """Wait for a task that must end well. Raises HostBusy while it goes on, HostFull, HostFailed."""
    status = tasks.end_of(client, task, seconds)
    if status is None or tasks.is_locked(status):
        raise HostBusy(server_id, "command")
    if tasks.is_well(status):
        return
    if "No space left" in status or "not enough space" in status or "out of space" in status:
        raise HostFull(client.host)
    raise HostFailed(client.host, doing, status[:160])


def refuse_locked(client: Client, server_id: str, found: Located) -> None:
    """Raise HostBusy while something holds the guest; HostFailed when that has ended without letting go, or has no end.

    Whoever is told that it is busy waits without telling anybody: that must have a bound.
    """
    if found.lock is None:
        return
    guest = found.guest
    doing = f"command guest {guest.vmid}, which is locked ({found.lock})"
    try:
        at_work = client.rows(f"nodes/{guest.node}/tasks", vmid=guest.vmid, source="active")
    except Refused as error:
        raise HostFailed(client.host, doing, error.reason) from None
    command = "pct" if guest.type == "lxc" else "qm"
    if not at_work:
        raise HostFailed(client.host, doing, f"nothing works on it any more; see to it with `{command} unlock`")
    newest = max(float(task.get("starttime") or 0) for task in at_work)
    if time.time() - newest > LOCK_PATIENCE_SECONDS:
        raise HostFailed(client.host, doing, "what works on it does not come to an end; see to its task")
    raise HostBusy(server_id, found.lock)


def set_onboot(client: Client, server_id: str, found: Located, on: bool) -> None:
    """Choose whether the node starts the guest at its own boot, and see that it took it."""
    if found.onboot == on:
        return
    refuse_locked(client, server_id, found)
    path = f"{found.guest.path}/config"
    try:
        client.put(path, onboot=int(on), digest=found.config.get("digest"))
        taken = is_true(client.fields(path).get("onboot")) == on
    except Refused as error:
        raise in_words(client, server_id, f"set autostart of guest {found.guest.vmid}", error) from None
    if not taken:
        raise HostFailed(client.host, f"set autostart of guest {found.guest.vmid}", "it was taken and is not so")


def set_autostart(client: Client, server_id: str, found: Located, on: bool) -> None:
    """Choose whether the cluster starts the guest by itself: at a node's boot, or by high availability."""
    set_onboot(client, server_id, found, on)
    current = live(client, server_id, found)
    if not _is_managed(current):
        return
    runs = current.get("status") == "running"
    # `stopped` would end what runs, and `started` would start what does not: neither is asked for here
    wanted = ("started" if on else "ignored") if runs else ("ignored" if on else "stopped")
    if ha_state(client, found) != wanted:
        set_ha(client, found, wanted)


def ha_state(client: Client, found: Located) -> str:
    """Return what high availability was told to do with a guest. Raises HostFailed."""
    try:
        return str(client.fields(found.guest.ha_path).get("state") or "started")
    except Refused as error:
        raise HostFailed(client.host, f"show the HA state of guest {found.guest.vmid}", error.reason) from None


def set_ha(client: Client, found: Located, state: str) -> None:
    """Tell high availability what to do with a guest. Raises HostFailed."""
    try:
        client.put(found.guest.ha_path, state=state)
    except Refused as error:
        raise HostFailed(client.host, f"set the HA state of guest {found.guest.vmid}", error.reason) from None


def _is_managed(current: dict[str, Any]) -> bool:
    ha = current.get("ha")
    return isinstance(ha, dict) and is_true(ha.get("managed"))


def _let_go(client: Client, found: Located, current: dict[str, Any]) -> None:
    """Keep high availability from starting again what is about to be stopped."""
    if _is_managed(current) and ha_state(client, found) not in {"ignored", "stopped", "disabled"}:
        set_ha(client, found, "ignored")


def _await(client: Client, server_id: str, found: Located, status: str, seconds: float) -> dict[str, Any]:
    """Look until the guest is seen so, or the time is over; return the last that was seen."""
    ends_at = time.monotonic() + seconds
    while True:
        trouble: HostUnavailable | None = None
        current: dict[str, Any] = {}
        try:
            current = live(client, server_id, found)
        except HostUnavailable as error:
            trouble = error
        if current.get("status") == status:
            return current
        if time.monotonic() >= ends_at:
            if trouble is not None:
                raise trouble
            return current
        time.sleep(LOOK_SECONDS)
