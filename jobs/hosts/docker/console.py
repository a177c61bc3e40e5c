"""A container's console: what it printed, from the Engine's log, and lines that are typed on its standard input.

An offset is the instant of a line in nanoseconds: the Engine has no other mark that only grows.
"""

from __future__ import annotations

import struct
from calendar import timegm
from time import strptime
from typing import TYPE_CHECKING, Any

from jobs.hosts.base import ConsoleBusy, NotRunning
from jobs.hosts.local.console import LINE_BYTES, READ_BYTES, checked_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.hosts.docker.client import Engine
    from jobs.hosts.docker.containers import Container

SCREENFUL_LINES = 200
_HEADER = struct.Struct(">BxxxL")
_NANOSECONDS = 1_000_000_000


def send(engine: Engine, found: Container, line: str) -> None:
    """Type one line. Raises ConsoleLineRefused, NotRunning, ConsoleBusy."""
    typed = checked_line(line)
    if found.observed != "running":
        raise NotRunning(found.server_id)
    if found.state != "running":
        raise ConsoleBusy(found.server_id)
    engine.client.type_on(found.id, typed)


def read_console(engine: Engine, found: Container, after_offset: int | None) -> tuple[int, list[str]]:
    """Return the offset to continue from and the whole lines after `after_offset`, a bounded number of bytes."""
    which = {"tail": str(SCREENFUL_LINES)}
    if after_offset is not None:
        after = max(after_offset, 0) + 1
        which = {"since": f"{after // _NANOSECONDS}.{after % _NANOSECONDS:09d}"}
    offset, lines, read_bytes = after_offset or 0, [], 0
    with engine.client.printed(found.id, **which) as stream:
        for at, line in _lines(stream):
            if after_offset is not None and at <= after_offset:
                continue
            offset = max(offset, at)
            lines.append(line.rstrip(b"\r").decode("utf-8", "replace"))
            read_bytes += len(line)
            if read_bytes > READ_BYTES:
                break
    return offset, lines


def _lines(stream: Any) -> Iterator[tuple[int, bytes]]:
    """Yield each whole line with its instant. A line that is longer than the Engine's own bound comes in pieces."""
    begun: dict[int, bytes] = {}
    while (header := _exactly(stream, _HEADER.size)) is not None:
        channel, size = _HEADER.unpack(header)
        frame = _exactly(stream, size)
        if frame is None:
            return
        stamp, _, text = frame.partition(b" ")
        whole = begun.pop(channel, b"") + text
        if not text.endswith(b"\n") and len(whole) < LINE_BYTES:
            begun[channel] = whole
            continue
        for line in whole.removesuffix(b"\n").split(b"\n"):
            yield _instant(stamp), line[:LINE_BYTES]


def _exactly(stream: Any, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        more = stream.read(count - len(data))
        if not more:
            return None
        data += more
    return data


def _instant(stamp: bytes) -> int:
    """Return an instant such as `2026-03-01T10:00:00.123456789Z` in nanoseconds. Raises ValueError."""
    whole, _, fraction = stamp.decode("ascii").removesuffix("Z").partition(".")
    return timegm(strptime(whole, "%Y-%m-%dT%H:%M:%S")) * _NANOSECONDS + int(fraction.ljust(9, "0")[:9] or 0)
