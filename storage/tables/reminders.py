"""Where issued invoices stand, whom they bill, and what their customers were told of them."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import EMPTY_OBJECT, NEW_ID, NOW, instant, metadata, required

invoice_states = Table(
    "invoice_states",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoices.id"), primary_key=True),
    required("state"),  # of the policy's machine of invoices; storage.ledger_invoices alone writes it
    instant("state_since", nullable=False),
    instant("payable_until", nullable=False),  # the end of the due day, in the customer's zone
    required("stamps", JSONB, server_default=EMPTY_OBJECT),
    instant("due_at"),  # when it moves by time alone; null: never
    Index("invoice_states_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("invoice_states_state", "state"),
)

invoice_accounts = Table(
    "invoice_accounts",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoices.id"), primary_key=True),
    Column("account_id", Uuid, ForeignKey("accounts.id"), primary_key=True),  # it bills a server of this account
    Index("invoice_accounts_account_id", "account_id"),
)

invoice_reminders = Table(
    "invoice_reminders",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("invoice_id", Uuid, ForeignKey("invoices.id")),
    required("intent"),  # what of: the invoice itself, or a reminder
    required("state"),  # of the invoice when it was asked for
    required("round", Integer),  # rises when an invoice comes to a state again, after a payment was taken back
    required("status", server_default="open"),
    required("tries", Integer, server_default=text("0")),
    instant("asked_at", nullable=False),
    instant("not_before"),
    instant("claimed_at"),
    instant("ended_at"),
    Column("outcome", Text),
    instant("recorded_at", nullable=False, server_default=NOW),
    Column("paper", LargeBinary),  # of a reminder: its PDF, kept before it is sent; an invoice's is in invoice_papers
    UniqueConstraint("invoice_id", "intent", "state", "round"),
    CheckConstraint("status IN ('open', 'sending', 'sent', 'unknown', 'failed', 'dropped')", name="status"),
    Index("invoice_reminders_open", "asked_at", postgresql_where=text("status IN ('open', 'sending')")),
)
