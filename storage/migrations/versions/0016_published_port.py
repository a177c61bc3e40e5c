"""The port that a server's host says it is reached on."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; null: its host has not told."""
    op.execute("ALTER TABLE servers ADD COLUMN published_port integer")
