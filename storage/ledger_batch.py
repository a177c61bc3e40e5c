"""One batch of decisions: lock, gather, settle, give out the brakes' slots, write. All of it or none.

Called through `storage.ledger`; nothing else writes an account's states.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from engine.decide import settle
from engine.model import Policy
from engine.model_permits import PermitKind
from engine.snapshot import Asked, Command, Settlement, Snapshot
from storage import brakes, leases, policies
from storage.alerts import raise_alert
from storage.audit import AuditNote, Chain, Link, instant_text
from storage.database import raw
from storage.errors import UnknownAccount
from storage.garbage import no_collecting
from storage.gather import Clock, Known, Moment, Questions, World, array_of
from storage.intents_outbox import Outbox
from storage.ledger_write import Writer, held_until_of, waiting_text

# Sorted, so that two batches that share accounts wait for each other instead of deadlocking. NO KEY: rows that refer to
# the account, such as operations, may be inserted meanwhile.
LOCK: Final = (
    "SELECT count(*) FROM (SELECT id FROM accounts WHERE id = ANY(%s::uuid[]) ORDER BY id FOR NO KEY UPDATE) locked"
)

# So many accounts are read, decided and written while the next are on their way.
CHUNK: Final = 500

# What waits for something whose end is not known is looked at again after this.
LOOK_AGAIN: Final = timedelta(minutes=1)

# A permit that names an alert and no time for it is given so long.
PATIENCE: Final = timedelta(hours=1)
NO_PATIENCE: Final = timedelta(0)


@dataclass(frozen=True, slots=True)
class Order:
    """An intent that a person, the lifecycle or a repair asks for, with what its action needs to know."""

    asked: Asked
    args: str = "{}"
    """JSON."""
    queue: str | None = None
    """None: the one for its kind."""


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one account before it is settled."""

    notes: tuple[AuditNote, ...] = ()
    """Audited before the steps that follow from it."""
    apply: Callable[[Snapshot, datetime], Snapshot] | None = None
    """What it changes in the snapshot: a delivery's stamp, a claim's promise."""
    enforcement: str | None = None
    """The enforcement effect that was carried out."""
    orders: Sequence[Order] = ()
    """Intents that somebody asked for directly. Read after `apply`, which may add to them."""


NOTHING: Final = Change()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What one account's decision came to."""

    account_id: UUID
    settlement: Settlement
    intents: tuple[Outbox, ...]
    """Those that were new: queues are to be told of them after the commit."""
    at: datetime
    """The instant of the decision."""

    @property
    def intent_ids(self) -> tuple[UUID, ...]:
        """Return the ids of the new intents."""
        return tuple(each.intent_id for each in self.intents)


def lock(conn: Connection, account_ids: Sequence[UUID]) -> None:
    """Lock accounts in sorted order, until the transaction ends. Ids that do not exist are passed over."""
    raw(conn).execute(LOCK, [array_of(map(str, account_ids))])


def record_batch(
    conn: Connection,
    policy: Policy,
    account_ids: Sequence[UUID],
    changes: Mapping[UUID, Change],
    *,
    actor: str,
    command: Command | None = None,
    fence: leases.Fence | None = None,
    world: World | None = None,
    first: Callable[[psycopg.Connection[Any]], None] | None = None,
) -> list[Recorded]:
    """Decide these accounts now. Raises UnknownAccount, FenceLost, and what `engine.decide.settle` raises."""
    if not account_ids:
        return []
    pg, world = raw(conn), world or World()
    ids = [(account_id, str(account_id)) for account_id in dict.fromkeys(account_ids)]
    chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    with pg.pipeline():
        held = leases.ask(pg, fence) if fence is not None else None
        if first is not None:
            first(pg)
        pg.execute(LOCK, [array_of(name for _, name in ids)])
        clock = Clock(pg)
        questions = [Questions(pg, [name for _, name in chunk]) for chunk in chunks[:1]]
    if fence is not None and held is not None:
        leases.require(held, fence)
    moment = clock.moment(world)
    batch = _Batch(conn, policies.deciding(conn, policy, moment.digest), moment, world, changes)
    with no_collecting() if len(chunks) > 1 else contextlib.nullcontext():
        return batch.run(actor if command is None else command.actor, command, chunks, questions)


def record_change(
    conn: Connection,
    policy: Policy,
    account_id: UUID,
    change: Change,
    *,
    actor: str,
    fence: leases.Fence | None = None,
    world: World | None = None,
) -> Recorded:
    """Decide one account to which something happened: `record_batch` of one."""
    (recorded,) = record_batch(conn, policy, [account_id], {account_id: change}, actor=actor, fence=fence, world=world)
    return recorded


Chunk = Sequence[tuple[UUID, str]]
Settled = tuple[UUID, Known, Snapshot, Settlement]


class _Batch:
    """One batch on its way, chunk by chunk.

    While Python decides one chunk, PostgreSQL writes the one before and reads the next: everything but the brakes goes
    through one pipeline, in one transaction.
    """

    def __init__(
        self, conn: Connection, policy: Policy, moment: Moment, world: World, changes: Mapping[UUID, Change]
    ) -> None:
        self.conn = conn
        self.pg = raw(conn)
        self.policy = policy
        self.moment = moment
        self.now = moment.now
        self.now_text = instant_text(moment.now)
        self.world = world
        self.changes = changes
        self.look_again = moment.now + LOOK_AGAIN
        self.alarms: dict[str, tuple[str, str, UUID | None]] = {}

    def run(
        self, actor: str, command: Command | None, chunks: Sequence[Chunk], questions: list[Questions]
    ) -> list[Recorded]:
        self.actor, self.command = actor, command
        self.writer = Writer(self.policy, self.moment.epoch, self.now, actor)
        decided: list[tuple[Settled, list[Outbox]]] = []
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.pg.pipeline())
            questions += [Questions(self.pg, [name for _, name in chunk]) for chunk in chunks[len(questions) :]]
            for chunk, asked in zip(chunks, questions, strict=True):
                settled, braking = self._settle(chunk, asked.read(self.policy, self.moment, self.world))
                if braking:
                    stack.close()  # the brakes' answers are needed now
                    settled = self._brake(settled)
                    stack.enter_context(self.pg.pipeline())
                decided += [(each, self._take(*each)) for each in settled]
                self.writer.send(self.pg)
        for key, (kind, words, account_id) in self.alarms.items():
            raise_alert(self.conn, kind, words, account_id, key=key)
        is_new = self.writer.new_intents(self.pg)
        return [
            Recorded(each[0], each[3], tuple([one for one in outbox if is_new(one.intent_id)]), self.now)
            for each, outbox in decided
        ]

    def _settle(self, chunk: Chunk, known: Mapping[str, Known]) -> tuple[list[Settled], bool]:
        settled: list[Settled] = []
        braking = False
        for account_id, name in chunk:
            account = known.get(name)
            if account is None:
                raise UnknownAccount(account_id)
            before = account.snapshot
            change = self.changes.get(account_id, NOTHING)
            if change.apply is not None:
                before = change.apply(before, self.now)
            settlement = settle(self.policy, before, self.now, self.command)
            if settlement.brakes:
                braking = True
            settled.append((account_id, account, before, settlement))
        return settled, braking

    def _brake(self, settled: list[Settled]) -> list[Settled]:
        """Give out slots; those who get none are settled again, without the permit.

        INVARIANT: counted and given out under one lock, so parallel sweeps cannot pass the brake together.
        """
        wanting: dict[str, list[UUID]] = {}
        for account_id, _, _, settlement in settled:
            for name in settlement.brakes:
                wanting.setdefault(name, []).append(account_id)
        denied: dict[UUID, set[str]] = {}
        for name in sorted(wanting):
            given = brakes.take(self.conn, self.policy.permits[name], wanting[name], self.now)
            for account_id in set(wanting[name]) - given:
                denied.setdefault(account_id, set()).add(name)
        return [self._without(each, denied.get(each[0])) for each in settled]

    def _without(self, each: Settled, names: set[str] | None) -> Settled:
        if not names:
            return each
        account_id, account, before, _ = each
        before = replace(before, permits={**before.permits, **dict.fromkeys(names, False)})
        return account_id, account, before, settle(self.policy, before, self.now, self.command)

    def _take(self, account_id: UUID, account: Known, before: Snapshot, settlement: Settlement) -> list[Outbox]:
        """Hand one account to the writer, unless nothing about it changed."""
        change = self.changes.get(account_id, NOTHING)
        waits = settlement.waiting
        held_until = held_until_of(waits, self.now, self.look_again) if waits else None
        waiting = waiting_text(waits) if waits else "[]"
        if waits:
            self._watch(account_id, settlement)
        steps = settlement.steps
        untouched = not steps and change is NOTHING and before is account.snapshot
        if untouched and not self._differs(account, settlement, held_until, waiting):
            return []
        name = account.snapshot.account_id
        links: list[Link] = []
        if steps or change.notes:
            seq, head, digest = account.audit_seq, account.audit_hash, self.policy.digest
            chain = Chain(name, seq, head, self.now, self.now_text, digest)
            links = [chain.add(note) for note in change.notes]
            links += [chain.add_step(step, self.actor) for step in steps]
        self.writer.account(
            account, settlement, links, held_until=held_until, waiting=waiting, enforcement=change.enforcement
        )
        outbox = [self.writer.intent(name, each.asked, each.args, each.queue) for each in change.orders]
        outbox += [self.writer.intent(name, asked) for step in steps for asked in step.asked]
        return outbox

    def _watch(self, account_id: UUID, settlement: Settlement) -> None:
        """See whether a person has to be told that something due has waited for its permit for too long.

        What answers for everybody, such as the clock, is told once an hour; what is the account's own, once a wait.
        """
        for wait in settlement.waiting:
            permit = self.policy.permits[wait.permit]
            due_at = settlement.due_at
            if permit.alert is None or permit.kind is PermitKind.BRAKE or due_at is None:
                continue
            of_all = permit.kind is PermitKind.SERVICE
            patience = permit.alert_after or (NO_PATIENCE if permit.service == "database_clock" else PATIENCE)
            if self.now - due_at < patience:
                continue
            about = f"{self.now:%Y-%m-%dT%H}" if of_all else f"{account_id}:{due_at.isoformat()}"
            words = (
                f"{wait.rule} is due since {instant_text(due_at)} and waits for {permit.name}, for account {account_id}"
            )
            words += " and maybe others" if of_all else ""
            self.alarms.setdefault(f"{permit.alert}:{about}", (permit.alert, words, None if of_all else account_id))

    def _differs(self, account: Known, settlement: Settlement, held_until: datetime | None, waiting: str) -> bool:
        server = settlement.server
        return (
            account.due_at != settlement.due_at
            or (account.held_until, account.waiting) != (held_until, waiting)
            or account.digest != self.policy.digest
            or account.epoch != self.moment.epoch
            or (account.server_state, account.machine, account.code) != (server.state, server.machine, server.code)
        )
