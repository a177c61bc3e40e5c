"""In which language a customer is written to, and what an invoice is called on paper."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both columns."""
    conn = op.get_bind()
    conn.exec_driver_sql("ALTER TABLE customers ADD COLUMN language text NOT NULL DEFAULT 'en'")
    conn.exec_driver_sql("ALTER TABLE stripe_invoices ADD COLUMN number text")
