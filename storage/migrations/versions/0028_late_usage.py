"""Usage of a month that was passed over: it is told after later ones were billed, and charged with the next invoice."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None

CHARGED = """
ALTER TABLE tenant_usage ADD COLUMN charged_on date;
ALTER TABLE tenant_usage ADD CONSTRAINT tenant_usage_charged_on_check CHECK (charged_on > used_on);
CREATE INDEX tenant_usage_charged_on ON tenant_usage (customer_id, charged_on) WHERE charged_on IS NOT NULL;
"""


def upgrade() -> None:
    """Add the column; what was told so far is charged on its own day, as it was."""
    op.get_bind().exec_driver_sql(CHARGED)
