"""Operations say why they failed and what they left behind; servers say since when they have run."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# A server that is seen running now has run. One that was seen so only earlier is taken to have run too, unless it has
# never left the states in which servers are made: what may hold somebody's work is not cleaned up.
STATEMENTS = """
ALTER TABLE operations ADD COLUMN reason text, ADD COLUMN left_behind text;
ALTER TABLE servers ADD COLUMN ran_at timestamptz;
UPDATE servers SET ran_at = created_at
WHERE observed = 'running' OR lifecycle NOT IN ('requested', 'provisioning')
"""


def upgrade() -> None:
    """Add the columns."""
    op.get_bind().exec_driver_sql(STATEMENTS)
