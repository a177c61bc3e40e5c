"""Writes what a batch decided: accounts, their audit, their intents and their servers, in one statement each.

Plain SQL over arrays (`unnest`). The arrays are written as PostgreSQL's own array text: letting the driver adapt each
element takes longer than the database needs to store it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as json_text
from typing import Any, Final
from uuid import UUID

import psycopg

from engine.model import STOPPED_BILLING_STATES, Origin, Policy, Value
from engine.snapshot import Asked, NoticeState, Settlement, Waiting
from storage.audit import Link
from storage.gather import STAMP_COLUMNS, Known
from storage.intents_outbox import QUEUE_OF, Outbox

# Column and type of what differs between accounts, in the order of the rows that `Writer` collects.
ACCOUNT_COLUMNS: Final = (
    ("id", "uuid"),
    ("billing_status", "text"),
    ("server_billing_state", "text"),
    ("server_billing_machine", "text"),
    ("server_billing_code", "text"),
    ("states", "jsonb"),
    ("episodes", "jsonb"),
    ("notices", "jsonb"),
    ("senders", "jsonb"),
    *((name, "timestamptz") for name in STAMP_COLUMNS),
    ("stamps", "jsonb"),
    ("last_enforcement_action", "text"),
    ("due_at", "timestamptz"),
    ("held_until", "timestamptz"),
    ("waiting", "jsonb"),
    ("audit_seq", "bigint"),
    ("audit_hash", "bytea"),
)
AUDIT_COLUMNS: Final = (
    ("account_id", "uuid"),
    ("seq", "bigint"),
    ("kind", "text"),
    ("canonical", "text"),
    ("hash", "bytea"),
)
INTENT_COLUMNS: Final = (
    ("id", "uuid"),
    ("key", "text"),
    ("account_id", "uuid"),
    ("server_id", "uuid"),
    ("machine", "text"),
    ("episode", "bigint"),
    ("round", "bigint"),
    ("intent", "text"),
    ("kind", "text"),
    ("queue", "text"),
    ("args", "jsonb"),
)


def _names(columns: Iterable[tuple[str, str]], prefix: str = "") -> str:
    return ", ".join(prefix + name for name, _ in columns)


def _unnest(columns: Sequence[tuple[str, str]]) -> str:
    """Return `unnest(…) AS n(…)` over one parameter a column, named as the column."""
    arrays = ", ".join(f"%({name})s::{kind}[]" for name, kind in columns)
    return f"unnest({arrays}) AS n({_names(columns)})"


def _sets(columns: Iterable[tuple[str, str]]) -> str:
    kept = {"last_enforcement_action": "coalesce(n.last_enforcement_action, a.last_enforcement_action)"}
    return ", ".join(f"{name} = {kept.get(name, 'n.' + name)}" for name, _ in columns)


UPDATE_ACCOUNTS: Final = (
    f"UPDATE accounts a SET {_sets(ACCOUNT_COLUMNS[1:])}, policy_digest = %(policy)s, epoch = %(epoch)s, "
    "updated_at = %(now)s, "
    "audit_at = CASE WHEN n.audit_seq > a.audit_seq THEN %(now)s::timestamptz ELSE a.audit_at END "
    f"FROM {_unnest(ACCOUNT_COLUMNS)} WHERE a.id = n.id"
)
INSERT_AUDIT: Final = (
    f"INSERT INTO audit ({_names(AUDIT_COLUMNS)}, at) SELECT {_names(AUDIT_COLUMNS, 'n.')}, %(now)s "
    f"FROM {_unnest(AUDIT_COLUMNS)}"
)
INSERT_INTENTS: Final = (
    f"INSERT INTO intents ({_names(INTENT_COLUMNS)}, actor, created_at) "
    f"SELECT {_names(INTENT_COLUMNS, 'n.')}, %(actor)s, %(now)s FROM {_unnest(INTENT_COLUMNS)} "
    "ON CONFLICT (id) DO NOTHING"
)
# INVARIANT: whatever imposes a suspension, it and the wish that the servers be stopped are one transaction.
STOP_SERVERS: Final = (
    "UPDATE servers SET desired = 'stopped' WHERE account_id = ANY(%s::uuid[]) AND desired <> 'stopped'"
)
# The instant of a decision is its own: no other decision about these accounts has it.
NEW_INTENTS: Final = "SELECT id FROM intents WHERE id = ANY(%s) AND created_at = %s"


class Writer:
    """Collects rows, and sends them chunk by chunk. Inside a pipeline, sending does not wait for the database."""

    def __init__(self, policy: Policy, epoch: int, now: datetime, actor: str) -> None:
        self.policy = policy
        self.actor = actor
        self.now = now
        self._shared = {"policy": policy.digest, "epoch": epoch, "now": now, "actor": actor}
        self._machine = policy.account_machines[0]
        columns = frozenset(STAMP_COLUMNS)
        stamped = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)
        of_accounts = {name for machine in policy.account_machines for name in machine.facts}
        self._other_stamps = tuple(
            fact.name
            for fact in policy.facts.values()
            if fact.origin in stamped and fact.name not in columns and fact.name in of_accounts
        )
        self._accounts: list[tuple[Any, ...]] = []
        self._links: list[tuple[Any, ...]] = []
        self._intents: dict[str, tuple[Any, ...]] = {}
        self._stopped: list[str] = []
        self._inserted: list[tuple[psycopg.Cursor[Any], int]] = []
        self._asked: list[UUID] = []

    def account(
        self,
        known: Known,
        settlement: Settlement,
        links: Sequence[Link],
        *,
        held_until: datetime | None,
        waiting: str,
        enforcement: str | None,
    ) -> None:
        """Take one account's new row, and its audit."""
        after, server = settlement.snapshot, settlement.server
        facts, states = after.facts, after.states
        for row in links:
            self._links.append((row[0], row[1], row[3], row[4], row[5]))
        if server.state in STOPPED_BILLING_STATES and known.server_state not in STOPPED_BILLING_STATES:
            self._stopped.append(after.account_id)
        self._accounts.append(
            (
                after.account_id,
                states.get(self._machine.name, self._machine.initial),
                server.state,
                server.machine,
                server.code,
                _object(tuple(states.items())),
                _object(tuple(after.episodes.items())),
                notices_text(after.notices) if after.notices else "{}",
                _object(tuple(after.senders.items())) if after.senders else "{}",
                facts.get("warning_sent_at"),
                facts.get("final_warning_sent_at"),
                facts.get("backup_blocked_at"),
                facts.get("suspended_at"),
                facts.get("retention_until"),
                self._stamps(facts),
                enforcement,
                settlement.due_at,
                held_until,
                waiting,
                links[-1][1] if links else known.audit_seq,
                links[-1][5] if links else known.audit_hash,
            )
        )

    def _stamps(self, facts: Mapping[str, Value]) -> str:
        stamps = {name: at.isoformat() for name in self._other_stamps if isinstance(at := facts.get(name), datetime)}
        return json.dumps(stamps) if stamps else "{}"

    def intent(self, account_id: str, asked: Asked, args: str = "{}", queue: str | None = None) -> Outbox:
        """Take one intent. The same key twice is one row."""
        key = asked.key(account_id)
        name = hashlib.blake2b(key.encode(), digest_size=16).digest()
        made = Outbox(UUID(bytes=name), queue or QUEUE_OF[asked.kind], asked.intent)
        self._intents[name.hex()] = (
            name.hex(), key, account_id, asked.server_id, asked.machine, asked.episode, asked.round, asked.intent,
            asked.kind.value, made.queue, args,
        )  # fmt: skip
        self._asked.append(made.intent_id)
        return made

    def send(self, pg: psycopg.Connection[Any]) -> None:
        """Send what was collected."""
        if self._accounts:
            pg.execute(UPDATE_ACCOUNTS, arrays(ACCOUNT_COLUMNS, self._accounts) | self._shared)
        if self._links:
            pg.execute(INSERT_AUDIT, arrays(AUDIT_COLUMNS, self._links) | self._shared)
        if self._intents:
            rows = list(self._intents.values())
            cursor = pg.execute(INSERT_INTENTS, arrays(INTENT_COLUMNS, rows) | self._shared)
            self._inserted.append((cursor, len(rows)))
        if self._stopped:
            pg.execute(STOP_SERVERS, ["{" + ",".join(self._stopped) + "}"])
        self._accounts, self._links, self._intents, self._stopped = [], [], {}, []

    def new_intents(self, pg: psycopg.Connection[Any]) -> Callable[[UUID], bool]:
        """Tell, after everything was sent, which intents were not there before."""
        if all(cursor.rowcount == count for cursor, count in self._inserted):
            return lambda intent_id: True
        found = pg.execute(NEW_INTENTS, [self._asked, self.now])
        return frozenset(row[0] for row in found).__contains__


def held_until_of(waiting: tuple[Waiting, ...], now: datetime, unknown_until: datetime) -> datetime | None:
    """Return when to look again at what is due and not permitted: the first `until`; `unknown_until` for none."""
    if not waiting:
        return None
    return min(each.until if each.until is not None and each.until > now else unknown_until for each in waiting)


def waiting_text(waiting: tuple[Waiting, ...]) -> str:
    """Write the column `waiting`."""
    if not waiting:
        return "[]"
    return json.dumps(
        [
            {"permit": each.permit, "rule": each.rule, "until": each.until.isoformat() if each.until else None}
            for each in waiting
        ]
    )


def notices_text(notices: Mapping[str, NoticeState]) -> str:
    """Write the column `notices`."""
    return "{" + ",".join([f"{json_text(intent)}:{_notice(state)}" for intent, state in notices.items()]) + "}"


def _notice(state: NoticeState) -> str:
    told = f'{{"episode":{state.episode},"round":{state.round},"status":"{state.status.value}"'
    told += f',"machine":{json_text(state.machine)}'
    for name, at in (("claimed_at", state.claimed_at), ("promise_at", state.promise_at), ("floor_at", state.floor_at)):
        if at is not None:
            told += f',"{name}":"{at.isoformat()}"'
    return told + "}"


@lru_cache(maxsize=4096)
def _object(items: tuple[tuple[str, str | int], ...]) -> str:
    return json.dumps(dict(items))


def arrays(columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Turn rows into one array text a column."""
    by_column = zip(*rows, strict=True)
    return {name: _ARRAY_OF[kind](values) for (name, kind), values in zip(columns, by_column, strict=True)}


def _plain(values: tuple[Any, ...]) -> str:
    """Write ids and numbers, which need no quotes."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _instants(values: tuple[Any, ...]) -> str:
    return "{" + ",".join(["NULL" if value is None else value.isoformat() for value in values]) + "}"


def _quoted(values: tuple[Any, ...]) -> str:
    return "{" + ",".join(["NULL" if value is None else _quote(value) for value in values]) + "}"


def _quote(value: str) -> str:
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if '"' in value:
        value = value.replace('"', '\\"')
    return f'"{value}"'


def _bytes(values: tuple[Any, ...]) -> str:
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"


_ARRAY_OF: Final[Mapping[str, Callable[[tuple[Any, ...]], str]]] = {
    "uuid": _plain,
    "bigint": _plain,
    "boolean": _plain,
    "timestamptz": _instants,
    "text": _quoted,
    "jsonb": _quoted,
    "bytea": _bytes,
}
