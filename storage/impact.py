"""What another policy would do to the accounts as they are now. Reads only, in batches, and keeps what differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, text

from engine.decide import settle
from engine.errors import EngineError
from engine.model import Policy
from engine.snapshot import Settlement, Snapshot
from storage import brakes, policies
from storage.database import raw
from storage.gather import Clock, Moment, Questions, World

BATCH: Final = 1000
NIL: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Affected:
    """One account that the other policy decides otherwise, or that was told a date."""

    account_id: str
    before: str  # its states once it is decided by the policy in force
    after: str
    due_before: datetime | None
    due_after: datetime | None
    differs: bool  # other steps follow now
    due_now: bool  # something follows at once that would not otherwise
    earlier: bool  # the next instant lies earlier
    promise_at: datetime | None  # the latest date that it was told and that is still ahead
    promise_lost: bool = False  # nothing in the other policy waits for that date
    vanished: str = ""  # a state that the other policy lacks, or why it cannot be decided


@dataclass(slots=True)
class Impact:
    """The whole effect."""

    over: str  # digest of the policy in force that it was compared with
    accounts: int = 0
    affected: list[Affected] = field(default_factory=list)
    pressed: Counter[str] = field(default_factory=Counter)  # by brake: accounts that would ask it at once
    allowed: dict[str, int] = field(default_factory=dict)  # by brake: how many it would let pass

    def count(self, what: Callable[[Affected], bool]) -> int:
        """Return how many accounts are so."""
        return sum(what(each) for each in self.affected)

    @property
    def tripping(self) -> list[str]:
        """The brakes that would trip at once."""
        return [name for name, count in self.pressed.items() if count > self.allowed.get(name, 0)]


def read_only(conn: Connection) -> None:
    """Let the transaction see one instant of the database and change nothing. The first statement of it."""
    conn.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"))


def population(conn: Connection) -> int:
    """Return how many accounts there are."""
    counted: int = conn.execute(text("SELECT count(*) FROM accounts")).scalar_one()
    return counted


def impact(
    conn: Connection,
    old: Policy,
    new: Policy,
    *,
    world: World | None = None,
    mapping: Mapping[tuple[str, str], str] = policies.NO_MAPPING,
    told: Callable[[int], None] = lambda _count: None,
) -> Impact:
    """Decide every account under both policies, and write nothing. told: hears of each batch's size."""
    world = world or World()
    pg = raw(conn)
    moment = Clock(pg).moment(world)
    found = Impact(over=old.digest)
    for name, permit in new.permits.items():
        if permit.brake is not None:
            found.allowed[name] = brakes.left(conn, permit, moment.now)
    for ids in _batches(conn):
        before = Questions(pg, ids).read(old, moment, world)
        after = Questions(pg, ids).read(new, moment, world)
        for account_id in ids:
            one, two = before[account_id].snapshot, policies.mapped(after[account_id].snapshot, mapping)
            affected, asks = _judge(old, new, one, two, moment)
            found.pressed.update(asks)
            if affected is not None:
                found.affected.append(affected)
        found.accounts += len(ids)
        told(len(ids))
    return found


def _batches(conn: Connection) -> Iterator[list[str]]:
    pg, last = raw(conn), NIL
    while True:
        asked = pg.execute("SELECT id::text FROM accounts WHERE id > %s::uuid ORDER BY id LIMIT %s", [last, BATCH])
        ids = [row[0] for row in asked.fetchall()]
        if not ids:
            return
        yield ids
        last = ids[-1]


def _judge(
    old: Policy, new: Policy, one: Snapshot, two: Snapshot, moment: Moment
) -> tuple[Affected | None, frozenset[str]]:
    """Return what differs for an account, and the brakes that it would ask at once."""
    now = moment.now
    promise_at, lost = _promise(old, new, one, now)
    try:
        before = settle(old, one, now)
        after = settle(new, two, now)
        # Whoever waits for an answer today asks the brake as soon as it comes.
        asks = frozenset(settle(new, replace(two, permits=dict.fromkeys(two.permits, True)), now).brakes)
    except (EngineError, KeyError) as error:
        why = str(error)
        gone = Affected(one.account_id, _states(one), "", None, None, True, False, False, promise_at, lost, why)
        return gone, frozenset()
    differs = _steps(before) != _steps(after)
    due_now = bool(after.steps) and not before.steps
    earlier = after.due_at is not None and (before.due_at is None or after.due_at < before.due_at)
    if not (differs or earlier or before.due_at != after.due_at or promise_at is not None):
        return None, asks
    return (
        Affected(
            one.account_id, _states(before.snapshot), _states(after.snapshot), before.due_at, after.due_at, differs,
            due_now, earlier, promise_at, lost,
        ),
        asks,
    )  # fmt: skip


def _steps(settlement: Settlement) -> list[tuple[str, str, str, tuple[str, ...]]]:
    return [
        (step.machine, step.to, step.mark or "", tuple(sorted(asked.intent for asked in step.asked)))
        for step in settlement.steps
    ]


def _states(snapshot: Snapshot) -> str:
    return " ".join(f"{machine}.{state}" for machine, state in snapshot.states.items())


def _promise(old: Policy, new: Policy, snapshot: Snapshot, now: datetime) -> tuple[datetime | None, bool]:
    """Return the latest date ahead that the account was told, and whether a rule under the new policy may pass it."""
    latest: datetime | None = None
    lost = False
    for name, notice in snapshot.notices.items():
        intent = old.intents.get(name)
        if intent is None or intent.promises is None or notice.promise_at is None or notice.promise_at <= now:
            continue
        latest = max(latest or notice.promise_at, notice.promise_at)
        kept = new.intents.get(name)
        lost = lost or kept is None or kept.promises != intent.promises
    return latest, lost
