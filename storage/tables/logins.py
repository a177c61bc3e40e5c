"""People who sign in, and letters that belong to no account."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    Uuid,
    text,
)

from storage.tables.columns import NEW_ID, NOW, instant, metadata, required

logins = Table(
    "logins",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("email", unique=True),  # in lower case: two that differ by case are one
    required("name"),
    required("role"),
    Column("customer_id", Uuid, ForeignKey("customers.id")),  # null: an admin
    Column("password_hash", Text),  # argon2id; null: none was chosen yet
    instant("verified_at"),  # when the address was proved
    instant("created_at", nullable=False, server_default=NOW),
    Index("logins_customer_id", "customer_id", postgresql_where=text("customer_id IS NOT NULL")),
    CheckConstraint("(role = 'customer') = (customer_id IS NOT NULL) AND role IN ('customer', 'admin')", name="role"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # sha256 of the cookie
    required("login_id", Uuid, ForeignKey("logins.id", ondelete="CASCADE"), index=True),
    instant("created_at", nullable=False, server_default=NOW),
    instant("seen_at", nullable=False, server_default=NOW),
    Index("sessions_seen_at", "seen_at"),
)

login_tokens = Table(
    "login_tokens",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),  # sha256 of what was mailed
    required("login_id", Uuid, ForeignKey("logins.id", ondelete="CASCADE")),
    required("purpose"),
    instant("expires_at", nullable=False),  # real time
    instant("used_at"),
    Index("login_tokens_expires_at", "expires_at"),
    CheckConstraint("purpose IN ('verify', 'reset')", name="purpose"),
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("key"),  # what is counted: an action, and whose
    instant("at", nullable=False, server_default=text("clock_timestamp()")),
    Index("attempts_key", "key", "at"),
    Index("attempts_at", "at"),
)

letters = Table(
    "letters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("key", unique=True),  # the same key is one letter
    required("to_name"),
    required("to_email"),
    required("subject"),
    required("body"),  # emptied once it is sent: links in it open doors
    instant("created_at", nullable=False, server_default=NOW),
    instant("sent_at"),
    required("tries", Integer, server_default=text("0")),
    instant("not_before"),  # real time
    Column("outcome", Text),
    Index("letters_unsent", "id", postgresql_where=text("sent_at IS NULL")),
)
