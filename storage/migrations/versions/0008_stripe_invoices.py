"""The mirror of Stripe's invoices is called so: `invoices` are ours."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

RENAME = """
ALTER TABLE invoices RENAME TO stripe_invoices;
ALTER TABLE stripe_invoices RENAME CONSTRAINT invoices_pkey TO stripe_invoices_pkey;
ALTER TABLE stripe_invoices RENAME CONSTRAINT invoices_account_id_fkey TO stripe_invoices_account_id_fkey;
ALTER INDEX invoices_account_id RENAME TO stripe_invoices_account_id;
"""


def upgrade() -> None:
    """Rename the table with what hangs on it."""
    op.get_bind().exec_driver_sql(RENAME)
