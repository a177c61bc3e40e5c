"""Why a price was changed, a payment booked or taken back by hand, or a credit note written."""

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

TABLES = ("platform_pricing_history", "skill_pricing_history", "invoice_payments", "invoices")


def upgrade() -> None:
    """Add the columns."""
    for table in TABLES:
        op.get_bind().exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN reason text NOT NULL DEFAULT ''")
