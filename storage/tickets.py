"""Tickets to support: written down with how the account stood, acknowledged by mail, found and listed.

The text is for people. Nothing reads it to act. What is written below a ticket is `storage.ticket_thread`.
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

from engine.notices import plain
from storage import letters
from storage.accounts import Customer

ALERT: Final = "support_ticket"
ALPHABET: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"  # without characters that are mistaken for another
LETTERS: Final = 4
TRIES: Final = 20
NAME_CHARACTERS: Final = 200
COLUMNS: Final = "id, number, customer_id, account_id, server_id, subject, text, context, state, created_at, changed_at"


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
    """`open` until support has answered; `answered`, and `open` again when the customer writes; `closed`."""
    created_at: datetime
    changed_at: datetime
    """When somebody last wrote, or closed it."""


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
    """Write a ticket down and acknowledge it by mail; return it and whether it is new: then people are to be told."""
    there = _by_key(conn, customer.id, question.key)
    if there is not None:
        return there, False
    ticket = _written(conn, customer, question, context, prefix)
    if ticket is None:  # at the same moment, by the same key
        again = _by_key(conn, customer.id, question.key)
        assert again is not None
        return again, False
    name = plain(customer.name, NAME_CHARACTERS)
    body = (
        f"Hello {name},\n\nwe have your message “{ticket.subject}” and answer as soon as we can. "
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
    return ticket, True


def of_customer(conn: Connection, customer_id: UUID, limit: int = 20) -> list[Ticket]:
    """Return a customer's tickets, newest first."""
    find = text(f"SELECT {COLUMNS} FROM tickets WHERE customer_id = :owner ORDER BY created_at DESC, id LIMIT :limit")
    return [Ticket(*row) for row in conn.execute(find, {"owner": customer_id, "limit": limit})]


def by_number(conn: Connection, number: str, customer_id: UUID | None = None) -> Ticket | None:
    """Return the ticket of this number; None: there is none, or it is not this customer's."""
    find = text(
        f"SELECT {COLUMNS} FROM tickets WHERE number = :number "
        "AND (CAST(:owner AS uuid) IS NULL OR customer_id = :owner)"
    )
    row = conn.execute(find, {"number": number, "owner": customer_id}).one_or_none()
    return None if row is None else Ticket(*row)


def listed(conn: Connection, state: str, limit: int = 100) -> list[tuple[Ticket, str]]:
    """Return tickets in a state with who wrote them: of open ones the longest waiting first, of others the newest."""
    order = "t.changed_at" if state == "open" else "t.changed_at DESC"
    columns = ", ".join(f"t.{name}" for name in COLUMNS.split(", "))
    find = text(
        f"SELECT {columns}, c.name FROM tickets t JOIN customers c ON c.id = t.customer_id "
        f"WHERE t.state = :state ORDER BY {order}, t.id LIMIT :limit"
    )
    return [(Ticket(*row[:-1]), row[-1]) for row in conn.execute(find, {"state": state, "limit": limit})]


def counts(conn: Connection) -> dict[str, int]:
    """Return how many tickets are in each state; one that none is in is left out."""
    return {row[0]: row[1] for row in conn.execute(text("SELECT state, count(*) FROM tickets GROUP BY state"))}


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
