"""A customer's second way to be told, beside mail. Instants and ids as in `storage.tables`."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, Table, Text, Uuid, text

from storage.tables.columns import NOW, instant, metadata, required

hooks = Table(
    "hooks",
    metadata,
    Column("customer_id", Uuid, ForeignKey("customers.id"), primary_key=True),
    required("url"),
    required("secret"),  # what posts are signed with; shown to the customer once
    instant("changed_at", nullable=False, server_default=NOW),
)

hook_posts = Table(
    "hook_posts",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("key", unique=True),  # the notice's: each is posted once at most
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("kind"),  # the notice
    required("body"),  # JSON; forgotten once it is settled
    instant("created_at", nullable=False, server_default=NOW),
    instant("sent_at"),
    required("tries", Integer, server_default=text("0")),
    instant("not_before"),  # real time
    Column("outcome", Text),
    Index("hook_posts_unsent", "id", postgresql_where=text("sent_at IS NULL")),
    Index("hook_posts_customer_id", "customer_id", "id"),
)
