"""Disputes, whose charges are, and facts that few accounts have."""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE accounts ADD COLUMN rare_facts jsonb NOT NULL DEFAULT '{}'::jsonb;
ALTER TABLE stripe_invoices ADD COLUMN settles_dispute text;
CREATE INDEX stripe_invoices_settling ON stripe_invoices (account_id) WHERE settles_dispute IS NOT NULL;
ALTER TABLE stripe_events ADD COLUMN stripe_charge_id text;
CREATE INDEX stripe_events_parked_charge ON stripe_events (stripe_charge_id) WHERE status = 'parked';

CREATE TABLE disputes (
    id text NOT NULL,
    account_id uuid NOT NULL,
    stripe_charge_id text,
    status text NOT NULL,
    amount_cents bigint NOT NULL,
    currency text,
    reason text,
    opened_at timestamptz NOT NULL,
    lost_at timestamptz,
    respond_by timestamptz,
    evidence_at timestamptz NOT NULL,
    evidence_event_id text NOT NULL,
    settled_at timestamptz,
    settled_by text,
    settled_reason text,
    CONSTRAINT disputes_pkey PRIMARY KEY (id),
    CONSTRAINT disputes_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX disputes_account_id ON disputes (account_id);

CREATE TABLE charges (
    id text NOT NULL,
    stripe_customer_id text NOT NULL,
    amount_cents bigint NOT NULL,
    refunded_cents bigint NOT NULL,
    currency text,
    CONSTRAINT charges_pkey PRIMARY KEY (id)
);
CREATE INDEX charges_stripe_customer_id ON charges (stripe_customer_id);
"""


def upgrade() -> None:
    """Add them."""
    op.get_bind().exec_driver_sql(STATEMENTS)
