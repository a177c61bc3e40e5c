"""Telling processes apart for certain: a process id alone may by now belong to somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LAUNCH_VARIABLE = "SERVER_LAUNCH"
"""In the environment of everything that a server runs; its value is different at each start."""

ON_LINUX = os.uname().sysname == "Linux"
_PROC = Path("/proc")


def identity_of(pid: int) -> str | None:
    """Return when the process began, as the system writes it, or `None` when no living process has this id."""
    if ON_LINUX:
        fields = _stat_fields(pid)
        # 0 is its state: a dead process that nobody has collected yet runs no more
        return None if fields is None or fields[0] in "ZX" else fields[19]
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def handle_of(pid: int) -> int | None:
    """Open a handle that keeps meaning this very process, readable once it ends. `None` where there is no such thing.

    Raises ProcessLookupError when there is no such process.
    """
    if not ON_LINUX:
        return None
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return None


def signal_if_same(pid: int, identity: str | None, number: signal.Signals) -> None:
    """Signal the process, unless it is gone or another one has its id by now."""
    with suppress(ProcessLookupError):
        handle = handle_of(pid)
        try:
            if identity is None or identity_of(pid) != identity:
                return
            if handle is None:
                os.kill(pid, number)
            else:
                signal.pidfd_send_signal(handle, number)
        finally:
            if handle is not None:
                os.close(handle)


def launched_processes() -> Mapping[str, list[int]]:
    """Find every living process that some server's start brought about, by the launch that it carries.

    Empty where the system does not show environments; callers then fall back on the recorded process.
    """
    found: dict[str, list[int]] = {}
    mark = f"{LAUNCH_VARIABLE}=".encode()
    for pid in _process_ids():
        launch = _variable(pid, mark)
        if launch is not None:
            found.setdefault(launch, []).append(pid)
    return found


def children_of(parent: int) -> list[int]:
    """Find the processes whose parent is `parent`, also ended ones that it has yet to collect."""
    found = []
    for pid in _process_ids():
        fields = _stat_fields(pid)
        if fields is not None and int(fields[1]) == parent:
            found.append(pid)
    return found


def _variable(pid: int, mark: bytes) -> str | None:
    try:
        variables = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return None  # it ended, or belongs to somebody else
    return next((item[len(mark) :].decode("ascii", "replace") for item in variables if item.startswith(mark)), None)


def _process_ids() -> list[int]:
    if not ON_LINUX:
        return []
    return [int(entry.name) for entry in os.scandir(_PROC) if entry.name.isdigit()]


def _stat_fields(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name, which may itself hold spaces and brackets."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()
