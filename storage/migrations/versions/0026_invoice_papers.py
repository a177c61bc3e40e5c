"""Invoices and credit notes as they were first drawn: whoever gets one later gets the same bytes."""

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE invoice_papers (
    invoice_id uuid NOT NULL,
    pdf bytea NOT NULL,
    drawn_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_papers_pkey PRIMARY KEY (invoice_id),
    CONSTRAINT invoice_papers_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);
CREATE TRIGGER invoice_papers_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_papers
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_stay();
"""


def upgrade() -> None:
    """Make the table, and guard it as invoices are."""
    op.get_bind().exec_driver_sql(TABLE)
