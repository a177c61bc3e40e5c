"""Invoices as issued. Triggers refuse any change of them: lines come first, then the invoice, and then nothing more."""

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
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from storage.tables.columns import NEW_ID, NOW, instant, metadata, required
from storage.tables.metering import AMOUNT, PERCENT, QUANTITY, UNIT_PRICE

invoice_number_counters = Table(
    "invoice_number_counters",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),  # of the day of issue
    required("last", BigInteger),  # given out, and committed together with its invoice
)

invoices = Table(
    "invoices",
    metadata,
    Column("id", Uuid, primary_key=True),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("kind"),
    required("number", unique=True),
    Column("corrects", Uuid, ForeignKey("invoices.id")),  # of a credit note: what it takes back
    required("first_on", Date),
    required("last_on", Date),
    required("revision", Integer, server_default=text("0")),  # of the month: rises when one was credited and is redone
    required("issued_on", Date),
    required("due_on", Date),
    required("currency"),
    required("net", AMOUNT),
    required("vat", AMOUNT),
    required("total", AMOUNT),
    Column("iban", Text),
    Column("reference", Text),
    required("document"),  # the whole `engine.invoicing.invoice.Invoice` as canonical JSON
    instant("issued_at", nullable=False),
    required("issued_by"),
    required("reason", server_default=""),  # of a credit note: why it was written
    CheckConstraint(
        "(kind = 'invoice' AND corrects IS NULL) OR (kind = 'credit_note' AND corrects IS NOT NULL)", name="kind"
    ),
    CheckConstraint("first_on <= last_on", name="period"),
    CheckConstraint("net + vat = total", name="total"),
    Index("invoices_customer_id", "customer_id", "first_on"),
    Index("invoices_issued_at", "issued_at", "id"),
    Index("invoices_reference", "reference", postgresql_where=text("reference IS NOT NULL")),
    Index(
        "invoices_month",
        "customer_id",
        "first_on",
        "revision",
        unique=True,
        postgresql_where=text("kind = 'invoice'"),
    ),
    Index("invoices_corrects", "corrects", postgresql_where=text("corrects IS NOT NULL")),
)

invoice_lines = Table(
    "invoice_lines",
    metadata,
    Column(
        "invoice_id",
        Uuid,
        ForeignKey("invoices.id", deferrable=True, initially="DEFERRED"),
        primary_key=True,
    ),
    Column("position", Integer, primary_key=True, autoincrement=False),
    required("kind"),
    required("text"),
    Column("tenant", Text),
    required("first_on", Date),
    required("last_on", Date),
    required("quantity", QUANTITY),
    required("unit"),
    required("unit_price", UNIT_PRICE),
    required("amount", AMOUNT),
    required("vat_percent", PERCENT),
    Column("corrects_position", Integer),  # of a credit note: of which line of its invoice; null: of the same position
    CheckConstraint("kind IN ('setup', 'monthly', 'skill', 'usage')", name="kind"),
    CheckConstraint("amount = round(quantity * unit_price, 2)", name="amount"),
)

invoice_payments = Table(
    "invoice_payments",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("invoice_id", Uuid, ForeignKey("invoices.id")),
    required("amount", AMOUNT),  # negative: one that was booked wrongly, or went back
    required("paid_on", Date),
    required("source"),  # `hand`, or the kind of the bank's file
    Column("source_key", Text),  # the bank's own name of the payment: booked once, however often it is read
    required("by"),
    required("note", server_default=""),
    instant("recorded_at", nullable=False, server_default=NOW),
    required("reason", server_default=""),  # of one by hand
    UniqueConstraint("source", "source_key"),
    CheckConstraint("amount <> 0", name="amount"),
    Index("invoice_payments_invoice_id", "invoice_id"),
)

invoice_papers = Table(
    "invoice_papers",
    metadata,
    Column("invoice_id", Uuid, ForeignKey("invoices.id"), primary_key=True),
    required("pdf", LargeBinary),  # as it was first drawn: by a download or a letter, never by the monthly run
    instant("drawn_at", nullable=False, server_default=NOW),
)

invoice_runs = Table(
    "invoice_runs",
    metadata,
    Column("month", Date, primary_key=True),  # its first day
    Column("customer_id", Uuid, ForeignKey("customers.id"), primary_key=True),
    required("outcome"),  # a failed one is tried again by the next run
    Column("invoice_id", Uuid, ForeignKey("invoices.id")),
    required("reason", server_default=""),  # why it failed; of one that was issued, what it lacks
    instant("at", nullable=False),
    CheckConstraint("outcome IN ('issued', 'nothing', 'failed')", name="outcome"),
)

invoice_orders = Table(
    "invoice_orders",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("month", Date),  # its first day; issued for everybody who pays by invoice and has none
    required("by"),
    instant("asked_at", nullable=False),
    instant("begun_at"),
    instant("ended_at"),
    required("outcome", server_default=""),  # why it ended without a run
    required("automatic", Boolean, server_default=text("false")),  # only whose invoices are issued by themselves
    Index("invoice_orders_asked_at", "asked_at"),
    Index("invoice_orders_open", "month", "automatic", unique=True, postgresql_where=text("ended_at IS NULL")),
)
