"""A customer's own address that notices are posted to beside mail, and the outbox of what waits to be posted.

It is never a proof that somebody was told: the ladder counts mail alone.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage.intents_types import Claim

SECRET_BYTES: Final = 32
POST_COLUMNS: Final = "p.id, p.key, p.kind, p.body, p.tries, p.created_at"


@dataclass(frozen=True, slots=True)
class Hook:
    """A customer's address. `secret` signs what is posted to it."""

    url: str
    secret: str = field(repr=False)
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class WaitingPost:
    """One post to make; without an address: the customer has taken it away meanwhile."""

    id: int
    key: str
    kind: str
    body: str = field(repr=False)
    tries: int
    created_at: datetime
    url: str | None
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Posted:
    """How one post went, as its customer reads it."""

    kind: str
    created_at: datetime
    outcome: str


def hook_of(conn: Connection, customer_id: UUID) -> Hook | None:
    """Return a customer's address; None: they have none."""
    find = text("SELECT url, secret, changed_at FROM hooks WHERE customer_id = :id")
    row = conn.execute(find, {"id": customer_id}).one_or_none()
    return None if row is None else Hook(*row)


def point(conn: Connection, customer_id: UUID, url: str) -> str:
    """Give a customer an address, in place of the one before; return the secret that its posts are signed with."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    put = text(
        "INSERT INTO hooks (customer_id, url, secret) VALUES (:id, :url, :secret) ON CONFLICT (customer_id) "
        "DO UPDATE SET url = excluded.url, secret = excluded.secret, changed_at = now()"
    )
    conn.execute(put, {"id": customer_id, "url": url, "secret": secret})
    return secret


def remove(conn: Connection, customer_id: UUID) -> None:
    """Take a customer's address away; what waits for it is not posted."""
    conn.execute(text("DELETE FROM hooks WHERE customer_id = :id"), {"id": customer_id})


def write(conn: Connection, key: str, customer_id: UUID, kind: str, body: Mapping[str, Any]) -> bool:
    """Put a post into the outbox if the customer has an address; tell whether it is new. The same key is one post."""
    add = text(
        "INSERT INTO hook_posts (key, customer_id, kind, body) "
        "SELECT :key, customer_id, :kind, :body FROM hooks WHERE customer_id = :id "
        "ON CONFLICT (key) DO NOTHING RETURNING id"
    )
    given = {"key": key, "id": customer_id, "kind": kind, "body": json.dumps(dict(body), ensure_ascii=False)}
    return conn.execute(add, given).scalar_one_or_none() is not None


def write_notice(conn: Connection, claim: Claim, subject: str, words: str) -> bool:
    """Put a notice into the outbox of its customer, as it was written for mail; tell whether it is new."""
    find = text("SELECT customer_id FROM accounts WHERE id = :id")
    customer_id = conn.execute(find, {"id": claim.account_id}).scalar_one()
    body = {
        "type": "notice",
        "notice": claim.intent,
        "accountId": str(claim.account_id),
        "subject": subject,
        "text": words,
        "promiseAt": claim.promise_at.isoformat() if claim.promise_at else None,
        "writtenAt": claim.claimed_at.isoformat(),
    }
    return write(conn, claim.key, customer_id, claim.intent, body)


def take(conn: Connection, limit: int) -> list[WaitingPost]:
    """Take what may go now, oldest first, noting it as sent: if this process dies, it is lost, never sent twice."""
    find = text(
        "WITH taken AS (UPDATE hook_posts SET sent_at = clock_timestamp(), tries = tries + 1, outcome = 'being sent' "
        "WHERE id IN (SELECT id FROM hook_posts WHERE sent_at IS NULL "
        "AND (not_before IS NULL OR not_before <= clock_timestamp()) ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED) "
        f"RETURNING *) SELECT {POST_COLUMNS}, h.url, h.secret FROM taken p "
        "LEFT JOIN hooks h ON h.customer_id = p.customer_id ORDER BY p.id"
    )
    return [WaitingPost(*row) for row in conn.execute(find, {"limit": limit})]


def settle(conn: Connection, post_id: int, outcome: str) -> None:
    """Note how it ended, and forget what it said."""
    done = text("UPDATE hook_posts SET outcome = :outcome, body = '' WHERE id = :id")
    conn.execute(done, {"id": post_id, "outcome": outcome})


def postpone(conn: Connection, post_id: int, after_seconds: float, reason: str) -> None:
    """Note that it surely was not taken, and is to be tried again."""
    later = text(
        "UPDATE hook_posts SET sent_at = NULL, outcome = :reason, "
        "not_before = clock_timestamp() + make_interval(secs => :after) WHERE id = :id"
    )
    conn.execute(later, {"id": post_id, "reason": reason, "after": after_seconds})


def latest(conn: Connection, customer_id: UUID, limit: int = 10) -> list[Posted]:
    """Return how a customer's posts went, newest first."""
    find = text(
        "SELECT kind, created_at, coalesce(outcome, 'waits') FROM hook_posts WHERE customer_id = :id "
        "ORDER BY id DESC LIMIT :limit"
    )
    return [Posted(*row) for row in conn.execute(find, {"id": customer_id, "limit": limit})]
