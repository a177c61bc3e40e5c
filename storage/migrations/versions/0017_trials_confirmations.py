"""When trials end, why nothing is collected, and which payments a bank wants confirmed."""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STATEMENTS = """
ALTER TABLE stripe_invoices ADD COLUMN confirmation_asked_at timestamptz;
ALTER TABLE subscriptions
    ADD COLUMN trial_ends_at timestamptz, ADD COLUMN pause text, ADD COLUMN resumes_at timestamptz;
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(STATEMENTS)
