"""Reminders as they were sent: each keeps its PDF, which tells what was open on that day."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.get_bind().exec_driver_sql("ALTER TABLE invoice_reminders ADD COLUMN paper bytea")
