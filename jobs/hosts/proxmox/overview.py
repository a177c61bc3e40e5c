"""Every server of a cluster in one call, with what that call cannot tell looked up for a few of them each time.

The list is up to ten seconds old, so that guests on which something was just done are asked themselves. It says nothing
of `onboot`, so that settings are read in turn and remembered; until then autostart is not known.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from jobs.hosts.base import Observation, Observed
from jobs.hosts.errors import HostError
from jobs.hosts.proxmox.client import Refused
from jobs.hosts.proxmox.guests import HA_LEAVES_ALONE, cluster, config_of, is_true, server_of, tags_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.hosts.proxmox.client import Client
    from jobs.hosts.proxmox.guests import Cluster, Guest

LIST_AGE_SECONDS = 30.0
LOOKS = 32
READS = 10
MOST_SECONDS = 1.5  # of a tick that gives a whole host four
RUNNING_WAITS_SECONDS = 30.0  # what is stopped comes first: it is there that autostart must be off
READ_AGAIN_SECONDS = 10.0
NEVER = -1e9
FORGOTTEN_SECONDS = 600.0


class Overview:
    """Sees all servers of one cluster, again and again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._onboot: dict[tuple[int, str], tuple[bool | None, float]] = {}
        """By guest and node: what was read, and when."""

    def all(self) -> Mapping[str, Observation]:
        """See every server. Raises HostUnavailable."""
        ends_at = time.monotonic() + MOST_SECONDS
        seen = cluster(self._client)
        ours = self._ours(seen)
        statuses = self._statuses(ours, ends_at)
        with self._lock:
            self._read_settings(ours, statuses, ends_at)
        observed: dict[str, Observation] = {}
        for server_id, guests in ours.items():
            if len(guests) > 1:
                observed[server_id] = Observation("unknown", None, "two guests say that they are this server")
            else:
                observed[server_id] = self._shown(guests[0], statuses[guests[0].vmid])
        return observed

    def learn(self, guest: Guest, onboot: bool) -> None:
        """Remember what was just read or set."""
        with self._lock:
            self._onboot[guest.vmid, guest.node] = onboot, time.monotonic()

    def _ours(self, seen: Cluster) -> dict[str, list[Guest]]:
        ours: dict[str, list[Guest]] = {}
        for guest in seen.guests:
            server_id = server_of(self._client.options.namespace, guest.vmid, guest.tags)
            if server_id is not None and not guest.template:
                ours.setdefault(server_id, []).append(guest)
        return ours

    def _statuses(self, ours: Mapping[str, list[Guest]], ends_at: float) -> dict[int, str]:
        """Return how each guest is, asking those themselves on which something was done since the list was made."""
        guests = {guest.vmid: guest for found in ours.values() for guest in found}
        statuses = {vmid: guest.status for vmid, guest in guests.items()}
        asked = [vmid for vmid in self._just_touched() if vmid in guests and statuses[vmid] != "unknown"]
        for vmid in asked[:LOOKS]:
            if time.monotonic() > ends_at:
                break
            try:
                statuses[vmid] = str(self._client.fields(f"{guests[vmid].path}/status/current").get("status"))
            except HostError:
                statuses[vmid] = "unknown"  # moved, or its node is away: the list is not to be believed
        return statuses

    def _just_touched(self) -> list[int]:
        """Return the guests of tasks that go on or have ended a moment ago. Without an answer the list must do."""
        since = time.time() - LIST_AGE_SECONDS
        try:
            tasks = self._client.rows("cluster/tasks")
        except (HostError, Refused):
            return []
        recent = (task for task in tasks if float(task.get("endtime") or since + 1) > since)
        return sorted({int(task["id"]) for task in recent if str(task.get("id") or "").isdigit()})

    def _read_settings(self, ours: Mapping[str, list[Guest]], statuses: Mapping[int, str], ends_at: float) -> None:
        """Read the settings of those that were not looked at for longest."""
        now = time.monotonic()
        guests = [found[0] for found in ours.values() if len(found) == 1]
        keys = {(guest.vmid, guest.node) for guest in guests}
        self._onboot = {key: known for key, known in self._onboot.items() if key in keys}

        def turn(guest: Guest) -> float:
            read_at = self._onboot.get((guest.vmid, guest.node), (None, NEVER))[1]
            return read_at + (RUNNING_WAITS_SECONDS if statuses[guest.vmid] == "running" else 0.0)

        readable = [g for g in guests if statuses[g.vmid] != "unknown" and now - turn(g) > READ_AGAIN_SECONDS]
        for guest in sorted(readable, key=turn)[:READS]:
            if time.monotonic() > ends_at:
                return
            self._onboot[guest.vmid, guest.node] = self._onboot_of(guest), time.monotonic()

    def _onboot_of(self, guest: Guest) -> bool | None:
        try:
            config = config_of(self._client, guest)
        except HostError:
            return None
        if config is None or guest.tags != tags_of(config.get("tags")):
            return None
        return is_true(config.get("onboot"))

    def _shown(self, guest: Guest, status: str) -> Observation:
        observed: Observed = "running" if status == "running" else "stopped" if status == "stopped" else "unknown"
        onboot, read_at = self._onboot.get((guest.vmid, guest.node), (None, NEVER))
        autostart = onboot if time.monotonic() - read_at < FORGOTTEN_SECONDS else None
        if guest.ha is not None and guest.ha not in HA_LEAVES_ALONE:
            autostart = True
        return Observation(observed, autostart, f"{guest.type} {guest.vmid} on {guest.node}")
