"""How long an action waits before its next try."""

from __future__ import annotations

from datetime import timedelta

from storage.intents import MOST_TRIES, Claim

FIRST_DELAY = timedelta(seconds=5)
LONGEST_DELAY = timedelta(hours=1)
MOMENT = timedelta(seconds=2)  # for what is on its way and does not count as a failure


def delay(claim: Claim, first: timedelta = FIRST_DELAY) -> timedelta:
    """Return how long to wait before the next try: twice as long each time, up to an hour."""
    doubled: timedelta = first * 2 ** min(claim.tries - 1, 20)
    return min(doubled, LONGEST_DELAY)


def is_last(claim: Claim) -> bool:
    """Tell whether another failure would be the last."""
    return claim.tries >= MOST_TRIES[claim.kind]
