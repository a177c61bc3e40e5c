"""Durations as the policy writes them: a whole number and one unit, `5s`, `30m`, `72h`, `14d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Literal

Unit = Literal["seconds", "minutes", "hours", "days"]

UNITS: dict[str, Unit] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
DURATION = re.compile(r"(0|[1-9][0-9]{0,5})([smhd])")
YEARS = range(1970, 3000)  # of instants that people write: with ten years added they never overflow
LONGEST = timedelta(days=3660)  # ten years: more is a slip of the finger, and dates must not overflow


def parse_duration(text: str) -> timedelta | None:
    """Return the duration that the text writes; None when it writes none, or one beyond ten years."""
    match = DURATION.fullmatch(text)
    if match is None:
        return None
    duration = timedelta(**{UNITS[match[2]]: int(match[1])})
    return duration if duration <= LONGEST else None


def write_duration(duration: timedelta) -> str:
    """Return the duration in the largest unit that writes it as a whole number, as the policy would."""
    seconds = int(duration.total_seconds())
    for letter, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        # `72h` is how people speak of three days of a debt; `14d` of two weeks
        if seconds and seconds % size == 0 and (letter != "d" or seconds // size >= 7):
            return f"{seconds // size}{letter}"
    return f"{seconds}s" if seconds else "0h"
