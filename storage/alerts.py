"""Alerts: the outbox of what people have to know. The controller sends them to the channels that the policy names."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that waits to be told."""

    id: int
    kind: str
    text: str
    account_id: UUID | None
    tries: int
    created_at: datetime


def raise_alert(
    conn: Connection, kind: str, words: str, account_id: UUID | None = None, key: str | None = None
) -> bool:
    """Write an alert down; tell whether it is new. key: the same key is told once."""
    add = text(
        "INSERT INTO alerts (kind, text, account_id, key) VALUES (:kind, :text, :account_id, :key) "
        "ON CONFLICT (key) DO NOTHING RETURNING id"
    )
    given = {"kind": kind, "text": words, "account_id": account_id, "key": key}
    return conn.execute(add, given).scalar_one_or_none() is not None


def unsent(conn: Connection, limit: int) -> list[Alert]:
    """Return alerts to send now, oldest first, locked until this transaction ends: two senders never share one."""
    find = text(
        "SELECT id, kind, text, account_id, tries, created_at FROM alerts "
        "WHERE sent_at IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp()) "
        "ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED"
    )
    return [Alert(*row) for row in conn.execute(find, {"limit": limit})]


def settle(conn: Connection, alert_id: int, outcome: str) -> None:
    """Note that an alert is dealt with: about to be told, told, or refused for good. It is not sent again by itself."""
    done = text(
        "UPDATE alerts SET sent_at = clock_timestamp(), tries = tries + (sent_at IS NULL)::int, outcome = :outcome "
        "WHERE id = :id"
    )
    conn.execute(done, {"id": alert_id, "outcome": outcome})


def postpone(conn: Connection, alert_id: int, after_seconds: float, reason: str) -> None:
    """Note that an alert surely was not told, whatever was noted when it was taken, and is to be tried again."""
    later = text(
        "UPDATE alerts SET sent_at = NULL, tries = tries + (sent_at IS NULL)::int, outcome = :reason, "
        "not_before = clock_timestamp() + make_interval(secs => :after) WHERE id = :id"
    )
    conn.execute(later, {"id": alert_id, "reason": reason, "after": after_seconds})


def latest(conn: Connection, limit: int = 100) -> list[Alert]:
    """Return the newest alerts, sent or not."""
    find = text("SELECT id, kind, text, account_id, tries, created_at FROM alerts ORDER BY id DESC LIMIT :limit")
    return [Alert(*row) for row in conn.execute(find, {"limit": limit})]
