"""Where invoices stand, whom they bill, and what was told of them."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE invoice_states (
    invoice_id uuid NOT NULL,
    state text NOT NULL,
    state_since timestamptz NOT NULL,
    payable_until timestamptz NOT NULL,
    stamps jsonb NOT NULL DEFAULT '{}'::jsonb,
    due_at timestamptz,
    CONSTRAINT invoice_states_pkey PRIMARY KEY (invoice_id),
    CONSTRAINT invoice_states_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);
CREATE INDEX invoice_states_due_at ON invoice_states (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX invoice_states_state ON invoice_states (state);

CREATE TABLE invoice_accounts (
    invoice_id uuid NOT NULL,
    account_id uuid NOT NULL,
    CONSTRAINT invoice_accounts_pkey PRIMARY KEY (invoice_id, account_id),
    CONSTRAINT invoice_accounts_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_accounts_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id)
);
CREATE INDEX invoice_accounts_account_id ON invoice_accounts (account_id);

CREATE TABLE invoice_reminders (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    invoice_id uuid NOT NULL,
    intent text NOT NULL,
    state text NOT NULL,
    round integer NOT NULL,
    status text NOT NULL DEFAULT 'open',
    tries integer NOT NULL DEFAULT 0,
    asked_at timestamptz NOT NULL,
    not_before timestamptz,
    claimed_at timestamptz,
    ended_at timestamptz,
    outcome text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_reminders_pkey PRIMARY KEY (id),
    CONSTRAINT invoice_reminders_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_reminders_invoice_id_intent_state_round_key UNIQUE (invoice_id, intent, state, round),
    CONSTRAINT invoice_reminders_status_check
        CHECK (status IN ('open', 'sending', 'sent', 'unknown', 'failed', 'dropped'))
);
CREATE INDEX invoice_reminders_open ON invoice_reminders (asked_at) WHERE status IN ('open', 'sending');
"""

# Whatever changes what an invoice's moves ask for makes it be looked at: payments, credit notes, and whether its
# customer is reminded. `due_at` only says when to look; where it stands is the ledger's.
WAKE = """
CREATE FUNCTION invoice_is_looked_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_TABLE_NAME = 'invoice_payments' THEN
        UPDATE invoice_states SET due_at = now() WHERE invoice_id = NEW.invoice_id;
    ELSIF TG_TABLE_NAME = 'invoices' THEN
        UPDATE invoice_states SET due_at = now() WHERE invoice_id = NEW.corrects;
    ELSE
        UPDATE invoice_states s SET due_at = now() FROM invoices i
        WHERE i.id = s.invoice_id AND i.customer_id = NEW.customer_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER invoice_is_looked_at AFTER INSERT ON invoice_payments
    FOR EACH ROW EXECUTE FUNCTION invoice_is_looked_at();
CREATE TRIGGER invoice_is_looked_at AFTER INSERT ON invoices
    FOR EACH ROW WHEN (NEW.corrects IS NOT NULL) EXECUTE FUNCTION invoice_is_looked_at();
CREATE TRIGGER org_is_looked_at AFTER UPDATE ON org_billing_config
    FOR EACH ROW WHEN (OLD.auto_reminders IS DISTINCT FROM NEW.auto_reminders)
    EXECUTE FUNCTION invoice_is_looked_at();
"""


def upgrade() -> None:
    """Make the tables, and what wakes an invoice."""
    for statements in (TABLES, WAKE):
        op.get_bind().exec_driver_sql(statements)
