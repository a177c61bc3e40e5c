"""An index of credit notes that every question for those of an invoice can use; the one before asked for a kind."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index anew."""
    op.get_bind().exec_driver_sql("DROP INDEX invoices_corrects")
    op.get_bind().exec_driver_sql("CREATE INDEX invoices_corrects ON invoices (corrects) WHERE corrects IS NOT NULL")
