"""How far Stripe's own list of events was read, when its webhook last came, and which way an event came by."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE stripe_reader (
    single boolean NOT NULL DEFAULT true,
    read_to timestamptz,
    read_at timestamptz,
    reconciled_at timestamptz,
    ask_since timestamptz,
    webhook_at timestamptz,
    CONSTRAINT stripe_reader_pkey PRIMARY KEY (single),
    CONSTRAINT stripe_reader_single_check CHECK (single)
);
INSERT INTO stripe_reader DEFAULT VALUES;
ALTER TABLE stripe_events ADD COLUMN came_by text NOT NULL DEFAULT 'webhook';
"""


def upgrade() -> None:
    """Make the table with its one row, and add the column; events that are there already came by webhook."""
    op.get_bind().exec_driver_sql(TABLES)
