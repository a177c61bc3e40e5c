"""The audit: what happened to each account and why, in a chain of hashes that only grows.

Each row's hash covers the row before, so an edited, removed, inserted or reordered row shows; each chain's head is kept
outside the table (on the account, or in `audit_heads`), so a cut tail shows too. `storage.audit_verify` looks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Value
from storage import clock
from storage.database import raw
from storage.errors import UnknownAccount

NOBODY: Final = UUID(int=0)  # the chain of what concerns no account: deployed policies, refusals for unknown accounts
KINDS: Final = frozenset(
    {
        "transition",  # an account entered a state
        "mark",  # a rule set a mark
        "void",  # a promise no longer holds
        "reissue",  # its notice was asked for again
        "evidence",  # facts changed: a Stripe event, a fetch, an exemption
        "intent",  # an effect was carried out, dropped, or failed
        "notice",  # a notice was delivered, dropped, failed, or may have left
        "rejected",  # something destructive was asked for and refused
        "hold",  # enforcement was paused, or goes on
        "admin",  # a person's other doings
        "policy",  # a policy came into force
        "server",  # a server's lifecycle moved, or somebody asked it to
    }
)
GENESIS: Final = b""


@dataclass(frozen=True, slots=True)
class AuditNote:
    """One thing that happened, before it has its place in a chain."""

    kind: str
    action: str
    """What was done or asked for: a rule, an intent, an event's type."""
    actor: str
    because: str = ""
    """The rule, or the reason in words."""
    from_: str | None = None
    to: str | None = None
    place: str | None = None
    """file:line of the rule."""
    facts: Mapping[str, Value] = field(default_factory=dict)
    """What was looked at."""
    asked: tuple[str, ...] = ()
    """Intents that were asked for, each with its server if it has one."""


@dataclass(frozen=True, slots=True)
class Link:
    """One row of a chain."""

    account_id: UUID
    seq: int
    at: datetime
    kind: str
    canonical: str
    hash: bytes


def instant_text(at: datetime) -> str:
    """Write an instant in UTC: the one form in which instants are hashed and shown."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def link(account_id: UUID, seq: int, previous: bytes, at: datetime, note: AuditNote, policy_digest: str | None) -> Link:
    """Make the row that follows the one whose hash is `previous`."""
    before, middle, after = _frame(
        note.action, note.actor, note.asked, note.because, note.from_, note.to, note.kind, note.place, policy_digest
    )
    facts = ",".join([f"{quoted(name)}:{_value(value)}" for name, value in sorted(note.facts.items())])
    canonical = (
        f'{{"account":"{account_id}",{before}"at":"{instant_text(at)}",{middle}{{{facts}}},{after[0]}{seq}{after[1]}'
    )
    return Link(
        account_id, seq, at, note.kind, canonical, hashlib.sha256(previous + canonical.encode("ascii")).digest()
    )


@lru_cache(maxsize=4096)
def _frame(
    action: str,
    actor: str,
    asked: tuple[str, ...],
    because: str,
    from_: str | None,
    to: str | None,
    kind: str,
    place: str | None,
    policy: str | None,
) -> tuple[str, str, tuple[str, str]]:
    """Return the parts of the canonical text that thousands of accounts share, keys in order.

    Writing it so takes a fifth of the time of `json.dumps`; `test_canonical_text_is_sorted_json` holds both together.
    """
    if kind not in KINDS:
        raise ValueError(f"no audit kind is called `{kind}`")
    said = {name: _value(value) for name, value in locals().items() if name != "asked"}
    before = f'"action":{said["action"]},"actor":{said["actor"]},"asked":[{",".join(map(quoted, asked))}],'
    middle = f'"because":{said["because"]},"facts":'
    after = f'"from":{said["from_"]},"kind":{said["kind"]},"place":{said["place"]},"policy":{said["policy"]},"seq":'
    return before, middle, (after, f',"to":{said["to"]}}}')


def _value(value: Value) -> str:
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, datetime):
        return f'"{instant_text(value)}"'
    if isinstance(value, int):
        return int.__repr__(value)
    raise TypeError(f"an audit fact is a {type(value).__name__}; expected a text, number, instant, yes or no")


def append(
    conn: Connection, account_id: UUID | None, notes: Sequence[AuditNote], policy_digest: str | None = None
) -> None:
    """Add notes to an account's chain, locking the account; None: to the chain of what concerns no account.

    Raises UnknownAccount.
    """
    chain = account_id or NOBODY
    table, key, prefix = ("audit_heads", "chain", "") if chain == NOBODY else ("accounts", "id", "audit_")
    lock = f"SELECT {prefix}seq, {prefix}hash FROM {table} WHERE {key} = :chain FOR UPDATE"  # noqa: S608 - our own names
    head = conn.execute(text(lock), {"chain": chain}).one_or_none()
    if head is None:
        raise UnknownAccount(account_id)
    seq, previous, at = head[0], bytes(head[1]), clock.now(conn)
    links = []
    for note in notes:
        links.append(link(chain, seq := seq + 1, previous, at, note, policy_digest))
        previous = links[-1].hash
    insert(conn, links)
    stamp = "" if chain == NOBODY else ", audit_at = :at"
    move = f"UPDATE {table} SET {prefix}seq = :seq, {prefix}hash = :hash{stamp} WHERE {key} = :chain"  # noqa: S608 - our own names
    conn.execute(text(move), {"seq": seq, "hash": previous, "chain": chain, "at": at})


def insert(conn: Connection, links: Iterable[Link]) -> None:
    """Write rows whose places in their chains are settled; the caller moves the heads in the same transaction."""
    with raw(conn).cursor() as cursor:
        statement = "INSERT INTO audit (account_id, seq, at, kind, canonical, hash) VALUES (%s, %s, %s, %s, %s, %s)"
        cursor.executemany(statement, [(x.account_id, x.seq, x.at, x.kind, x.canonical, x.hash) for x in links])


def read(conn: Connection, account_id: UUID | None) -> list[dict[str, Any]]:
    """Return an account's audit, oldest first, in the form in which the API shows it."""
    rows = conn.execute(
        text("SELECT canonical FROM audit WHERE account_id = :chain ORDER BY seq"), {"chain": account_id or NOBODY}
    )
    return [shown(canonical) for (canonical,) in rows]


def shown(canonical: str) -> dict[str, Any]:
    """Turn one row's text into the form in which the API shows it."""
    row = json.loads(canonical)
    names = ("seq", "kind", "action", "at", "actor", "from", "to", "because")
    return {name: row[name] for name in names} | {
        "policyDigest": row["policy"],
        "place": row["place"],
        "facts": row["facts"],
        "asked": row["asked"],
    }
