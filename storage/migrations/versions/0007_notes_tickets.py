"""What customers write in the portal: notes of their own, and tickets to support."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE notes (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    customer_id uuid NOT NULL,
    text text NOT NULL,
    version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT notes_pkey PRIMARY KEY (id),
    CONSTRAINT notes_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
);
CREATE INDEX notes_customer_id ON notes (customer_id, changed_at);

CREATE TABLE tickets (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    number text NOT NULL,
    customer_id uuid NOT NULL,
    key text NOT NULL,
    account_id uuid,
    server_id uuid,
    subject text NOT NULL,
    text text NOT NULL,
    context jsonb NOT NULL DEFAULT '{}'::jsonb,
    state text NOT NULL DEFAULT 'open',
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tickets_pkey PRIMARY KEY (id),
    CONSTRAINT tickets_number_key UNIQUE (number),
    CONSTRAINT tickets_customer_id_key_key UNIQUE (customer_id, key),
    CONSTRAINT tickets_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT tickets_account_id_fkey FOREIGN KEY(account_id) REFERENCES accounts (id),
    CONSTRAINT tickets_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id),
    CONSTRAINT tickets_state_check CHECK (state IN ('open', 'answered', 'closed'))
);
CREATE INDEX tickets_state ON tickets (state, created_at);
"""


def upgrade() -> None:
    """Make both tables."""
    op.get_bind().exec_driver_sql(TABLES)
