"""The first tables, and what guards the audit."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE alerts (
    id bigserial,
    kind text NOT NULL,
    text text NOT NULL,
    account_id uuid,
    key text,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    outcome text,
    CONSTRAINT alerts_pkey PRIMARY KEY (id),
    CONSTRAINT alerts_key_key UNIQUE (key)
);
CREATE INDEX alerts_unsent ON alerts (id) WHERE sent_at IS NULL;

CREATE TABLE announcements (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    title text NOT NULL,
    text text NOT NULL,
    starts_at timestamptz NOT NULL DEFAULT now(),
    ends_at timestamptz,
    by text NOT NULL DEFAULT '',
    CONSTRAINT announcements_pkey PRIMARY KEY (id)
);

CREATE TABLE audit (
    account_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    canonical text NOT NULL,
    hash bytea NOT NULL,
    CONSTRAINT audit_pkey PRIMARY KEY (account_id, seq)
);

CREATE TABLE audit_heads (
    chain uuid NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    hash bytea NOT NULL DEFAULT ''::bytea,
    CONSTRAINT audit_heads_pkey PRIMARY KEY (chain)
);

CREATE TABLE brake_slots (
    id bigserial,
    brake text NOT NULL,
    account_id uuid NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT brake_slots_pkey PRIMARY KEY (id)
);
CREATE INDEX brake_slots_brake_at ON brake_slots (brake, at);

CREATE TABLE brakes (
    name text NOT NULL,
    latched_at timestamptz,
    released_at timestamptz,
    released_by text,
    allowance integer,
    CONSTRAINT brakes_pkey PRIMARY KEY (name)
);

CREATE TABLE clock (
    single boolean NOT NULL DEFAULT true,
    offset_by interval NOT NULL DEFAULT '0'::interval,
    seen_at timestamptz,
    CONSTRAINT clock_pkey PRIMARY KEY (single),
    CONSTRAINT clock_single_check CHECK (single)
);

CREATE TABLE customers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    zone text NOT NULL DEFAULT 'UTC',
    token_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT customers_pkey PRIMARY KEY (id),
    CONSTRAINT customers_token_hash_key UNIQUE (token_hash)
);

CREATE TABLE leases (
    name text NOT NULL,
    holder text,
    token bigint NOT NULL DEFAULT 0,
    expires_at timestamptz,
    CONSTRAINT leases_pkey PRIMARY KEY (name)
);

CREATE TABLE policies (
    digest text NOT NULL,
    texts jsonb NOT NULL,
    env jsonb NOT NULL,
    deployed_at timestamptz NOT NULL DEFAULT now(),
    deployed_by text NOT NULL,
    note text NOT NULL DEFAULT '',
    CONSTRAINT policies_pkey PRIMARY KEY (digest)
);

CREATE TABLE processes (
    id bigserial,
    role text NOT NULL,
    pid integer NOT NULL,
    version text NOT NULL,
    policy_digest text,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT processes_pkey PRIMARY KEY (id)
);

CREATE TABLE stripe_events (
    id text NOT NULL,
    type text NOT NULL,
    created_at timestamptz NOT NULL,
    livemode boolean,
    api_version text,
    payload text NOT NULL,
    object_id text,
    stripe_customer_id text,
    stripe_subscription_id text,
    claims uuid[] NOT NULL DEFAULT '{}'::uuid[],
    account_id uuid,
    status text NOT NULL,
    reason text,
    received_at timestamptz NOT NULL DEFAULT now(),
    applied_at timestamptz,
    CONSTRAINT stripe_events_pkey PRIMARY KEY (id),
    CONSTRAINT stripe_events_status_check CHECK (status IN ('applied', 'parked', 'quarantined', 'ignored'))
);
CREATE INDEX stripe_events_account_id ON stripe_events (account_id) WHERE account_id IS NOT NULL;
CREATE INDEX stripe_events_parked_claims ON stripe_events USING gin (claims) WHERE status = 'parked';
CREATE INDEX stripe_events_parked_customer ON stripe_events (stripe_customer_id) WHERE status = 'parked';
CREATE INDEX stripe_events_parked_object ON stripe_events (object_id) WHERE status = 'parked';
CREATE INDEX stripe_events_parked_subscription ON stripe_events (stripe_subscription_id) WHERE status = 'parked';
CREATE INDEX stripe_events_unsettled ON stripe_events (status, received_at) WHERE status IN ('parked', 'quarantined');

CREATE TABLE wakeups (
    name text NOT NULL,
    requested bigint NOT NULL DEFAULT 0,
    done bigint NOT NULL DEFAULT 0,
    report jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT wakeups_pkey PRIMARY KEY (name)
);

CREATE TABLE accounts (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    stripe_customer_id text NOT NULL,
    stripe_subscription_id text,
    zone text NOT NULL DEFAULT 'UTC',
    created_at timestamptz NOT NULL DEFAULT now(),
    subscription_status text NOT NULL DEFAULT 'none',
    plan text,
    has_active_plan boolean NOT NULL DEFAULT false,
    overdue_invoices integer NOT NULL DEFAULT 0,
    past_due_since timestamptz,
    subscription_ended_at timestamptz,
    exempt_until timestamptz,
    standing_fetched_at timestamptz,
    last_billing_event_at timestamptz,
    last_stripe_event_id text,
    billing_status text NOT NULL DEFAULT 'active',
    server_billing_state text NOT NULL DEFAULT 'allowed',
    server_billing_machine text NOT NULL DEFAULT 'billing',
    server_billing_code text,
    states jsonb NOT NULL DEFAULT '{}'::jsonb,
    episodes jsonb NOT NULL DEFAULT '{}'::jsonb,
    notices jsonb NOT NULL DEFAULT '{}'::jsonb,
    senders jsonb NOT NULL DEFAULT '{}'::jsonb,
    warning_sent_at timestamptz,
    final_warning_sent_at timestamptz,
    backup_blocked_at timestamptz,
    suspended_at timestamptz,
    retention_until timestamptz,
    stamps jsonb NOT NULL DEFAULT '{}'::jsonb,
    last_enforcement_action text,
    policy_digest text,
    epoch bigint NOT NULL DEFAULT 0,
    due_at timestamptz,
    held_until timestamptz,
    waiting jsonb NOT NULL DEFAULT '[]'::jsonb,
    audit_seq bigint NOT NULL DEFAULT 0,
    audit_hash bytea NOT NULL DEFAULT ''::bytea,
    audit_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT accounts_pkey PRIMARY KEY (id),
    CONSTRAINT accounts_overdue_invoices_check CHECK (overdue_invoices >= 0),
    CONSTRAINT accounts_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
);
CREATE INDEX accounts_customer_id ON accounts (customer_id);
CREATE INDEX accounts_due ON accounts (GREATEST(due_at, held_until)) WHERE due_at IS NOT NULL;
CREATE INDEX accounts_epoch ON accounts (epoch);
CREATE INDEX accounts_stripe_customer_id ON accounts (stripe_customer_id);
CREATE UNIQUE INDEX accounts_stripe_subscription_id ON accounts (stripe_subscription_id)
    WHERE stripe_subscription_id IS NOT NULL;

CREATE TABLE policy_in_force (
    single boolean NOT NULL DEFAULT true,
    digest text,
    epoch bigint NOT NULL DEFAULT 0,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT policy_in_force_pkey PRIMARY KEY (single),
    CONSTRAINT policy_in_force_single_check CHECK (single),
    CONSTRAINT policy_in_force_digest_fkey FOREIGN KEY(digest) REFERENCES policies (digest)
);

CREATE TABLE holds (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    account_id uuid,
    kind text NOT NULL,
    until timestamptz,
    by text NOT NULL,
    reason text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT holds_pkey PRIMARY KEY (id),
    CONSTRAINT holds_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX holds_account_id ON holds (account_id) WHERE ended_at IS NULL;

CREATE TABLE invoices (
    id text NOT NULL,
    account_id uuid NOT NULL,
    stripe_customer_id text,
    stripe_subscription_id text,
    status text NOT NULL,
    amount_remaining_cents bigint NOT NULL,
    currency text,
    first_failed_at timestamptz,
    hosted_invoice_url text,
    evidence_at timestamptz NOT NULL,
    evidence_event_id text NOT NULL,
    CONSTRAINT invoices_pkey PRIMARY KEY (id),
    CONSTRAINT invoices_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX invoices_account_id ON invoices (account_id);

CREATE TABLE servers (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    account_id uuid NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    host text NOT NULL DEFAULT 'local',
    port integer NOT NULL DEFAULT 0,
    desired text NOT NULL DEFAULT 'stopped',
    observed text NOT NULL DEFAULT 'unknown',
    observed_at timestamptz,
    lifecycle text NOT NULL,
    lifecycle_since timestamptz NOT NULL DEFAULT now(),
    stamps jsonb NOT NULL DEFAULT '{}'::jsonb,
    round bigint NOT NULL DEFAULT 0,
    autostart boolean,
    due_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT servers_pkey PRIMARY KEY (id),
    CONSTRAINT servers_desired_check CHECK (desired IN ('running', 'stopped')),
    CONSTRAINT servers_observed_check CHECK (observed IN ('running', 'stopped', 'unknown')),
    CONSTRAINT servers_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX servers_account_id ON servers (account_id);
CREATE INDEX servers_due ON servers (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX servers_host ON servers (host, id);

CREATE TABLE subscriptions (
    id text NOT NULL,
    account_id uuid NOT NULL,
    stripe_customer_id text,
    status text NOT NULL,
    prices text[] NOT NULL DEFAULT '{}'::text[],
    plan_name text,
    known_plan text,
    known_plan_at timestamptz,
    known_plan_event_id text NOT NULL DEFAULT '',
    started_at timestamptz,
    ended_at timestamptz,
    current_period_end timestamptz,
    evidence_at timestamptz NOT NULL,
    evidence_event_id text NOT NULL,
    not_late_at timestamptz,
    late_statuses jsonb NOT NULL DEFAULT '{}'::jsonb,
    CONSTRAINT subscriptions_pkey PRIMARY KEY (id),
    CONSTRAINT subscriptions_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX subscriptions_account_id ON subscriptions (account_id);
CREATE INDEX subscriptions_stripe_customer_id ON subscriptions (stripe_customer_id);

CREATE TABLE backups (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    server_id uuid NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    size_bytes bigint,
    sha256 text,
    created_at timestamptz NOT NULL DEFAULT now(),
    safety boolean NOT NULL DEFAULT false,
    error text,
    CONSTRAINT backups_pkey PRIMARY KEY (id),
    CONSTRAINT backups_state_check CHECK (state IN ('queued', 'in_progress', 'complete', 'failed', 'deleted')),
    CONSTRAINT backups_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);
CREATE INDEX backups_server_id ON backups (server_id);

CREATE TABLE intents (
    id uuid NOT NULL,
    key text NOT NULL,
    account_id uuid NOT NULL,
    server_id uuid,
    machine text NOT NULL,
    episode bigint NOT NULL,
    round bigint NOT NULL,
    intent text NOT NULL,
    kind text NOT NULL,
    queue text NOT NULL,
    args jsonb NOT NULL DEFAULT '{}'::jsonb,
    status text NOT NULL DEFAULT 'open',
    tries integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    claim uuid,
    claimed_by bigint,
    claimed_until timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    outcome text,
    promise_at timestamptz,
    actor text NOT NULL,
    created_at timestamptz NOT NULL,
    enqueued_at timestamptz,
    CONSTRAINT intents_pkey PRIMARY KEY (id),
    CONSTRAINT intents_status_check CHECK (status IN ('open', 'started', 'done', 'dropped', 'failed', 'unknown')),
    CONSTRAINT intents_kind_check CHECK (kind IN ('notice', 'effect', 'command', 'repair')),
    CONSTRAINT intents_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT intents_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);
CREATE INDEX intents_account_id ON intents (account_id);
CREATE INDEX intents_open ON intents (created_at, id) WHERE status = 'open';
CREATE INDEX intents_server_id ON intents (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX intents_started ON intents (claimed_until) WHERE status = 'started';
CREATE INDEX intents_troubled ON intents (status) WHERE status IN ('failed', 'unknown');

CREATE TABLE observations (
    server_id uuid NOT NULL,
    signature text NOT NULL,
    count integer NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT observations_pkey PRIMARY KEY (server_id),
    CONSTRAINT observations_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);

CREATE TABLE operations (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    account_id uuid NOT NULL,
    idempotency_key text NOT NULL,
    request_hash bytea NOT NULL,
    kind text NOT NULL,
    state text NOT NULL DEFAULT 'queued',
    phase text,
    server_id uuid,
    error text,
    args jsonb NOT NULL DEFAULT '{}'::jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT operations_pkey PRIMARY KEY (id),
    CONSTRAINT operations_customer_id_idempotency_key_key UNIQUE (customer_id, idempotency_key),
    CONSTRAINT operations_state_check CHECK (state IN ('queued', 'in_progress', 'succeeded', 'failed')),
    CONSTRAINT operations_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT operations_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT operations_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);
CREATE INDEX operations_account_id ON operations (account_id);
CREATE INDEX operations_server_id ON operations (server_id) WHERE server_id IS NOT NULL;
CREATE INDEX operations_unfinished ON operations (created_at) WHERE state IN ('queued', 'in_progress');

CREATE TABLE repair_events (
    id bigserial,
    server_id uuid NOT NULL,
    repair text NOT NULL,
    did text,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    CONSTRAINT repair_events_pkey PRIMARY KEY (id),
    CONSTRAINT repair_events_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);
CREATE INDEX repair_events_server_id ON repair_events (server_id);
"""

# The audit only grows. Statement triggers: they also fire when a condition matches no row, and cost an insert nothing.
GUARDS = """
CREATE FUNCTION audit_only_grows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit only grows: % is refused', lower(TG_OP) USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER audit_only_grows BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_only_grows();
"""

ROWS = """
INSERT INTO clock DEFAULT VALUES;
INSERT INTO policy_in_force DEFAULT VALUES;
INSERT INTO audit_heads (chain) VALUES ('00000000-0000-0000-0000-000000000000');
"""


def upgrade() -> None:
    """Make everything in one transaction."""
    for statements in (TABLES, GUARDS, ROWS):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
