"""Months that somebody at the desk wants issued for everybody; the controller carries each order out."""

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE invoice_orders (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    month date NOT NULL,
    by text NOT NULL,
    asked_at timestamptz NOT NULL,
    begun_at timestamptz,
    ended_at timestamptz,
    outcome text NOT NULL DEFAULT '',
    CONSTRAINT invoice_orders_pkey PRIMARY KEY (id)
);
CREATE INDEX invoice_orders_asked_at ON invoice_orders (asked_at);
CREATE UNIQUE INDEX invoice_orders_open ON invoice_orders (month) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    """Make the table."""
    op.get_bind().exec_driver_sql(TABLE)
