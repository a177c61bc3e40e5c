"""Writes what a batch decided: accounts, their audit, their intents and their servers, in one statement each.

Plain SQL over arrays (`unnest`). The arrays are written as PostgreSQL's own array text: letting the driver adapt each
element takes longer than the database needs to store it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

import psycopg

from engine.model import STOPPED_BILLING_STATES, Origin, Policy
from engine.snapshot import Asked, NoticeState, Settlement, Snapshot, Waiting
from storage.audit import Link
from storage.gather import STAMP_COLUMNS, Known
from storage.intents_outbox import QUEUE_OF, Outbox, intent_id

# Column and type of everything that the ledger writes on an account, in the order of the rows that `Writer` collects.
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
    ("policy_digest", "text"),
    ("epoch", "bigint"),
    ("due_at", "timestamptz"),
    ("held_until", "timestamptz"),
    ("waiting", "jsonb"),
    ("audit_seq", "bigint"),
    ("audit_hash", "bytea"),
    ("audit_at", "timestamptz"),
    ("updated_at", "timestamptz"),
)


def _unnest(columns: Iterable[tuple[str, str]], alias: str) -> str:
    columns = tuple(columns)
    arrays = ", ".join(f"%s::{kind}[]" for _, kind in columns)
    return f"unnest({arrays}) AS {alias}({', '.join(name for name, _ in columns)})"


KEPT_IF_NULL: Final = ("last_enforcement_action", "audit_at")
UPDATE_ACCOUNTS: Final = (
    "UPDATE accounts a SET "
    + ", ".join(
        f"{name} = coalesce(n.{name}, a.{name})" if name in KEPT_IF_NULL else f"{name} = n.{name}"
        for name, _ in ACCOUNT_COLUMNS[1:]
    )
    + f" FROM {_unnest(ACCOUNT_COLUMNS, 'n')} WHERE a.id = n.id"
)
AUDIT_COLUMNS: Final = (
    ("account_id", "uuid"), ("seq", "bigint"), ("at", "timestamptz"), ("kind", "text"), ("canonical", "text"), ("hash", "bytea"),
)  # fmt: skip
INSERT_AUDIT: Final = (
    f"INSERT INTO audit ({', '.join(name for name, _ in AUDIT_COLUMNS)}) SELECT * FROM {_unnest(AUDIT_COLUMNS, 'n')}"
)
INTENT_COLUMNS: Final = (
    ("id", "uuid"), ("key", "text"), ("account_id", "uuid"), ("server_id", "uuid"), ("machine", "text"),
    ("episode", "bigint"), ("round", "bigint"), ("intent", "text"), ("kind", "text"), ("queue", "text"), ("actor", "text"),
    ("args", "jsonb"), ("created_at", "timestamptz"),
)  # fmt: skip
INSERT_INTENTS: Final = (
    f"INSERT INTO intents ({', '.join(name for name, _ in INTENT_COLUMNS)}) SELECT * FROM {_unnest(INTENT_COLUMNS, 'n')} "
    "ON CONFLICT (id) DO NOTHING RETURNING id"
)
# INVARIANT: whatever imposes a suspension, it and the wish that the servers be stopped are one transaction.
STOP_SERVERS: Final = (
    "UPDATE servers SET desired = 'stopped' WHERE account_id = ANY(%s::uuid[]) AND desired <> 'stopped'"
)


class Writer:
    """Collects the rows of one batch, then writes them."""

    def __init__(self, policy: Policy, epoch: int, now: datetime) -> None:
        self.policy = policy
        self.epoch = epoch
        self.now = now
        self.now_text = now.isoformat()
        self.machine = next(iter(policy.machines))
        columns = frozenset(STAMP_COLUMNS)
        stamped = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)
        self.other_stamps = tuple(
            fact.name for fact in policy.facts.values() if fact.origin in stamped and fact.name not in columns
        )
        self.accounts: list[tuple[Any, ...]] = []
        self.links: list[Link] = []
        self.intents: dict[UUID, tuple[Any, ...]] = {}
        self.stopped: list[str] = []

    def account(
        self,
        known: Known,
        settlement: Settlement,
        held_until: datetime | None,
        waiting: str,
        links: list[Link],
        enforcement: str | None,
    ) -> None:
        """Take one account's new row, and its audit."""
        after: Snapshot = settlement.snapshot
        facts, server = after.facts, settlement.server
        last = links[-1] if links else None
        if last is not None:
            self.links += links
        if server.state in STOPPED_BILLING_STATES and known.server_state not in STOPPED_BILLING_STATES:
            self.stopped.append(after.account_id)
        self.accounts.append(
            (
                after.account_id,
                after.states[self.machine],
                server.state,
                server.machine,
                server.code,
                _object(tuple(after.states.items())),
                _object(tuple(after.episodes.items())),
                notices_text(after.notices) if after.notices else "{}",
                _object(tuple(after.senders.items())),
                facts.get("warning_sent_at"),
                facts.get("final_warning_sent_at"),
                facts.get("backup_blocked_at"),
                facts.get("suspended_at"),
                facts.get("retention_until"),
                self._stamps(facts),
                enforcement,
                self.policy.digest,
                self.epoch,
                settlement.due_at,
                held_until,
                waiting,
                known.audit_seq if last is None else last.seq,
                known.audit_hash if last is None else last.hash,
                None if last is None else last.at,
                self.now,
            )
        )

    def _stamps(self, facts: Any) -> str:
        stamps = {name: at.isoformat() for name in self.other_stamps if (at := facts.get(name)) is not None}
        return json.dumps(stamps) if stamps else "{}"

    def intent(self, account_id: str, asked: Asked, actor: str, args: str = "{}", queue: str | None = None) -> Outbox:
        """Take one intent. The same key twice is one row."""
        key = asked.key(account_id)
        made = Outbox(intent_id(key), queue or QUEUE_OF[asked.kind], asked.intent)
        self.intents[made.intent_id] = (
            str(made.intent_id), key, account_id, asked.server_id, asked.machine, asked.episode, asked.round, asked.intent,
            asked.kind.value, made.queue, actor, args, self.now,
        )  # fmt: skip
        return made

    def write(self, pg: psycopg.Connection[Any]) -> frozenset[UUID]:
        """Write everything in one round trip; return the ids of intents that were not there yet."""
        inserted: psycopg.Cursor[Any] | None = None
        with pg.pipeline():
            if self.accounts:
                pg.execute(UPDATE_ACCOUNTS, arrays(ACCOUNT_COLUMNS, self.accounts))
            if self.links:
                rows = [(x.account_id, x.seq, x.at, x.kind, x.canonical, x.hash) for x in self.links]
                pg.execute(INSERT_AUDIT, arrays(AUDIT_COLUMNS, rows))
            if self.intents:
                inserted = pg.execute(INSERT_INTENTS, arrays(INTENT_COLUMNS, list(self.intents.values())))
            if self.stopped:
                pg.execute(STOP_SERVERS, ["{" + ",".join(self.stopped) + "}"])
        return frozenset(row[0] for row in inserted) if inserted is not None else frozenset()


def held_until_of(waiting: tuple[Waiting, ...], now: datetime, unknown_until: datetime) -> datetime | None:
    """Return when to look again at what is due and not permitted: the first `until`, or `unknown_until` where none is known."""
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


def notices_text(notices: Any) -> str:
    """Write the column `notices`."""
    return json.dumps({intent: _notice(state) for intent, state in notices.items()})


def _notice(state: NoticeState) -> dict[str, Any]:
    told: dict[str, Any] = {
        "episode": state.episode,
        "round": state.round,
        "status": state.status.value,
        "machine": state.machine,
    }
    for name, at in (("claimed_at", state.claimed_at), ("promise_at", state.promise_at), ("floor_at", state.floor_at)):
        if at is not None:
            told[name] = at.isoformat()
    return told


@lru_cache(maxsize=4096)
def _object(items: tuple[tuple[str, str | int], ...]) -> str:
    return json.dumps(dict(items))


def arrays(columns: tuple[tuple[str, str], ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """Turn rows into one array text a column."""
    return [_ARRAY_OF[kind](values) for (_, kind), values in zip(columns, zip(*rows, strict=True), strict=True)]


def _plain(values: tuple[Any, ...]) -> str:
    """Write ids and numbers, which need no quotes."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _instants(values: tuple[Any, ...]) -> str:
    return "{" + ",".join(["NULL" if value is None else value.isoformat() for value in values]) + "}"


def _quoted(values: tuple[Any, ...]) -> str:
    return "{" + ",".join(map(_quote, values)) + "}"


def _quote(value: str | None) -> str:
    if value is None:
        return "NULL"
    if "\\" in value:
        value = value.replace("\\", "\\\\")
    if '"' in value:
        value = value.replace('"', '\\"')
    return f'"{value}"'


def _bytes(values: tuple[Any, ...]) -> str:
    return "{" + ",".join([f'"\\\\x{value.hex()}"' for value in values]) + "}"


_ARRAY_OF: Final = {
    "uuid": _plain,
    "bigint": _plain,
    "timestamptz": _instants,
    "text": _quoted,
    "jsonb": _quoted,
    "bytea": _bytes,
}
