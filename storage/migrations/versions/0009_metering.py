"""What invoices are made from: events of tenants, usage, prices with their validity, organisations, requests."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

EVENTS = """
CREATE TABLE tenant_billing_lifecycle (
    id bigserial,
    server_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    account_id uuid NOT NULL,
    organisation text NOT NULL,
    tenant text NOT NULL,
    event text NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_billing_lifecycle_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_billing_lifecycle_server_id_event_key UNIQUE (server_id, event),
    CONSTRAINT tenant_billing_lifecycle_event_check CHECK (event IN ('created', 'deleted')),
    CONSTRAINT tenant_billing_lifecycle_source_check CHECK (source IN ('observed', 'reconcile', 'backfill'))
);
CREATE INDEX tenant_billing_lifecycle_customer_id ON tenant_billing_lifecycle (customer_id, at);
CREATE UNIQUE INDEX tenant_billing_lifecycle_tenant ON tenant_billing_lifecycle (tenant) WHERE event = 'created';

CREATE TABLE tenant_skill_events (
    id bigserial,
    server_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    skill text NOT NULL,
    event text NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_skill_events_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_skill_events_event_check CHECK (event IN ('enabled', 'disabled')),
    CONSTRAINT tenant_skill_events_source_check CHECK (source IN ('observed', 'reconcile', 'backfill'))
);
CREATE INDEX tenant_skill_events_customer_id ON tenant_skill_events (customer_id, at);
CREATE INDEX tenant_skill_events_server_id ON tenant_skill_events (server_id, skill, at, id);

CREATE TABLE tenant_suspension_events (
    id bigserial,
    server_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    event text NOT NULL,
    cause text NOT NULL,
    at timestamptz NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_suspension_events_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_suspension_events_event_check CHECK (event IN ('suspended', 'resumed')),
    CONSTRAINT tenant_suspension_events_source_check CHECK (source IN ('observed', 'reconcile', 'backfill'))
);
CREATE INDEX tenant_suspension_events_customer_id ON tenant_suspension_events (customer_id, at);
CREATE INDEX tenant_suspension_events_server_id ON tenant_suspension_events (server_id, at, id);

CREATE TABLE tenant_usage (
    id bigserial,
    server_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    used_on date NOT NULL,
    quantity numeric(15,5) NOT NULL,
    source text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_usage_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_usage_server_id_kind_used_on_source_key UNIQUE (server_id, kind, used_on, source),
    CONSTRAINT tenant_usage_kind_check CHECK (kind IN ('messages', 'model_spend')),
    CONSTRAINT tenant_usage_quantity_check CHECK (quantity >= 0)
);
CREATE INDEX tenant_usage_customer_id ON tenant_usage (customer_id, used_on);
"""

PRICES = """
CREATE TABLE platform_pricing (
    single boolean NOT NULL DEFAULT true,
    currency text NOT NULL DEFAULT 'CHF',
    monthly_fee numeric(10,2) NOT NULL DEFAULT 0,
    setup_fee numeric(10,2) NOT NULL DEFAULT 0,
    per_message_price numeric(10,5) NOT NULL DEFAULT 0,
    model_spend_factor numeric(10,5) NOT NULL DEFAULT 0,
    vat_rate_chli numeric(5,2) NOT NULL DEFAULT 8.10,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL DEFAULT '',
    CONSTRAINT platform_pricing_pkey PRIMARY KEY (single),
    CONSTRAINT platform_pricing_single_check CHECK (single),
    CONSTRAINT platform_pricing_currency_check CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT platform_pricing_amounts_check CHECK (
        least(monthly_fee, setup_fee, per_message_price, model_spend_factor, vat_rate_chli) >= 0
        AND greatest(monthly_fee, setup_fee) < 100000 AND vat_rate_chli <= 100)
);

CREATE TABLE platform_pricing_history (
    id bigserial,
    valid_from date NOT NULL,
    monthly_fee numeric(10,2) NOT NULL,
    setup_fee numeric(10,2) NOT NULL,
    per_message_price numeric(10,5) NOT NULL,
    model_spend_factor numeric(10,5) NOT NULL,
    vat_rate_chli numeric(5,2) NOT NULL,
    by text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT platform_pricing_history_pkey PRIMARY KEY (id)
);
CREATE INDEX platform_pricing_history_valid_from ON platform_pricing_history (valid_from, id);

CREATE TABLE skill_pricing (
    skill text NOT NULL,
    daily_price numeric(10,5) NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now(),
    updated_by text NOT NULL DEFAULT '',
    CONSTRAINT skill_pricing_pkey PRIMARY KEY (skill),
    CONSTRAINT skill_pricing_daily_price_check CHECK (daily_price >= 0)
);

CREATE TABLE skill_pricing_history (
    id bigserial,
    skill text NOT NULL,
    valid_from date NOT NULL,
    daily_price numeric(10,5) NOT NULL,
    by text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT skill_pricing_history_pkey PRIMARY KEY (id)
);
CREATE INDEX skill_pricing_history_skill ON skill_pricing_history (skill, valid_from, id);
"""

ORGANISATIONS = """
CREATE TABLE org_billing_config (
    customer_id uuid NOT NULL,
    pay_by_invoice boolean NOT NULL DEFAULT false,
    stripe_customer_id text,
    auto_invoices boolean NOT NULL DEFAULT false,
    auto_reminders boolean NOT NULL DEFAULT false,
    street text NOT NULL DEFAULT '',
    house_number text NOT NULL DEFAULT '',
    postal_code text NOT NULL DEFAULT '',
    town text NOT NULL DEFAULT '',
    country text NOT NULL DEFAULT 'CH',
    email text,
    vat_id text,
    payment_days integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT org_billing_config_pkey PRIMARY KEY (customer_id),
    CONSTRAINT org_billing_config_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT org_billing_config_country_check CHECK (country ~ '^[A-Z]{2}$'),
    CONSTRAINT org_billing_config_payment_days_check CHECK (payment_days BETWEEN 0 AND 365)
);

CREATE TABLE org_payment_methods (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    label text NOT NULL,
    stripe_payment_method_id text,
    is_default boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    removed_at timestamptz,
    CONSTRAINT org_payment_methods_pkey PRIMARY KEY (id),
    CONSTRAINT org_payment_methods_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT org_payment_methods_kind_check CHECK (kind IN ('invoice', 'card', 'bank_debit'))
);
CREATE INDEX org_payment_methods_customer_id ON org_payment_methods (customer_id, created_at);
CREATE UNIQUE INDEX org_payment_methods_default ON org_payment_methods (customer_id)
    WHERE is_default AND removed_at IS NULL;

CREATE TABLE tenant_requests (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    account_id uuid,
    server_id uuid,
    kind text NOT NULL,
    name text NOT NULL,
    server_kind text,
    packages text[] NOT NULL DEFAULT '{}'::text[],
    reason text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'open',
    decided_by text,
    decided_at timestamptz,
    answer text,
    operation_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_requests_pkey PRIMARY KEY (id),
    CONSTRAINT tenant_requests_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT tenant_requests_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT tenant_requests_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id),
    CONSTRAINT tenant_requests_operation_id_fkey FOREIGN KEY(operation_id) REFERENCES operations (id),
    CONSTRAINT tenant_requests_kind_check CHECK (kind IN ('provision', 'resume')),
    CONSTRAINT tenant_requests_state_check CHECK (state IN ('open', 'approved', 'refused'))
);
CREATE INDEX tenant_requests_state ON tenant_requests (state, created_at);
CREATE UNIQUE INDEX tenant_requests_open ON tenant_requests (customer_id, kind, name) WHERE state = 'open';
"""

# What was metered, and what was charged when, only grows. Statement triggers, as for the audit.
GUARDS = """
CREATE FUNCTION metering_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% only grows: % is refused', TG_TABLE_NAME, lower(TG_OP) USING ERRCODE = 'restrict_violation';
END
$$;
"""
GUARDED = (
    "tenant_billing_lifecycle",
    "tenant_skill_events",
    "tenant_suspension_events",
    "tenant_usage",
    "platform_pricing_history",
    "skill_pricing_history",
)
GUARD = """
CREATE TRIGGER {0}_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON {0}
    FOR EACH STATEMENT EXECUTE FUNCTION metering_only_grows();
"""

# The first price is nothing, from ever.
ROWS = """
INSERT INTO platform_pricing DEFAULT VALUES;
INSERT INTO platform_pricing_history
    (valid_from, monthly_fee, setup_fee, per_message_price, model_spend_factor, vat_rate_chli, by)
    SELECT '0001-01-01', monthly_fee, setup_fee, per_message_price, model_spend_factor, vat_rate_chli, 'seed'
    FROM platform_pricing;
"""


def upgrade() -> None:
    """Make the tables, guard those that only grow, and set the first price."""
    for statements in (EVENTS, PRICES, ORGANISATIONS, GUARDS, *map(GUARD.format, GUARDED), ROWS):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
