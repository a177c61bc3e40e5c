"""What is written below a ticket, by the customer and by support, with the files that come with it.

Each message goes out once: to the other side by mail, and what a customer writes to the people who answer. Files are
kept in the database, where no web server serves anything from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.notices import plain
from storage import accounts, alerts, letters, tickets
from storage.settings import Settings
from storage.tickets import NAME_CHARACTERS, Ticket

MOST_KEPT_BYTES: Final = 100_000_000  # of one customer, in all of their tickets

Author = Literal["customer", "support"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file on its way in or out; its type is what its content shows."""

    name: str
    media_type: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of a ticket, without its content."""

    id: UUID
    name: str
    media_type: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a ticket."""

    author: Author
    by: str
    """Whoever wrote it, for admins; customers read of support alone."""
    text: str
    created_at: datetime
    files: tuple[KeptFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """What somebody writes. The same key is the same message."""

    author: Author
    by: str
    text: str
    key: str
    attachments: Sequence[Attachment] = ()
    closes: bool = False


def write(conn: Connection, ticket: Ticket, reply: Reply, settings: Settings) -> bool:
    """Add a message to a ticket, and tell the other side of it; tell whether it is new.

    A customer's message opens a ticket again; support's answers or closes it.
    """
    lock = text("SELECT 1 FROM tickets WHERE id = :id FOR UPDATE")
    conn.execute(lock, {"id": ticket.id})
    add = text(
        "INSERT INTO ticket_messages (ticket_id, key, author, by, text) VALUES (:ticket, :key, :author, :by, :text) "
        "ON CONFLICT (ticket_id, key) DO NOTHING RETURNING id"
    )
    given = {"ticket": ticket.id, "key": reply.key, "author": reply.author, "by": reply.by, "text": reply.text}
    message_id: UUID | None = conn.execute(add, given).scalar_one_or_none()
    if message_id is None:
        return False
    attach(conn, ticket.id, reply.attachments, message_id)
    state = "closed" if reply.closes else "open" if reply.author == "customer" else "answered"
    move(conn, ticket.id, state)
    if reply.author == "customer":
        tell_support(conn, ticket, f"{ticket.id}:{message_id}", reply.text, settings)
    else:
        _tell_customer(conn, ticket, message_id, reply, settings)
    return True


def move(conn: Connection, ticket_id: UUID, state: str) -> None:
    """Put a ticket into a state."""
    change = text("UPDATE tickets SET state = :state, changed_at = now() WHERE id = :id")
    conn.execute(change, {"id": ticket_id, "state": state})


def attach(
    conn: Connection, ticket_id: UUID, attachments: Sequence[Attachment], message_id: UUID | None = None
) -> None:
    """Keep the files of a message; None: of the ticket's first."""
    add = text(
        "INSERT INTO ticket_files (ticket_id, message_id, name, media_type, content) "
        "VALUES (:ticket, :message, :name, :type, :content)"
    )
    for each in attachments:
        given = {"ticket": ticket_id, "message": message_id, "name": each.name, "type": each.media_type}
        conn.execute(add, {**given, "content": each.content})


def kept_bytes(conn: Connection, customer_id: UUID) -> int:
    """Return how much a customer has sent in files, in all."""
    add_up = text(
        "SELECT coalesce(sum(octet_length(f.content)), 0)::bigint FROM ticket_files f "
        "JOIN tickets t ON t.id = f.ticket_id WHERE t.customer_id = :owner"
    )
    return int(conn.execute(add_up, {"owner": customer_id}).scalar_one())


def thread(conn: Connection, ticket: Ticket) -> list[Message]:
    """Return all that was written, oldest first."""
    files: dict[UUID | None, list[KeptFile]] = {}
    find_files = text(
        "SELECT message_id, id, name, media_type, octet_length(content) FROM ticket_files "
        "WHERE ticket_id = :id ORDER BY name, id"
    )
    for row in conn.execute(find_files, {"id": ticket.id}):
        files.setdefault(row[0], []).append(KeptFile(*row[1:]))
    find = text(
        "SELECT id, author, by, text, created_at FROM ticket_messages WHERE ticket_id = :id ORDER BY created_at, id"
    )
    first = Message("customer", "", ticket.text, ticket.created_at, tuple(files.get(None, ())))
    rest = [
        Message(author, by, words, at, tuple(files.get(message_id, ())))
        for message_id, author, by, words, at in conn.execute(find, {"id": ticket.id})
    ]
    return [first, *rest]


def file(conn: Connection, ticket_id: UUID, file_id: UUID) -> Attachment | None:
    """Return a file of a ticket; None: it has none of this id."""
    find = text("SELECT name, media_type, content FROM ticket_files WHERE id = :id AND ticket_id = :ticket")
    row = conn.execute(find, {"id": file_id, "ticket": ticket_id}).one_or_none()
    return None if row is None else Attachment(row[0], row[1], bytes(row[2]))


# ---- telling ---------------------------------------------------------------------------------------------------------


def tell_support(conn: Connection, ticket: Ticket, key: str, words: str, settings: Settings) -> None:
    """Write to the people who answer, by mail with the text and on their channel without it."""
    customer = accounts.customer(conn, ticket.customer_id)
    name = plain(customer.name, NAME_CHARACTERS)
    link = f"{settings.public_url}/admin/tickets/{ticket.number}"
    letters.write(
        conn,
        f"ticket-told:{key}",
        to_name="Support",
        to_email=settings.support_email,
        subject=f"[{ticket.number}] {ticket.subject}",
        body=f"{name} ({plain(customer.email)}) has written:\n\n{words}\n\nAnswer here:\n{link}\n",
    )
    stands = ticket.context.get("billingStatus") or "no account named"
    told = f"{ticket.number} from {name}: {ticket.subject} ({stands})"
    alerts.raise_alert(conn, tickets.ALERT, told, ticket.account_id, key=f"ticket:{key}")


def _tell_customer(conn: Connection, ticket: Ticket, message_id: UUID, reply: Reply, settings: Settings) -> None:
    customer = accounts.customer(conn, ticket.customer_id)
    name = plain(customer.name, NAME_CHARACTERS)
    link = f"{settings.portal_url}/support/{ticket.number}"
    files = "\nThere are files with it; you find them there.\n" if reply.attachments else ""
    closed = "\nThis closes the matter for us; if it does not for you, simply write again.\n" if reply.closes else ""
    letters.write(
        conn,
        f"ticket-answer:{message_id}",
        to_name=customer.name,
        to_email=customer.email,
        subject=f"[{ticket.number}] {ticket.subject}",
        body=f"Hello {name},\n\nhere is our answer:\n\n{reply.text}\n{files}{closed}\nAnswer here:\n{link}\n",
    )
