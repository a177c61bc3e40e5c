"""Tickets to support: written down with how the account stood, acknowledged by mail, and told to the people who answer.

The text is for people. Nothing reads it to act.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage import alerts, letters
from storage.accounts import Customer

ALERT: Final = "support_ticket"
ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # without characters that are mistaken for another
LETTERS: Final = 4
TRIES: Final = 20
COLUMNS: Final = "id, number, customer_id, account_id, server_id, subject, text, context, state, created_at"


@dataclass(frozen=True, slots=True)
class Ticket:
    """One ticket."""

    id: UUID
    number: str
    customer_id: UUID
    account_id: UUID | None
    server_id: UUID | None
    subject: str
    text: str
    context: Mapping[str, Any]
    """How the account and the server stood when it was written."""
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """What a customer asks."""

    subject: str
    text: str
    key: str
    """The same key is the same ticket."""
    account_id: UUID | None = None
    server_id: UUID | None = None


def open_ticket(
    conn: Connection, customer: Customer, question: Question, context: Mapping[str, Any], prefix: str
) -> tuple[Ticket, bool]:
    """Write a ticket down, acknowledge it by mail and tell the people; return it and whether it is new."""
    there = _by_key(conn, customer.id, question.key)
    if there is not None:
        return there, False
    ticket = _written(conn, customer, question, context, prefix)
    if ticket is None:  # at the same moment, by the same key
        again = _by_key(conn, customer.id, question.key)
        assert again is not None
        return again, False
    body = (
        f"Hello {customer.name},\n\nwe have your message “{ticket.subject}” and answer as soon as we can. "
        f"Its number is {ticket.number}; name it when you write about it again.\n"
    )
    letters.write(
        conn,
        f"ticket:{ticket.id}",
        to_name=customer.name,
        to_email=customer.email,
        subject=f"[{ticket.number}] We have your message",
        body=body,
    )
    stands = context.get("billingStatus") or "no account named"
    words = f"{ticket.number} from {customer.name}: {ticket.subject} ({stands})"
    alerts.raise_alert(conn, ALERT, words, ticket.account_id, key=f"ticket:{ticket.id}")
    return ticket, True


def of_customer(conn: Connection, customer_id: UUID, limit: int = 20) -> list[Ticket]:
    """Return a customer's tickets, newest first."""
    find = text(f"SELECT {COLUMNS} FROM tickets WHERE customer_id = :owner ORDER BY created_at DESC, id LIMIT :limit")
    return [Ticket(*row) for row in conn.execute(find, {"owner": customer_id, "limit": limit})]


def _by_key(conn: Connection, customer_id: UUID, key: str) -> Ticket | None:
    find = text(f"SELECT {COLUMNS} FROM tickets WHERE customer_id = :owner AND key = :key")
    row = conn.execute(find, {"owner": customer_id, "key": key}).one_or_none()
    return None if row is None else Ticket(*row)


def _written(
    conn: Connection, customer: Customer, question: Question, context: Mapping[str, Any], prefix: str
) -> Ticket | None:
    """Insert it under a number that nobody has. None: this customer's key is taken."""
    add = text(
        "INSERT INTO tickets (number, customer_id, key, account_id, server_id, subject, text, context) "
        "VALUES (:prefix || '-' || to_char(now() AT TIME ZONE 'UTC', 'YYYYMMDD') || '-' || :end, "
        ":owner, :key, :account, :server, :subject, :text, CAST(:context AS jsonb)) "
        f"ON CONFLICT DO NOTHING RETURNING {COLUMNS}"
    )
    for _ in range(TRIES):
        given = {
            "prefix": prefix,
            "end": "".join(secrets.choice(ALPHABET) for _ in range(LETTERS)),
            "owner": customer.id,
            "key": question.key,
            "account": question.account_id,
            "server": question.server_id,
            "subject": question.subject,
            "text": question.text,
            "context": json.dumps(dict(context), default=str),
        }
        row = conn.execute(add, given).one_or_none()
        if row is not None:
            return Ticket(*row)
        if _by_key(conn, customer.id, question.key) is not None:
            return None
    raise RuntimeError(f"no number was free in {TRIES} tries: more tickets are opened than a day has numbers for")
