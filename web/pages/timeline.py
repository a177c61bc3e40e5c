"""The timeline of an account as its customer reads it: what happened, what is asked of them, and what would follow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import Connection

from engine.errors import EngineError
from engine.model import Policy
from engine.snapshot import Snapshot
from engine.timeline.play import Player, onwards
from storage import audit, gather
from storage.accounts import AccountView
from storage.gather import World

SHOWN_EVENTS = 12
SHOWN_AHEAD = 4
AHEAD = timedelta(days=60)

# What of the audit a customer reads in the timeline; everything else is for the desk.
HAPPENED = {
    "late": "A payment failed",
    "warn": "We wrote to you about it",
    "warn_finally": "We wrote to you a last time before stopping your servers",
    "block_backups": "Backups were paused",
    "suspend": "Your servers were stopped",
    "retain": "Your data is kept for you",
    "warn_retention": "We wrote to you about how long your data is kept for certain",
    "paid_early": "Your payment arrived",
    "paid": "Your payment arrived, and everything was given back",
    "end": "Your subscription ended",
    "stop": "Your servers were stopped",
    "renewed": "Your subscription was renewed",
    "renewed_early": "Your subscription was renewed",
    "open": "A payment was disputed at your bank",
    "lose": "The dispute ended, and its amount is owed again",
    "closed": "The dispute is over",
    "settled": "The dispute is settled",
    "restrict": "Some of what you can do here was restricted",
    "halt": "Your servers were stopped",
    "cleared": "The restriction was lifted",
    "lift": "The restriction was lifted",
    "pause": "Your servers were paused, as was asked",
    "resume": "Your servers may run again",
    "approve": "The deletion of your servers was approved",
    "destroy": "The deletion of your servers began",
    "destroyed": "Your servers were deleted",
    "withdrawn": "The deletion was called off",
    "held": "The deletion was called off",
}
# And what of the policy, while nothing changes.
WOULD_FOLLOW = {
    "warn": "We would write to you about it",
    "warn_finally": "We would write to you a last time",
    "block_backups": "Backups would be paused",
    "suspend": "Your servers would be stopped; your files and backups stay",
    "stop": "Your servers would be stopped; your files and backups stay",
    "restrict": "Some of what you can do here would be restricted",
    "back_up": "Your servers would be deleted for good, after a last backup",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of an account's timeline."""

    at: datetime | None
    words: str
    is_next: bool = False
    is_asked: bool = False
    """The customer is to do it, by then."""


def timeline(
    conn: Connection, policy: Policy, view: AccountView, asked: dict[str, Any] | None, *, world: World, now: datetime
) -> list[Happening]:
    """Return what happened since the running trouble began, what is asked now, and what follows if nothing changes."""
    if view.billing_status == "active" and view.server_billing_state == "allowed" and asked is None:
        return []
    found = [
        Happening(datetime.fromisoformat(row["at"]), HAPPENED[row["action"]])
        for row in audit.read(conn, view.id)[-200:]
        if row["kind"] == "transition" and row["action"] in HAPPENED
    ][-SHOWN_EVENTS:]
    if asked is not None:
        at = asked["at"]
        found.append(Happening(datetime.fromisoformat(at) if at else None, asked["what"], is_next=True, is_asked=True))
    snapshot = gather.snapshots(conn, policy, [view.id], world)[view.id]
    with contextlib.suppress(EngineError):  # such as a state that the policy lacks: the rest is shown all the more
        found += islice(_ahead(policy, snapshot, now), SHOWN_AHEAD)
    return found


def _ahead(policy: Policy, snapshot: Snapshot, now: datetime) -> Iterator[Happening]:
    for moment in Player(policy, onwards(policy, snapshot, now)).run(now + AHEAD):
        for step in moment.steps:
            words = WOULD_FOLLOW.get(step.because.rpartition(".")[2])
            if words and moment.at > now:
                yield Happening(moment.at, words, is_next=True)
