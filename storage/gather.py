"""Reads accounts into the snapshots that decisions are made on.

Whoever decides locks the accounts in an earlier statement (`storage.ledger`): one statement that locks and reads can
miss a payment that has just committed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from engine.model import Origin, Policy, Value
from engine.model_permits import PermitKind
from engine.snapshot import Hold, NoticeState, NoticeStatus, ServerFacts, Snapshot
from storage.database import raw
from storage.settings import Settings

# Stamps with a column of their own, because people and other programs ask for them; the rest lie in `stamps`.
STAMP_COLUMNS: Final = (
    "warning_sent_at",
    "final_warning_sent_at",
    "backup_blocked_at",
    "suspended_at",
    "retention_until",
)

# What few accounts have, as a fact where there is nothing of it. The rest lies in `rare_facts`.
NOTHING_RARE: Final[Mapping[str, Value]] = {
    "open_disputes": 0,
    "lost_disputes": 0,
    "disputed_since": None,
    "dispute_lost_at": None,
    "invoices_to_confirm": 0,
    "trial_ends_at": None,
}

# The real clocks of the database and of this process may differ by so much before neither is believed.
CLOCKS_DIFFER_AT_MOST: Final = timedelta(seconds=60)
# An account's newest audit row may lie so far ahead: what a clock that is being slewed does in a moment.
BACKWARDS_AT_MOST: Final = timedelta(seconds=2)
KEPT_TEXTS: Final = 4096
DELETION_SWITCH: Final = "deletion_switch"
"""The service that says whether this deployment deletes anything for a debt."""

MOMENT = """
SELECT clock_timestamp(), clock_timestamp() + c.offset_by, c.seen_at, p.digest, p.epoch,
       ARRAY(SELECT name FROM brakes WHERE latched_at IS NOT NULL)
FROM clock c, policy_in_force p
"""
ACCOUNTS = f"""
SELECT id::text, zone, plan, subscription_status, has_active_plan, overdue_invoices, past_due_since,
       subscription_ended_at, rare_facts::text, exempt_until, standing_fetched_at, states::text, episodes::text,
       notices::text, senders::text, stamps::text,
       {", ".join(STAMP_COLUMNS)}, server_billing_state, server_billing_machine, server_billing_code,
       policy_digest, epoch, due_at, held_until, waiting::text, audit_seq, audit_hash, audit_at
FROM accounts WHERE id = ANY(%s::uuid[])
"""
HOLDS = """
SELECT account_id::text, kind, until FROM holds
WHERE ended_at IS NULL AND (account_id IS NULL OR account_id = ANY(%s::uuid[]))
"""
SERVERS = """
SELECT account_id::text, id::text, lifecycle, observed, states::text FROM servers
WHERE account_id = ANY(%s::uuid[]) AND lifecycle <> 'deleted' ORDER BY created_at, id
"""


def real_clock() -> datetime:
    """Return this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class World:
    """What permits ask beyond the account itself."""

    stripe_key: bool = False
    """Whether Stripe can be asked; if not, the mirror counts as fresh."""
    app_clock: Callable[[], datetime] = real_clock
    services: Mapping[str, bool | None] = field(default_factory=dict)
    """Answers of services that a policy names and storage does not know; a missing one is unknown."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Describe this deployment."""
        return cls(stripe_key=bool(settings.stripe_api_key), services={DELETION_SWITCH: settings.deletion})


@dataclass(frozen=True, slots=True)
class Moment:
    """When a batch is decided, and under what."""

    now: datetime
    clock_sane: bool
    digest: str | None  # of the policy in force; None: none was deployed
    epoch: int
    latched: frozenset[str]  # brakes


class Known:
    """One account as read: its snapshot, and what is written down about it beside."""

    __slots__ = (
        "audit_at", "audit_hash", "audit_seq", "code", "digest", "due_at", "epoch", "held_until", "machine",
        "server_state", "snapshot", "waiting",
    )  # fmt: skip

    snapshot: Snapshot
    server_state: str
    machine: str
    code: str | None
    digest: str | None
    epoch: int
    due_at: datetime | None
    held_until: datetime | None
    waiting: str
    audit_seq: int
    audit_hash: bytes
    audit_at: datetime | None


def snapshots(
    conn: Connection, policy: Policy, account_ids: Iterable[UUID], world: World | None = None
) -> dict[UUID, Snapshot]:
    """Read accounts without locking them: to show, explain and preview. Unknown ids are left out."""
    world = world or World()
    pg = raw(conn)
    with pg.pipeline():
        clock, questions = Clock(pg), Questions(pg, list(map(str, account_ids)))
    found = questions.read(policy, clock.moment(world), world)
    return {UUID(account_id): known.snapshot for account_id, known in found.items()}


def array_of(ids: Iterable[str]) -> str:
    """Write ids as the text of a PostgreSQL array."""
    return "{" + ",".join(ids) + "}"


class Clock:
    """The question what time it is, and what is in force. Sent in a pipeline; the answer is taken after it."""

    def __init__(self, pg: psycopg.Connection[Any]) -> None:
        self._moment = pg.execute(MOMENT)

    def moment(self, world: World) -> Moment:
        """Return when and under what a batch is decided."""
        row = self._moment.fetchone()
        assert row is not None, "the rows of `clock` and `policy_in_force` are made with the tables"
        database_clock, now, seen_at, digest, epoch, latched = row
        agree = abs(world.app_clock() - database_clock) <= CLOCKS_DIFFER_AT_MOST
        forwards = seen_at is None or now >= seen_at - BACKWARDS_AT_MOST
        return Moment(now, agree and forwards, digest, epoch, frozenset(latched))


class Questions:
    """The questions about some accounts, sent together: in a pipeline they cost one round trip."""

    def __init__(self, pg: psycopg.Connection[Any], account_ids: Sequence[str]) -> None:
        ids = array_of(account_ids)
        self._holds = pg.execute(HOLDS, [ids])
        self._servers = pg.execute(SERVERS, [ids])
        self._accounts = pg.execute(ACCOUNTS, [ids])

    def read(self, policy: Policy, moment: Moment, world: World) -> dict[str, Known]:
        """Return the accounts that exist, by id."""
        holds: dict[str | None, list[Hold]] = {}
        for account_id, kind, until in self._holds.fetchall():
            if until is None or until > moment.now:
                holds.setdefault(account_id, []).append(Hold(kind, until))
        servers: dict[str, list[ServerFacts]] = {}
        for account_id, server_id, lifecycle, observed, states in self._servers.fetchall():
            known = ServerFacts(server_id, lifecycle, observed, _texts(states))
            servers.setdefault(account_id, []).append(known)
        reader = Reader(policy, moment, world, holds, servers)
        return {row[0]: reader.known(row) for row in self._accounts.fetchall()}


class Reader:
    """Turns rows into snapshots. Made for one batch, so that what its accounts share is made once."""

    def __init__(
        self,
        policy: Policy,
        moment: Moment,
        world: World,
        holds: Mapping[str | None, list[Hold]],
        servers: Mapping[str, list[ServerFacts]],
    ) -> None:
        self.now = moment.now
        self.moment = moment
        self.world = world
        self.everybody = tuple(holds.get(None, ()))
        self.holds = holds
        self.servers = servers
        self.limits = {name: plan.servers for name, plan in policy.standing.plans.items()}
        self.free_servers = policy.standing.free_servers
        self.given: dict[str, Value] = {
            fact.name: fact.default
            for fact in policy.facts.values()
            if fact.origin is Origin.SETTINGS and fact.default is not None
        }
        self.asked = [permit for permit in policy.permits.values() if permit.kind is PermitKind.SERVICE]
        self.brakes = {
            permit.name: permit.name not in moment.latched
            for permit in policy.permits.values()
            if permit.kind is PermitKind.BRAKE
        }
        self.ages = [permit.younger_than for permit in self.asked if permit.younger_than is not None]
        self._permits: dict[tuple[bool, ...], dict[str, bool | None]] = {}

    def known(self, row: tuple[Any, ...]) -> Known:
        """Read one row of ACCOUNTS."""
        (
            account_id, zone, plan, subscription, has_active_plan, overdue_invoices, past_due_since,
            subscription_ended_at, rare_facts, exempt_until, standing_fetched_at, states, episodes, notices,
            senders, stamps, warning_sent_at, final_warning_sent_at, backup_blocked_at, suspended_at, retention_until,
            server_state, machine, code, digest, epoch, due_at, held_until, waiting, audit_seq, audit_hash, audit_at,
        ) = row  # fmt: skip
        servers = self.servers.get(account_id, ())
        exempt = exempt_until is not None and exempt_until > self.now
        limit = self.limits.get(plan)
        facts: dict[str, Value] = {
            **self.given,
            "overdue_invoices": overdue_invoices,
            "past_due_since": past_due_since,
            "subscription": subscription,
            "subscription_ended_at": subscription_ended_at,
            **(NOTHING_RARE if rare_facts == "{}" else _rare(rare_facts)),
            "exempt": exempt,
            "has_active_plan": has_active_plan,
            "at_plan_limit": limit is not None and len(servers) >= limit,
            "free_server_left": len(servers) < self.free_servers,
            "warning_sent_at": warning_sent_at,
            "final_warning_sent_at": final_warning_sent_at,
            "backup_blocked_at": backup_blocked_at,
            "suspended_at": suspended_at,
            "retention_until": retention_until,
        }
        if stamps != "{}":
            for name, stamp in json.loads(stamps).items():
                facts[name] = datetime.fromisoformat(stamp)
        own = self.holds.get(account_id)
        known = Known()
        known.snapshot = Snapshot(
            account_id,
            _texts(states),
            _numbers(episodes),
            facts,
            notices_of(notices) if notices != "{}" else {},
            self.everybody + tuple(own) if own else self.everybody,
            self.permits(standing_fetched_at, audit_at),
            tuple(servers),
            zone,
            exempt_until if exempt else None,
            _texts(senders),
        )
        known.server_state, known.machine, known.code = server_state, machine, code
        known.digest, known.epoch, known.due_at, known.held_until, known.waiting = (
            digest,
            epoch,
            due_at,
            held_until,
            waiting,
        )
        known.audit_seq, known.audit_hash, known.audit_at = audit_seq, audit_hash, audit_at
        return known

    def permits(self, fetched_at: datetime | None, audit_at: datetime | None) -> dict[str, bool | None]:
        """Answer for services and brakes. Accounts whose answers are the same share one mapping."""
        forwards = audit_at is None or audit_at <= self.now + BACKWARDS_AT_MOST
        if self.world.stripe_key:
            fresh = tuple(fetched_at is not None and self.now - fetched_at < age for age in self.ages)
        else:
            fresh = ()
        key = (forwards, *fresh)
        answers = self._permits.get(key)
        if answers is None:
            answers = self._permits[key] = dict(self.brakes)
            for permit in self.asked:
                answers[permit.name] = self._service(permit.service, permit.younger_than, fetched_at, forwards=forwards)
        return answers

    def _service(
        self, service: str | None, age: timedelta | None, fetched_at: datetime | None, *, forwards: bool
    ) -> bool | None:
        if service == "standing":
            if not self.world.stripe_key:
                return True
            return fetched_at is not None and (age is None or self.now - fetched_at < age)
        if service == "database_clock":
            return self.moment.clock_sane and forwards
        return self.world.services.get(service or "")


# Most accounts are in one of a few states: their JSON is read once. What is returned is shared, and never written to.
@lru_cache(maxsize=KEPT_TEXTS)
def _texts(text: str) -> Mapping[str, str]:
    found: dict[str, str] = json.loads(text)
    return found


@lru_cache(maxsize=KEPT_TEXTS)
def _numbers(text: str) -> Mapping[str, int]:
    found: dict[str, int] = json.loads(text)
    return found


def _rare(text: str) -> Mapping[str, Value]:
    found = {
        name: datetime.fromisoformat(value) if isinstance(value, str) else value
        for name, value in json.loads(text).items()
    }
    return {**NOTHING_RARE, **found}


def notices_of(text: str) -> dict[str, NoticeState]:
    """Read the column `notices`."""
    return {intent: _notice(state) for intent, state in json.loads(text).items()}


def _notice(state: Mapping[str, Any]) -> NoticeState:
    return NoticeState(
        episode=state["episode"],
        round=state["round"],
        status=NoticeStatus(state["status"]),
        claimed_at=_instant(state.get("claimed_at")),
        promise_at=_instant(state.get("promise_at")),
        machine=state.get("machine", ""),
        floor_at=_instant(state.get("floor_at")),
    )


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
