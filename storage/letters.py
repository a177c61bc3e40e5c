"""Letters that belong to no account: proofs of an address, new passwords, support. The controller sends them.

What the ladder tells an account is a notice, and an intent: `storage.intents`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class WaitingLetter:
    """One letter to send."""

    id: int
    key: str
    to_name: str
    to_email: str
    subject: str
    body: str
    tries: int
    created_at: datetime


def write(conn: Connection, key: str, *, to_name: str, to_email: str, subject: str, body: str) -> bool:
    """Put a letter into the outbox; tell whether it is new. The same key is one letter."""
    add = text(
        "INSERT INTO letters (key, to_name, to_email, subject, body) "
        "VALUES (:key, :to_name, :to_email, :subject, :body) ON CONFLICT (key) DO NOTHING RETURNING id"
    )
    given = {"key": key, "to_name": to_name, "to_email": to_email, "subject": subject, "body": body}
    return conn.execute(add, given).scalar_one_or_none() is not None


def take(conn: Connection) -> WaitingLetter | None:
    """Take the oldest that may go now, noting it as sent: if this process dies, it is lost rather than sent twice."""
    find = text(
        "UPDATE letters SET sent_at = clock_timestamp(), tries = tries + 1, outcome = 'being sent' WHERE id = ("
        "SELECT id FROM letters WHERE sent_at IS NULL AND (not_before IS NULL OR not_before <= clock_timestamp()) "
        "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) "
        "RETURNING id, key, to_name, to_email, subject, body, tries, created_at"
    )
    row = conn.execute(find).one_or_none()
    return None if row is None else WaitingLetter(*row)


def settle(conn: Connection, letter_id: int, outcome: str) -> None:
    """Note how it ended, and forget what it said."""
    done = text("UPDATE letters SET outcome = :outcome, body = '' WHERE id = :id")
    conn.execute(done, {"id": letter_id, "outcome": outcome})


def postpone(conn: Connection, letter_id: int, after_seconds: float, reason: str) -> None:
    """Note that it surely did not leave, and is to be tried again."""
    later = text(
        "UPDATE letters SET sent_at = NULL, outcome = :reason, "
        "not_before = clock_timestamp() + make_interval(secs => :after) WHERE id = :id"
    )
    conn.execute(later, {"id": letter_id, "reason": reason, "after": after_seconds})
