"""Orders of a month's invoices only for those whose invoices are issued by themselves."""

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

ORDERS = """
ALTER TABLE invoice_orders ADD COLUMN automatic boolean NOT NULL DEFAULT false;
DROP INDEX invoice_orders_open;
CREATE UNIQUE INDEX invoice_orders_open ON invoice_orders (month, automatic) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    """Add the column; an order of each kind may be open."""
    op.get_bind().exec_driver_sql(ORDERS)
