"""Since when what leads to a server leads to the hold page instead."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the stamp; null: it leads to the server."""
    op.execute("ALTER TABLE edges ADD COLUMN held_at timestamptz")
