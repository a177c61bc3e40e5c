"""The log of a child process: its last lines for an error, and a bound on its size."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

LIMIT_BYTES = 10_000_000
TAIL_BYTES = 20_000


def size_bytes(log: Path) -> int:
    """Return where the log ends now: what a start writes comes after it."""
    try:
        return log.stat().st_size
    except FileNotFoundError:
        return 0


def last_lines(log: Path, *, since_bytes: int = 0, most: int = 8) -> list[str]:
    """Return the last lines after an offset; none when there is no log."""
    try:
        with log.open("rb") as file:
            file.seek(max(since_bytes, log.stat().st_size - TAIL_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()[-most:]
    except FileNotFoundError:
        return []


def trim(log: Path) -> None:
    """Keep the log bounded: the newest part under its name, the part before it under `NAME.1`.

    Its writer appends, so it goes on at the new end; what it writes in the instant between copy and cut is lost.
    """
    with contextlib.suppress(FileNotFoundError):
        if log.stat().st_size > LIMIT_BYTES:
            before = log.with_name(f"{log.name}.1")
            before.touch(mode=0o600)
            before.write_bytes(log.read_bytes())
            os.truncate(log, 0)
