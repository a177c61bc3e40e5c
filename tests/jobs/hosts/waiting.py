"""Waiting on conditions, with a bound."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

PATIENCE_SECONDS = 60.0


def eventually(look: Callable[[], _T], seconds: float = PATIENCE_SECONDS) -> _T:
    """Return the first true result of `look`."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {seconds} s; last seen: {found!r}")
        time.sleep(0.01)
    return found


def processes_that_mention(path: Path) -> list[int]:
    """Find the living processes whose arguments or environment hold `path`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                shown = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
                if os.fsencode(path) in shown:
                    found.append(int(entry.name))
    return found
