"""What customers write in the portal: notes of their own, and tickets to support."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import EMPTY_OBJECT, NEW_ID, NOW, instant, metadata, required

notes = Table(
    "notes",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("text"),
    required("version", Integer, server_default=text("1")),  # rises with each change, so that none is lost
    instant("created_at", nullable=False, server_default=NOW),
    instant("changed_at", nullable=False, server_default=NOW),
    Index("notes_customer_id", "customer_id", "changed_at"),
)

tickets = Table(
    "tickets",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("number", unique=True),  # what people call it by
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("key"),  # the same key of a customer is one ticket
    Column("account_id", Uuid, ForeignKey("accounts.id")),
    Column("server_id", Uuid, ForeignKey("servers.id")),
    required("subject"),
    required("text"),  # read by people alone
    required("context", JSONB, server_default=EMPTY_OBJECT),  # how the account stood when it was written
    required("state", server_default=text("'open'")),
    instant("created_at", nullable=False, server_default=NOW),
    instant("changed_at", nullable=False, server_default=NOW),  # when somebody last wrote, or closed it
    UniqueConstraint("customer_id", "key"),
    Index("tickets_changed", "state", "changed_at"),
    Index("tickets_state", "state", "created_at"),
    CheckConstraint("state IN ('open', 'answered', 'closed')", name="state"),
)

ticket_messages = Table(
    "ticket_messages",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("ticket_id", Uuid, ForeignKey("tickets.id")),
    required("key"),  # the same key of a ticket is one message
    required("author"),
    required("by"),  # who it was, as the audit names them
    required("text"),  # read by people alone
    instant("created_at", nullable=False, server_default=NOW),
    UniqueConstraint("ticket_id", "key"),
    CheckConstraint("author IN ('customer', 'support')", name="author"),
)

ticket_files = Table(
    "ticket_files",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("ticket_id", Uuid, ForeignKey("tickets.id"), index=True),
    Column("message_id", Uuid, ForeignKey("ticket_messages.id")),  # null: came with the ticket itself
    required("name"),
    required("media_type"),  # what the content showed
    required("content", LargeBinary),
)
