"""What invoices are made from. Events, usage and histories of prices only grow: triggers refuse anything else."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from storage.tables.columns import NEW_ID, NOW, instant, metadata, required

AMOUNT = Numeric(10, 2)
UNIT_PRICE = Numeric(10, 5)
QUANTITY = Numeric(15, 5)
PERCENT = Numeric(5, 2)
NOTHING = text("0")
FALSE = text("false")

_SOURCES = "source IN ('observed', 'reconcile', 'backfill')"  # who saw it: the work itself, or a later look at hosts

tenant_billing_lifecycle = Table(
    "tenant_billing_lifecycle",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("server_id", Uuid),  # no foreign keys: this outlives what it is about, for the final invoice
    required("customer_id", Uuid),
    required("account_id", Uuid),
    required("organisation"),  # the customer's name then
    required("tenant"),  # the name by which it is billed; no other tenant ever has it
    required("event"),
    instant("at", nullable=False),
    required("source"),
    instant("recorded_at", nullable=False, server_default=NOW),
    UniqueConstraint("server_id", "event"),
    CheckConstraint("event IN ('created', 'deleted')", name="event"),
    CheckConstraint(_SOURCES, name="source"),
    Index("tenant_billing_lifecycle_customer_id", "customer_id", "at"),
    Index("tenant_billing_lifecycle_tenant", "tenant", unique=True, postgresql_where=text("event = 'created'")),
)

tenant_skill_events = Table(
    "tenant_skill_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("server_id", Uuid),
    required("customer_id", Uuid),
    required("skill"),
    required("event"),
    instant("at", nullable=False),
    required("source"),
    instant("recorded_at", nullable=False, server_default=NOW),
    CheckConstraint("event IN ('enabled', 'disabled')", name="event"),
    CheckConstraint(_SOURCES, name="source"),
    Index("tenant_skill_events_customer_id", "customer_id", "at"),
    Index("tenant_skill_events_server_id", "server_id", "skill", "at", "id"),
)

tenant_suspension_events = Table(
    "tenant_suspension_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("server_id", Uuid),
    required("customer_id", Uuid),
    required("event"),
    required("cause"),  # of the machine that imposed it
    instant("at", nullable=False),
    required("source"),
    instant("recorded_at", nullable=False, server_default=NOW),
    CheckConstraint("event IN ('suspended', 'resumed')", name="event"),
    CheckConstraint(_SOURCES, name="source"),
    Index("tenant_suspension_events_customer_id", "customer_id", "at"),
    Index("tenant_suspension_events_server_id", "server_id", "at", "id"),
)

tenant_usage = Table(
    "tenant_usage",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("server_id", Uuid),
    required("customer_id", Uuid),
    required("kind"),
    required("used_on", Date),  # a day in the organisation's zone, as the adapter tells it
    required("quantity", QUANTITY),
    required("source"),  # of two sources each counts: a source tells a day once
    instant("recorded_at", nullable=False, server_default=NOW),
    Column("charged_on", Date),  # the day whose invoice charges it, as months before were billed; null: its own day
    UniqueConstraint("server_id", "kind", "used_on", "source"),
    CheckConstraint("kind IN ('messages', 'model_spend')", name="kind"),
    CheckConstraint("quantity >= 0", name="quantity"),
    CheckConstraint("charged_on > used_on", name="charged_on"),
    Index("tenant_usage_customer_id", "customer_id", "used_on"),
    Index("tenant_usage_charged_on", "customer_id", "charged_on", postgresql_where=text("charged_on IS NOT NULL")),
)

platform_pricing = Table(
    "platform_pricing",
    metadata,
    Column("single", Boolean, primary_key=True, server_default=text("true")),
    required("currency", server_default="CHF"),
    required("monthly_fee", AMOUNT, server_default=NOTHING),
    required("setup_fee", AMOUNT, server_default=NOTHING),
    required("per_message_price", UNIT_PRICE, server_default=NOTHING),
    required("model_spend_factor", UNIT_PRICE, server_default=NOTHING),  # what one unit of spend is charged at
    required("vat_rate_chli", PERCENT, server_default=text("8.10")),
    instant("updated_at", nullable=False, server_default=NOW),
    required("updated_by", server_default=""),
    CheckConstraint("single", name="single"),
    CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    CheckConstraint(
        "least(monthly_fee, setup_fee, per_message_price, model_spend_factor, vat_rate_chli) >= 0 "
        "AND greatest(monthly_fee, setup_fee) < 100000 AND vat_rate_chli <= 100",
        name="amounts",
    ),
)

platform_pricing_history = Table(
    "platform_pricing_history",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("valid_from", Date),  # until the next one's; of the same day, the newest row holds
    required("monthly_fee", AMOUNT),
    required("setup_fee", AMOUNT),
    required("per_message_price", UNIT_PRICE),
    required("model_spend_factor", UNIT_PRICE),
    required("vat_rate_chli", PERCENT),
    required("by"),
    instant("recorded_at", nullable=False, server_default=NOW),
    required("reason", server_default=""),
    Index("platform_pricing_history_valid_from", "valid_from", "id"),
)

skill_pricing = Table(
    "skill_pricing",
    metadata,
    Column("skill", Text, primary_key=True),
    required("daily_price", UNIT_PRICE, server_default=NOTHING),
    instant("updated_at", nullable=False, server_default=NOW),
    required("updated_by", server_default=""),
    CheckConstraint("daily_price >= 0", name="daily_price"),
)

skill_pricing_history = Table(
    "skill_pricing_history",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("skill"),
    required("valid_from", Date),
    required("daily_price", UNIT_PRICE),
    required("by"),
    instant("recorded_at", nullable=False, server_default=NOW),
    required("reason", server_default=""),
    Index("skill_pricing_history_skill", "skill", "valid_from", "id"),
)

org_billing_config = Table(
    "org_billing_config",
    metadata,
    Column("customer_id", Uuid, ForeignKey("customers.id"), primary_key=True),
    required("pay_by_invoice", Boolean, server_default=FALSE),  # else Stripe charges them, and a run passes them over
    Column("stripe_customer_id", Text),
    required("auto_invoices", Boolean, server_default=FALSE),  # the controller issues when a month is over
    required("auto_reminders", Boolean, server_default=FALSE),
    required("street", server_default=""),
    required("house_number", server_default=""),
    required("postal_code", server_default=""),
    required("town", server_default=""),
    required("zone", server_default="UTC"),  # whose days are billed; at first the customer's
    required("country", server_default="CH"),  # ISO 3166-1 alpha-2; says which VAT rule holds
    Column("email", Text),  # null: the customer's
    Column("vat_id", Text),
    Column("payment_days", Integer),  # null: the creditor's
    instant("created_at", nullable=False, server_default=NOW),
    instant("updated_at", nullable=False, server_default=NOW),
    CheckConstraint("country ~ '^[A-Z]{2}$'", name="country"),
    CheckConstraint("payment_days BETWEEN 0 AND 365", name="payment_days"),
)

org_payment_methods = Table(
    "org_payment_methods",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("kind"),
    required("label"),
    Column("stripe_payment_method_id", Text),
    required("is_default", Boolean, server_default=FALSE),
    instant("created_at", nullable=False, server_default=NOW),
    instant("removed_at"),
    CheckConstraint("kind IN ('invoice', 'card', 'bank_debit')", name="kind"),
    Index("org_payment_methods_customer_id", "customer_id", "created_at"),
    Index(
        "org_payment_methods_default",
        "customer_id",
        unique=True,
        postgresql_where=text("is_default AND removed_at IS NULL"),
    ),
)

tenant_requests = Table(
    "tenant_requests",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    Column("account_id", Uuid, ForeignKey("accounts.id")),  # of a provisioning: where it goes; null: a new one
    Column("server_id", Uuid, ForeignKey("servers.id")),  # of a resumption; of a provisioning, once it is approved
    required("kind"),
    required("name"),
    Column("server_kind", Text),
    required("packages", ARRAY(Text), server_default=text("'{}'::text[]")),
    required("reason", server_default=""),
    required("state", server_default="open"),
    Column("decided_by", Text),
    instant("decided_at"),
    Column("answer", Text),
    Column("operation_id", Uuid, ForeignKey("operations.id")),
    instant("created_at", nullable=False, server_default=NOW),
    CheckConstraint("kind IN ('provision', 'resume')", name="kind"),
    CheckConstraint("state IN ('open', 'approved', 'refused')", name="state"),
    Index("tenant_requests_state", "state", "created_at"),
    Index("tenant_requests_open", "customer_id", "kind", "name", unique=True, postgresql_where=text("state = 'open'")),
)
