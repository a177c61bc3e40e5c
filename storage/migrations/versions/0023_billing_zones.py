"""Each organisation is billed in a zone of its own: the one in which its people read dates is theirs to change."""

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

ZONES = """
ALTER TABLE org_billing_config ADD COLUMN zone text NOT NULL DEFAULT 'UTC';
UPDATE org_billing_config o SET zone = c.zone FROM customers c WHERE c.id = o.customer_id;
"""


def upgrade() -> None:
    """Add the column, as customers have it so far."""
    op.get_bind().exec_driver_sql(ZONES)
