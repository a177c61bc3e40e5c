"""On which port a server is reached: what its processes really listen on, as the kernel tells, not as they say."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.hosts.local.identity import ON_LINUX

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

_PROC = Path("/proc")
_LISTENING = "0A"


def listening_port(pids: Collection[int], wanted: int) -> int | None:
    """Return the TCP port that these processes listen on: the wanted one if they do, else the lowest; `None`: none.

    `None` too where the system does not show it.
    """
    if not ON_LINUX:
        return None
    ports: set[int] = set()
    for pid in pids:
        sockets = set(_sockets(pid))
        if sockets:
            ports |= {port for inode, port in _listeners(pid) if inode in sockets}
    return wanted if wanted in ports else min(ports, default=None)


def _sockets(pid: int) -> Iterator[str]:
    try:
        open_ones = list((_PROC / str(pid) / "fd").iterdir())
    except OSError:
        return  # it ended, or belongs to somebody else
    for each in open_ones:
        try:
            target = os.readlink(each)  # noqa: PTH115 - it leads to nothing that has a path
        except OSError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            yield target.removeprefix("socket:[").removesuffix("]")


def _listeners(pid: int) -> Iterator[tuple[str, int]]:
    """Yield the socket and the port of whatever listens in the network that the process sees."""
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / str(pid) / "net" / table).read_text("ascii").splitlines()[1:]
        except (OSError, UnicodeDecodeError):
            continue
        for line in lines:
            fields = line.split()
            if len(fields) > 9 and fields[3] == _LISTENING:
                yield fields[9], int(fields[1].rpartition(":")[2], 16)
