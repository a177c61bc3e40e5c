"""When the controller last looked at everything, and an index by which the newest events are found."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add both. The index is one of ranges: an index of every row would cost each webhook."""
    op.execute("ALTER TABLE leases ADD COLUMN worked_at timestamptz")
    op.execute("CREATE INDEX stripe_events_received ON stripe_events USING brin (received_at)")
