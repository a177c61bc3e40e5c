"""Finishing: a worker reports how its try ended, perhaps too late. A delivery stamps, and what follows is decided."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, text

from engine.delivered import ended, stamped
from engine.model import Policy
from engine.snapshot import NoticeStatus, Snapshot
from storage import clock
from storage.alerts import raise_alert
from storage.errors import UnknownIntent
from storage.gather import World
from storage.intents_claim import ADMIN
from storage.intents_rows import Closing, IntentRow, close, lock_intent, trouble_kind
from storage.intents_types import (
    MOST_TRIES,
    TRIES_UNTIL_TOLD,
    Again,
    Claim,
    Done,
    Finished,
    GiveUp,
    Outcome,
    Unknown,
)

REOPEN: Final = text(
    "UPDATE intents SET status = 'open', claim = NULL, claimed_by = NULL, claimed_until = NULL, not_before = :until, "
    "outcome = :why, tries = tries - :uncounted, enqueued_at = NULL WHERE id = :id"
)
NO_DELAY: Final = timedelta(0)


def finish(
    conn: Connection,
    policy: Policy,
    claim: Claim,
    outcome: Outcome,
    *,
    actor: str = "worker",
    world: World | None = None,
) -> Finished:
    """Record how a try ended, with its audit and what follows for the account. Raises UnknownIntent.

    A claim that was lost meanwhile still counts where that is harmless: an effect that is there is there, and a notice
    that has left has left, even if it was taken for unknown.
    """
    row = lock_intent(conn, claim.intent_id)
    if row is None:
        raise UnknownIntent(claim.intent_id)
    late = row.status != "started" or row.claim != claim.token
    if late and not _still_news(row, outcome):
        return Finished(row.status, late=True)
    if isinstance(outcome, Done):
        return _closed(
            conn, policy, row, Closing("done", outcome.what, actor, delivery_of(policy, row)), world, late=late
        )
    if isinstance(outcome, Unknown) and row.is_notice:
        return _closed(conn, policy, row, unknown_of(row, outcome.reason, actor), world, late=late)
    if isinstance(outcome, GiveUp):
        return _closed(conn, policy, row, failure_of(row, outcome.reason, actor), world, late=late)
    again = outcome if isinstance(outcome, Again) else Again(NO_DELAY, outcome.reason)
    if again.counts and row.tries >= MOST_TRIES[row.kind]:
        reason = f"tried {row.tries} times; the last time: {again.reason}"
        return _closed(conn, policy, row, failure_of(row, reason, actor), world, late=late)
    return _again(conn, policy, row, again)


def delivery_of(policy: Policy, row: IntentRow) -> Stamping | None:
    """Return what the delivery of a notice means for its account; None for anything else."""
    if not row.is_notice or row.machine == ADMIN:
        return None
    return Stamping(policy, row)


class Stamping:
    """Sets a delivered notice's stamps, at the instant at which the delivery is recorded."""

    def __init__(self, policy: Policy, row: IntentRow) -> None:
        self.policy = policy
        self.row = row

    def __call__(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        row = self.row
        return stamped(self.policy, snapshot, row.intent, row.episode, row.round, now)


class Ending:
    """Notes that a round ended without a delivery that is known."""

    def __init__(self, row: IntentRow, status: NoticeStatus) -> None:
        self.row = row
        self.status = status

    def __call__(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        row = self.row
        return ended(snapshot, row.intent, row.episode, row.round, self.status)


def failure_of(row: IntentRow, reason: str, actor: str) -> Closing:
    """Return the end of an intent that is given up."""
    apply = Ending(row, NoticeStatus.FAILED) if row.is_notice and row.machine != ADMIN else None
    return Closing("failed", reason, actor, apply)


def unknown_of(row: IntentRow, reason: str, actor: str) -> Closing:
    """Return the end of a notice that may have left."""
    apply = Ending(row, NoticeStatus.UNKNOWN) if row.machine != ADMIN else None
    return Closing("unknown", reason or "it may have left", actor, apply)


def _still_news(row: IntentRow, outcome: Outcome) -> bool:
    """Tell whether a late report still changes something for the better."""
    if not isinstance(outcome, Done):
        return False
    if row.is_notice:
        return row.status in {"unknown", "failed"}
    return row.status == "open"


def _closed(
    conn: Connection, policy: Policy, row: IntentRow, closing: Closing, world: World | None, *, late: bool
) -> Finished:
    recorded = close(conn, policy, row, closing, world=world)
    return Finished(closing.status, late, recorded.intents)


def _again(conn: Connection, policy: Policy, row: IntentRow, again: Again) -> Finished:
    until = clock.now(conn) + again.after if again.after > NO_DELAY else None
    values = {"until": until, "why": again.reason, "uncounted": 0 if again.counts else 1, "id": row.id}
    conn.execute(REOPEN, values)
    if again.counts and row.tries == TRIES_UNTIL_TOLD:
        words = f"{row.intent} has failed {row.tries} times and is tried again: {again.reason}"
        raise_alert(conn, trouble_kind(policy, row, "trying"), words, row.account_id, key=f"trying:{row.id}")
    return Finished("open", late=False)
