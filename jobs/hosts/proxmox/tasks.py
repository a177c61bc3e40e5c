"""Tasks: what the API answers with in place of a result. Each is watched to its end, and its exit status is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jobs.hosts.errors import HostUnavailable
from jobs.hosts.proxmox.client import Refused

if TYPE_CHECKING:
    from jobs.hosts.proxmox.client import Client

FIRST_PAUSE_SECONDS = 0.05


def end_of(client: Client, task: str, seconds: float) -> str | None:
    """Wait for a task and return its exit status, which is `OK` when it went well; `None` when it has not ended.

    Reading may be repeated, so that one answer that fails proves nothing. Raises HostUnavailable when the last one did.
    """
    path = f"nodes/{task.split(':')[1]}/tasks/{task}/status"
    ends_at = time.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        trouble: HostUnavailable | None = None
        try:
            seen = client.fields(path)
            if seen.get("status") == "stopped":
                return str(seen.get("exitstatus") or "it ended without saying how")
        except HostUnavailable as error:
            trouble = error
        except Refused as error:
            trouble = HostUnavailable(client.host, f"it does not tell of its own task: {error.reason}")
        left = ends_at - time.monotonic()
        if left <= 0:
            if trouble is not None:
                raise trouble
            return None
        time.sleep(min(pause, left))
        pause = min(pause * 2, client.options.timeouts.poll)


def is_well(status: str | None) -> bool:
    """Tell whether a task did what it was asked. Warnings are none of our business."""
    return status is not None and (status == "OK" or status.startswith("WARNINGS"))


def is_locked(status: str | None) -> bool:
    """Tell whether a task failed because something else worked on the guest."""
    return status is not None and ("locked" in status or "can't lock file" in status or "got lock timeout" in status)
