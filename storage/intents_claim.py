"""Claiming: a worker takes an intent for one try, and learns what it is to do; what is no longer wanted ends here."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import Connection, text

from engine.compiled import compiled
from engine.delivered import claimed, ended
from engine.due import hold_on, promise_of
from engine.model import Policy
from engine.snapshot import NoticeStatus, Snapshot
from engine.wanted import Verdict, wanted
from storage import policies
from storage.gather import World
from storage.intents_rows import Closing, IntentRow, close, lock_intent
from storage.intents_types import Claim
from storage.ledger_batch import LOOK_AGAIN, Change, Recorded, record_change

# What a waiting notice says in `outcome`; `storage.servers.observe` lets it go on when something new was seen.
WAITS_OBSERVED: Final = "waits until its servers are observed"
WAITS_HOLD: Final = "waits until no hold is active"
ADMIN: Final = "person"
"""The machine of intents that a person asked for by name: no rule's promise or stamp is bound to them."""
CLAIM_SECONDS: Final = 600.0

START: Final = text(
    "UPDATE intents SET status = 'started', claim = :token, claimed_by = :worker, tries = tries + 1, "
    "started_at = :now, claimed_until = clock_timestamp() + make_interval(secs => :seconds), "
    "promise_at = :promise_at, not_before = NULL, "
    "outcome = NULL WHERE id = :id RETURNING claimed_until"
)
SNOOZE: Final = text("UPDATE intents SET not_before = :until, outcome = :why WHERE id = :id")


def claim(
    conn: Connection,
    policy: Policy,
    intent_id: UUID,
    worker: int | None,
    *,
    world: World | None = None,
    seconds: float = CLAIM_SECONDS,
) -> Claim | None:
    """Take an intent for one try; None when there is nothing to do: it is not open, must wait, or was dropped.

    The caller commits before it acts, and acts without any lock. worker: the process's id (`storage.processes`); its
    lock says whether it lives. seconds: how long the try may take, in real time.
    """
    row = lock_intent(conn, intent_id)
    if row is None or row.status != "open":
        return None
    policy = policies.deciding(conn, policy, policies.digest_in_force(conn))
    look = _Look(policy, row)
    change = Change(apply=look.claim) if row.is_notice else Change(apply=look.judge)
    recorded = record_change(conn, policy, row.account_id, change, actor="worker", world=world)
    verdict = look.verdict_on(recorded.settlement.snapshot, recorded.at) if look.verdict.ok else look.verdict
    if not verdict.ok:
        _drop(conn, policy, row, verdict, world)
        return None
    if look.wait is not None:
        until, why = look.wait
        conn.execute(SNOOZE, {"until": until, "why": why, "id": row.id})
        return None
    return _start(conn, policy, row, look, recorded, worker=worker, seconds=seconds)


class _Look:
    """What one intent is found to be, while its account is decided under the lock."""

    def __init__(self, policy: Policy, row: IntentRow) -> None:
        self.policy = policy
        self.row = row
        self.verdict = Verdict(True, "")
        self.wait: tuple[datetime, str] | None = None
        self.waited_for = True

    def judge(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        """See whether it is wanted and due; change nothing."""
        if self.row.not_before is not None and self.row.not_before > now:
            self.wait = (self.row.not_before, self.row.outcome or "")
        self.verdict = self.verdict_on(snapshot, now)
        return snapshot

    def claim(self, snapshot: Snapshot, now: datetime) -> Snapshot:
        """Do the same for a notice, and fix what it tells when it may be sent now."""
        self.judge(snapshot, now)
        if not self.verdict.ok or self.wait is not None:
            return snapshot
        self.wait = self._held(snapshot, now) or self._unobserved(snapshot, now)
        if self.wait is not None or self.row.machine == ADMIN:
            return snapshot
        return claimed(self.policy, snapshot, self.row.intent, self.row.round, now)

    def verdict_on(self, snapshot: Snapshot, now: datetime) -> Verdict:
        row = self.row
        about = str(row.server_id) if row.server_id is not None else None
        return wanted(
            self.policy, snapshot, row.intent, row.machine, row.episode, now, round_=row.round, server_id=about
        )

    def _held(self, snapshot: Snapshot, now: datetime) -> tuple[datetime, str] | None:
        promise = promise_of(compiled(self.policy), self.row.intent)
        active, until = hold_on(promise, snapshot.holds, now) if promise is not None else (False, None)
        return (until or now + LOOK_AGAIN, WAITS_HOLD) if active else None

    def _unobserved(self, snapshot: Snapshot, now: datetime) -> tuple[datetime, str] | None:
        waits = self.policy.intents[self.row.intent].waits_for
        if waits is None or all(server.observed == waits.observed for server in snapshot.servers):
            return None
        until = self.row.created_at + waits.at_most
        if now >= until:
            self.waited_for = False
            return None
        return until, WAITS_OBSERVED


def _drop(conn: Connection, policy: Policy, row: IntentRow, verdict: Verdict, world: World | None) -> None:
    def forget(snapshot: Snapshot, now: datetime) -> Snapshot:
        """A round that will not be sent must not stand open: a rule may ask for a next one."""
        return ended(snapshot, row.intent, row.episode, row.round, NoticeStatus.FAILED)

    reason = f"no longer wanted: {verdict.reason}"
    apply = forget if row.is_notice and row.machine != ADMIN else None
    close(conn, policy, row, Closing("dropped", reason, "worker", apply), world=world)


def _start(
    conn: Connection,
    policy: Policy,
    row: IntentRow,
    look: _Look,
    recorded: Recorded,
    *,
    worker: int | None,
    seconds: float,
) -> Claim:
    snapshot = recorded.settlement.snapshot
    notice = snapshot.notices.get(row.intent) if row.is_notice and row.machine != ADMIN else None
    promise_at = notice.promise_at if notice is not None else None
    token = uuid4()
    values = {
        "token": token,
        "worker": worker,
        "now": recorded.at,
        "seconds": seconds,
        "promise_at": promise_at,
        "id": row.id,
    }
    claimed_until = conn.execute(START, values).scalar_one()
    return Claim(
        intent_id=row.id,
        token=token,
        key=row.key,
        account_id=row.account_id,
        server_id=row.server_id,
        machine=row.machine,
        episode=row.episode,
        round=row.round,
        intent=row.intent,
        kind=row.kind,
        queue=row.queue,
        args=row.args,
        actor=row.actor,
        tries=row.tries + 1,
        promise_at=promise_at,
        created_at=row.created_at,
        claimed_at=recorded.at,
        claimed_until=claimed_until,
        waited_for=look.waited_for,
        policy=policy,
        snapshot=snapshot,
    )
