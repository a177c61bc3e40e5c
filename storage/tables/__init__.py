"""Every table, as the migrations leave them. Instants are `timestamptz`, ids `uuid`; comments say who writes a column.

Only the ledger (`storage.ledger*`) writes the columns below `# ladder` and a server's lifecycle.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
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

from storage.tables.columns import EMPTY_LIST, EMPTY_OBJECT, NEW_ID, NOW, instant, metadata, required
from storage.tables.hooks import hook_posts, hooks
from storage.tables.invoices import (
    invoice_lines,
    invoice_number_counters,
    invoice_orders,
    invoice_papers,
    invoice_payments,
    invoice_runs,
    invoices,
)
from storage.tables.logins import attempts, letters, login_tokens, logins, sessions
from storage.tables.metering import (
    org_billing_config,
    org_payment_methods,
    platform_pricing,
    platform_pricing_history,
    skill_pricing,
    skill_pricing_history,
    tenant_billing_lifecycle,
    tenant_requests,
    tenant_skill_events,
    tenant_suspension_events,
    tenant_usage,
)
from storage.tables.portal import notes, ticket_files, ticket_messages, tickets
from storage.tables.reminders import invoice_accounts, invoice_reminders, invoice_states
from storage.tables.running import (
    alerts,
    announcements,
    clock,
    edges,
    leases,
    observations,
    policies,
    policy_in_force,
    processes,
    repair_events,
    wakeups,
)
from storage.tables.stripe import (
    charges,
    disputes,
    stripe_events,
    stripe_invoices,
    stripe_reader,
    subscriptions,
)

__all__ = [
    "accounts",
    "alerts",
    "announcements",
    "attempts",
    "audit",
    "audit_heads",
    "backups",
    "brake_slots",
    "brakes",
    "charges",
    "clock",
    "customers",
    "disputes",
    "edges",
    "holds",
    "hook_posts",
    "hooks",
    "intents",
    "invoice_accounts",
    "invoice_lines",
    "invoice_number_counters",
    "invoice_orders",
    "invoice_papers",
    "invoice_payments",
    "invoice_reminders",
    "invoice_runs",
    "invoice_states",
    "invoices",
    "leases",
    "letters",
    "login_tokens",
    "logins",
    "metadata",
    "notes",
    "observations",
    "operations",
    "org_billing_config",
    "org_payment_methods",
    "platform_pricing",
    "platform_pricing_history",
    "policies",
    "policy_in_force",
    "processes",
    "repair_events",
    "servers",
    "sessions",
    "skill_pricing",
    "skill_pricing_history",
    "stripe_events",
    "stripe_invoices",
    "stripe_reader",
    "subscriptions",
    "tenant_billing_lifecycle",
    "tenant_requests",
    "tenant_skill_events",
    "tenant_suspension_events",
    "tenant_usage",
    "ticket_files",
    "ticket_messages",
    "tickets",
    "wakeups",
]

customers = Table(
    "customers",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("email"),
    required("name"),
    required("zone", server_default="UTC"),  # IANA name: instants in mail are told in it
    required("language", server_default="en"),  # of letters, as `de` or `pt-BR`; English where the policy lacks it
    required("token_hash", LargeBinary, unique=True),  # sha256 of the bearer token
    instant("created_at", nullable=False, server_default=NOW),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    Column("stripe_customer_id", Text),  # null: Stripe does not know them yet
    Column("stripe_subscription_id", Text),
    required("zone", server_default="UTC"),
    instant("created_at", nullable=False, server_default=NOW),
    # standing: written by storage.stripe.evidence from the mirror; `plan` and `exempt_until` also by admins
    required("subscription_status", server_default="none"),
    Column("plan", Text),
    required("has_active_plan", Boolean, server_default=text("false")),
    required("overdue_invoices", Integer, server_default=text("0")),
    instant("past_due_since"),
    instant("subscription_ended_at"),
    required("rare_facts", JSONB, server_default=EMPTY_OBJECT),  # facts that few accounts have: fact -> value
    instant("exempt_until"),
    instant("standing_fetched_at"),  # when Stripe was last asked, by the clock that decisions use
    instant("last_billing_event_at"),
    Column("last_stripe_event_id", Text),
    # ladder: written by the ledger alone
    required("billing_status", server_default="active"),
    required("server_billing_state", server_default="allowed"),
    required("server_billing_machine", server_default="billing"),  # the machine that imposed it
    Column("server_billing_code", Text),
    required("states", JSONB, server_default=EMPTY_OBJECT),  # machine -> state, all account machines
    required("episodes", JSONB, server_default=EMPTY_OBJECT),  # machine -> number of the running or last episode
    required("notices", JSONB, server_default=EMPTY_OBJECT),  # intent -> its latest round
    required("senders", JSONB, server_default=EMPTY_OBJECT),  # event -> who sent it in the running episode
    instant("warning_sent_at"),
    instant("final_warning_sent_at"),
    instant("backup_blocked_at"),
    instant("suspended_at"),
    instant("retention_until"),
    required("stamps", JSONB, server_default=EMPTY_OBJECT),  # every other stamp: fact -> instant
    Column("last_enforcement_action", Text),
    Column("policy_digest", Text),  # the policy that it was last decided under
    required("epoch", BigInteger, server_default=text("0")),  # and the epoch of `policy_in_force` then
    instant("due_at"),  # when something may follow without new evidence; null: never
    instant("held_until"),  # when a due rule that was not permitted is looked at again
    required("waiting", JSONB, server_default=EMPTY_LIST),  # due rules and the permits that they wait for
    required("audit_seq", BigInteger, server_default=text("0")),  # head of its audit chain
    required("audit_hash", LargeBinary, server_default=text("''::bytea")),
    instant("audit_at"),
    instant("updated_at", nullable=False, server_default=NOW),
    Index("accounts_customer_id", "customer_id"),
    Index("accounts_stripe_customer_id", "stripe_customer_id"),
    Index(
        "accounts_stripe_subscription_id",
        "stripe_subscription_id",
        unique=True,
        postgresql_where=text("stripe_subscription_id IS NOT NULL"),
    ),
    # The sweep reads this one. GREATEST passes over nulls: not held means due_at alone.
    Index("accounts_due", text("GREATEST(due_at, held_until)"), postgresql_where=text("due_at IS NOT NULL")),
    # Accounts decided before the last deploy, or before the last hold for everybody, are found here.
    Index("accounts_epoch", "epoch"),
    CheckConstraint("overdue_invoices >= 0", name="overdue_invoices"),
)

servers = Table(
    "servers",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("account_id", Uuid, ForeignKey("accounts.id"), index=True),
    required("name"),
    required("kind"),
    required("host", server_default="local"),
    required("port", Integer, server_default=text("0")),  # where it is asked to listen; 0: where it likes
    Column("published_port", Integer),  # where its host says that it is reached; kept while it is down
    required("desired", server_default="stopped"),  # by people, and by the ledger when billing stops it
    required("observed", server_default="unknown"),  # by the controller
    instant("observed_at"),
    required("lifecycle"),  # by the ledger
    instant("lifecycle_since", nullable=False, server_default=NOW),
    required("stamps", JSONB, server_default=EMPTY_OBJECT),  # of the lifecycle: fact -> instant
    required(
        "round", BigInteger, server_default=text("0")
    ),  # counts what was asked of it, so that each ask is a new intent
    Column("autostart", Boolean),  # what the host says
    instant("ran_at"),  # when it was first observed running; null: it never ran, and holds nobody's work
    instant("due_at"),  # when the lifecycle moves by itself
    # rungs of its own, by the ledger: machine -> state, and what they alone say. Readers take the stricter of this and
    # the account's: the function `stricter`.
    required("states", JSONB, server_default=EMPTY_OBJECT),
    required("own_billing_state", server_default="allowed"),
    required("own_billing_machine", server_default=""),
    Column("own_billing_code", Text),
    instant("created_at", nullable=False, server_default=NOW),
    CheckConstraint("desired IN ('running', 'stopped')", name="desired"),
    CheckConstraint("observed IN ('running', 'stopped', 'unknown')", name="observed"),
    Index("servers_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    Index("servers_host", "host", "id"),
    Index("servers_alone", "id", postgresql_where=text("states <> '{}'::jsonb")),
)

intents = Table(
    "intents",
    metadata,
    Column("id", Uuid, primary_key=True),  # made from the key: a second intent with the same key is the same row
    required("key"),
    required("account_id", Uuid, ForeignKey("accounts.id")),
    Column("server_id", Uuid, ForeignKey("servers.id")),
    required("machine"),
    required("episode", BigInteger),
    required("round", BigInteger),
    required("intent"),
    required("kind"),
    required("queue"),
    required("args", JSONB, server_default=EMPTY_OBJECT),
    required("status", server_default="open"),
    required("tries", Integer, server_default=text("0")),
    instant("not_before"),  # by the clock that decisions use
    Column("claim", Uuid),  # names one try; a finish with another is late
    Column("claimed_by", BigInteger),  # the process, whose lock says whether it lives
    instant("claimed_until"),  # real time
    instant("started_at"),
    instant("finished_at"),
    Column("outcome", Text),
    instant("promise_at"),  # the date that this notice tells
    required("actor"),
    instant("created_at", nullable=False),
    instant("enqueued_at"),  # real time
    CheckConstraint("status IN ('open', 'started', 'done', 'dropped', 'failed', 'unknown')", name="status"),
    CheckConstraint("kind IN ('notice', 'effect', 'command', 'repair')", name="kind"),
    Index("intents_account_id", "account_id"),
    Index("intents_server_id", "server_id", postgresql_where=text("server_id IS NOT NULL")),
    Index("intents_open", "created_at", "id", postgresql_where=text("status = 'open'")),
    Index("intents_started", "claimed_until", postgresql_where=text("status = 'started'")),
    Index("intents_troubled", "status", postgresql_where=text("status IN ('failed', 'unknown')")),
)

audit = Table(
    "audit",
    metadata,
    Column("account_id", Uuid, primary_key=True),  # nil: what concerns no account
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    instant("at", nullable=False),
    required("kind"),
    required("canonical"),  # the text that is hashed; `jsonb` would rewrite it
    required("hash", LargeBinary),  # sha256 of the previous hash and this text
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("chain", Uuid, primary_key=True),
    required("seq", BigInteger, server_default=text("0")),
    required("hash", LargeBinary, server_default=text("''::bytea")),
)

operations = Table(
    "operations",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("customer_id", Uuid, ForeignKey("customers.id")),
    required("account_id", Uuid, ForeignKey("accounts.id"), index=True),
    required("idempotency_key"),
    required("request_hash", LargeBinary),
    required("kind"),
    required("state", server_default="queued"),
    Column("phase", Text),
    Column("server_id", Uuid, ForeignKey("servers.id")),
    Column("error", Text),
    required("args", JSONB, server_default=EMPTY_OBJECT),
    Column("reason", Text),  # of a failure, for operators
    Column("left_behind", Text),  # what the host showed of the server then
    instant("created_at", nullable=False, server_default=NOW),
    instant("updated_at", nullable=False, server_default=NOW),
    UniqueConstraint("customer_id", "idempotency_key"),
    CheckConstraint("state IN ('queued', 'in_progress', 'succeeded', 'failed')", name="state"),
    Index("operations_server_id", "server_id", postgresql_where=text("server_id IS NOT NULL")),
    Index("operations_unfinished", "created_at", postgresql_where=text("state IN ('queued', 'in_progress')")),
)

backups = Table(
    "backups",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    required("server_id", Uuid, ForeignKey("servers.id"), index=True),
    required("state", server_default="queued"),
    Column("size_bytes", BigInteger),
    Column("sha256", Text),
    instant("created_at", nullable=False, server_default=NOW),
    required("safety", Boolean, server_default=text("false")),  # made by a restore of what it was about to replace
    Column("error", Text),
    CheckConstraint("state IN ('queued', 'in_progress', 'complete', 'failed', 'deleted')", name="state"),
)

holds = Table(
    "holds",
    metadata,
    Column("id", Uuid, primary_key=True, server_default=NEW_ID),
    Column("account_id", Uuid, ForeignKey("accounts.id")),  # null: everybody
    required("kind"),
    Column("until", DateTime(timezone=True)),  # null: until somebody ends it
    required("by"),
    required("reason", server_default=""),
    instant("created_at", nullable=False, server_default=NOW),
    instant("ended_at"),
    Index("holds_account_id", "account_id", postgresql_where=text("ended_at IS NULL")),
)

brakes = Table(
    "brakes",
    metadata,
    Column("name", Text, primary_key=True),
    instant("latched_at"),  # null: not tripped
    instant("released_at"),  # slots given out before this no longer count
    Column("released_by", Text),
    Column("allowance", Integer),  # how many a release allows, until its window is over; null: as the policy says
)

brake_slots = Table(
    "brake_slots",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    required("brake"),
    required("account_id", Uuid),
    instant("at", nullable=False),
    Index("brake_slots_brake_at", "brake", "at"),
)
