"""A server's console: its output in a log of bounded size with offsets that only grow, its input through a pipe.

The log is a row of segments, each named by the offset of its first byte and cut at the end of a line, so that any
process can read on from an offset while the supervisor writes, drops old segments, or is long gone.
"""

from __future__ import annotations

import errno
import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.hosts.base import ConsoleBusy, ConsoleLineRefused, NotRunning
from jobs.hosts.local import locks

if TYPE_CHECKING:
    from pathlib import Path

SEGMENT_BYTES = 512 * 1024
SEGMENTS_KEPT = 2
LINE_BYTES = 8 * 1024
READ_BYTES = 64 * 1024
SCREENFUL_BYTES = 16 * 1024
# up to PIPE_BUF a write to a pipe is whole or nothing, so that lines of several senders never mix
COMMAND_BYTES = min(2_048, select.PIPE_BUF) - 1

INPUT_NAME = "console.in"
ALIVE_NAME = "alive.lock"
"""Held by the supervisor for as long as it lives."""


@dataclass(frozen=True, slots=True)
class _Segment:
    start: int
    path: Path
    size_bytes: int

    @property
    def end(self) -> int:
        return self.start + self.size_bytes


class ConsoleLog:
    """The writing end, owned by the supervisor of one server."""

    def __init__(self, run: Path) -> None:
        self._run = run
        segments = _segments(run)
        self._start = segments[-1].start if segments else 0
        self._size_bytes = segments[-1].size_bytes if segments else 0
        self._column = 0
        self._descriptor = self._open(self._start)
        if self._size_bytes and not self._ends_with_newline(segments[-1]):
            self.feed(b"\n")  # the last supervisor died in the middle of a line

    def feed(self, data: bytes) -> None:
        """Append what the server printed. Lines longer than the bound are cut into several."""
        shaped = self._cut_lines(data)
        first_end = shaped.find(b"\n") + 1
        if first_end and self._size_bytes + len(shaped) > SEGMENT_BYTES:
            self._append(shaped[:first_end])
            self._next_segment()
            shaped = shaped[first_end:]
        self._append(shaped)

    def say(self, text: str) -> None:
        """Append a line of the host's own, on a line by itself."""
        self.feed(b"%s[host] %s\n" % (b"\n" if self._column else b"", text.encode()))

    def _cut_lines(self, data: bytes) -> bytes:
        shaped = bytearray()
        for index, piece in enumerate(data.split(b"\n")):
            if index:
                shaped += b"\n"
                self._column = 0
            rest = piece
            while self._column + len(rest) > LINE_BYTES:
                room = LINE_BYTES - self._column
                shaped += rest[:room] + b"\n"
                rest, self._column = rest[room:], 0
            shaped += rest
            self._column += len(rest)
        return bytes(shaped)

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            written = os.write(self._descriptor, view)
            self._size_bytes += written
            view = view[written:]

    def _next_segment(self) -> None:
        following = self._open(
            self._start + self._size_bytes
        )  # first, for a full disk must not leave a closed one behind
        os.close(self._descriptor)
        self._descriptor = following
        self._start += self._size_bytes
        self._size_bytes = 0
        for old in _segments(self._run)[:-SEGMENTS_KEPT]:
            old.path.unlink(missing_ok=True)

    def _open(self, start: int) -> int:
        path = self._run / f"console-{start:020d}.log"
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @staticmethod
    def _ends_with_newline(segment: _Segment) -> bool:
        with segment.path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) == b"\n"


def read_console(run: Path, after_offset: int | None) -> tuple[int, list[str]]:
    """Return the offset to continue from and the whole lines after `after_offset`, a bounded number of bytes."""
    while True:
        segments = _segments(run)
        if not segments:
            return 0, []
        try:
            return _read(segments, after_offset)
        except FileNotFoundError:
            continue  # that segment was dropped meanwhile; the next look no longer lists it


def send(run: Path, server_id: str, line: str) -> None:
    """Type one line on the server's console. Raises ConsoleLineRefused, NotRunning, ConsoleBusy."""
    typed = checked_line(line)
    try:
        descriptor = os.open(run / INPUT_NAME, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.write(descriptor, typed)
        finally:
            os.close(descriptor)
    except BlockingIOError:
        raise ConsoleBusy(server_id) from None
    except OSError as error:
        if error.errno not in (errno.ENXIO, errno.ENOENT, errno.EPIPE):
            raise
        # nobody reads: the server is not there, or it runs and has closed its input
        raise (ConsoleBusy if locks.is_held(run / ALIVE_NAME) else NotRunning)(server_id) from None


def checked_line(line: str) -> bytes:
    """Return a line as it is typed. Raises ConsoleLineRefused."""
    if not line.strip():
        raise ConsoleLineRefused("it is empty")
    if any((ord(character) < 32 and character != "\t") or ord(character) == 127 for character in line):
        raise ConsoleLineRefused("it holds line breaks or other control characters")
    try:
        typed = line.encode() + b"\n"
    except UnicodeEncodeError:
        raise ConsoleLineRefused("it is not valid text") from None
    if len(typed) > COMMAND_BYTES:
        raise ConsoleLineRefused(f"it is longer than {COMMAND_BYTES - 1} bytes")
    return typed


def _read(segments: list[_Segment], after_offset: int | None) -> tuple[int, list[str]]:
    oldest, newest = segments[0], segments[-1]
    if after_offset is None:
        offset = max(oldest.start, newest.end - SCREENFUL_BYTES)
    else:
        # an offset past the end is one of an earlier server of this id
        offset = after_offset if oldest.start <= after_offset <= newest.end else oldest.start
    start = max(item.start for item in segments if item.start <= offset)
    data = _joined([item for item in segments if item.start >= start], offset)
    if after_offset is None and offset > start:  # most likely in the middle of a line
        skipped = data.find(b"\n") + 1
        data, offset = data[skipped:], offset + skipped
    complete = data[: data.rfind(b"\n") + 1]
    lines = [line.rstrip(b"\r").decode("utf-8", "replace") for line in complete.split(b"\n")[:-1]]
    return offset + len(complete), lines


def _joined(segments: list[_Segment], offset: int) -> bytes:
    """Return what is written from `offset` on, a bounded number of bytes."""
    data = b""
    for segment in segments:
        position = offset + len(data)
        if segment.start > offset and segment.start != position:
            break  # enough is read, or the segment between was begun while they were listed
        with segment.path.open("rb") as stream:
            stream.seek(position - segment.start)
            data += stream.read(READ_BYTES - len(data))
    return data


def _segments(run: Path) -> list[_Segment]:
    found = []
    for path in run.glob("console-*.log"):
        try:
            found.append(_Segment(int(path.stem.removeprefix("console-")), path, path.stat().st_size))
        except FileNotFoundError:
            continue  # dropped meanwhile
    return sorted(found, key=lambda segment: segment.start)
