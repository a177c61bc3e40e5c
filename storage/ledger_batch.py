"""One batch of decisions: lock, gather, settle, give out the brakes' slots, write. All of it or none.

Called through `storage.ledger`; nothing else writes an account's states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Connection

from engine.decide import settle
from engine.model import Policy
from engine.snapshot import Asked, Command, Settlement, Snapshot, Step, StepKind
from storage import brakes, leases, policies
from storage.audit import AuditNote, Link, link
from storage.database import raw
from storage.errors import UnknownAccount
from storage.gather import Asked as Questions
from storage.gather import Known, Moment, World
from storage.intents_outbox import Outbox
from storage.ledger_write import Writer, held_until_of, waiting_text

# Sorted, so that two batches that share accounts wait for each other instead of deadlocking. NO KEY: rows that refer to
# the account, such as operations, may be inserted meanwhile.
LOCK: Final = "SELECT count(*) FROM (SELECT id FROM accounts WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) locked"

# What waits for something whose end is not known is looked at again after this.
LOOK_AGAIN: Final = timedelta(minutes=1)


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
    raw(conn).execute(LOCK, [list(account_ids)])


def record_batch(
    conn: Connection,
    policy: Policy,
    account_ids: Sequence[UUID],
    changes: Mapping[UUID, Change],
    *,
    command: Command | None,
    actor: str,
    fence: leases.Fence | None,
    world: World,
) -> list[Recorded]:
    """Decide these accounts now. Raises UnknownAccount, FenceLost, and what `engine.decide.settle` raises."""
    if not account_ids:
        return []
    pg = raw(conn)
    ids = list(dict.fromkeys(account_ids))
    with pg.pipeline():
        held = leases.ask(pg, fence) if fence is not None else None
        locked = pg.execute(LOCK, [ids])
        questions = Questions(pg, ids)
    if fence is not None and held is not None:
        leases.require(held, fence)
    row = locked.fetchone()
    moment = questions.moment(world)
    policy = policies.deciding(conn, policy, moment.digest)
    known = questions.read(policy, moment, world)
    if row is None or row[0] != len(ids):
        raise UnknownAccount(next(account_id for account_id in ids if str(account_id) not in known))
    return _Batch(conn, policy, moment, changes, actor, command).run(ids, known)


class _Batch:
    def __init__(
        self,
        conn: Connection,
        policy: Policy,
        moment: Moment,
        changes: Mapping[UUID, Change],
        actor: str,
        command: Command | None,
    ) -> None:
        self.conn = conn
        self.policy = policy
        self.moment = moment
        self.now = moment.now
        self.changes = changes
        self.actor = actor if command is None else command.actor
        self.command = command
        self.writer = Writer(policy, moment.epoch, moment.now)
        self.look_again = moment.now + LOOK_AGAIN

    def run(self, ids: Sequence[UUID], known: Mapping[str, Known]) -> list[Recorded]:
        settled: list[tuple[UUID, Known, Snapshot, Settlement]] = []
        braking = False
        for account_id in ids:
            account = known[str(account_id)]
            before = account.snapshot
            change = self.changes.get(account_id, NOTHING)
            if change.apply is not None:
                before = change.apply(before, self.now)
            settlement = settle(self.policy, before, self.now, self.command)
            braking = braking or bool(settlement.brakes)
            settled.append((account_id, account, before, settlement))
        if braking:
            settled = self._brake(settled)
        asked = [self._take(*each) for each in settled]
        new = self.writer.write(raw(self.conn))
        return [
            Recorded(account_id, settlement, tuple([each for each in outbox if each.intent_id in new]), self.now)
            for (account_id, _, _, settlement), outbox in zip(settled, asked, strict=True)
        ]

    def _brake(
        self, settled: list[tuple[UUID, Known, Snapshot, Settlement]]
    ) -> list[tuple[UUID, Known, Snapshot, Settlement]]:
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

    def _without(
        self, each: tuple[UUID, Known, Snapshot, Settlement], names: set[str] | None
    ) -> tuple[UUID, Known, Snapshot, Settlement]:
        if not names:
            return each
        account_id, account, before, _ = each
        before = replace(before, permits={**before.permits, **dict.fromkeys(names, False)})
        return account_id, account, before, settle(self.policy, before, self.now, self.command)

    def _take(self, account_id: UUID, account: Known, before: Snapshot, settlement: Settlement) -> list[Outbox]:
        """Hand one account to the writer, unless nothing about it changed."""
        change = self.changes.get(account_id, NOTHING)
        held_until = held_until_of(settlement.waiting, self.now, self.look_again) if settlement.waiting else None
        waiting = waiting_text(settlement.waiting)
        if not (settlement.steps or change is not NOTHING or before is not account.snapshot):
            server = settlement.server
            if (
                account.due_at == settlement.due_at
                and account.held_until == held_until
                and account.digest == self.policy.digest
                and account.epoch == self.moment.epoch
                and (account.server_state, account.machine, account.code) == (server.state, server.machine, server.code)
                and account.waiting == waiting
            ):
                return []
        links = self._links(account_id, account, change, settlement.steps)
        self.writer.account(account, settlement, held_until, waiting, links, change.enforcement)
        name = account.snapshot.account_id
        outbox = [self.writer.intent(name, each.asked, self.actor, each.args, each.queue) for each in change.orders]
        return outbox + [self.writer.intent(name, a, self.actor) for step in settlement.steps for a in step.asked]

    def _links(self, account_id: UUID, account: Known, change: Change, steps: tuple[Step, ...]) -> list[Link]:
        seq, previous, links = account.audit_seq, account.audit_hash, []
        for note in (*change.notes, *[note_of(step, self.actor) for step in steps]):
            made = link(account_id, seq := seq + 1, previous, self.now, note, self.policy.digest)
            previous = made.hash
            links.append(made)
        return links


def note_of(step: Step, actor: str) -> AuditNote:
    """Say in the audit's words what a step changed."""
    rule_id = step.because.rpartition(".")[2]
    action = rule_id if step.kind is StepKind.TRANSITION else step.mark or step.because
    return AuditNote(
        step.kind.value, action, actor, step.because, step.from_, step.to, step.place, step.facts,
        tuple([asked_text(asked) for asked in step.asked]) if step.asked else (),
    )  # fmt: skip


def asked_text(asked: Asked) -> str:
    """Name an intent that was asked for, with its server if it has one."""
    return asked.intent if asked.server_id is None else f"{asked.intent}:{asked.server_id}"
