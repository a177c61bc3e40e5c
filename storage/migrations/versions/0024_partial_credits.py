"""Credit notes of a part of an invoice: several of one, and which of its lines each of theirs takes back."""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

TABLES = """
DROP INDEX invoices_corrects;
CREATE INDEX invoices_corrects ON invoices (corrects) WHERE kind = 'credit_note';
ALTER TABLE invoice_lines ADD COLUMN corrects_position integer;
"""

# Whoever writes a credit note has locked its invoice; so has this, whoever wrote it.
GUARD = """
CREATE FUNCTION credits_are_not_more_than_the_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    invoiced numeric;
    credited numeric;
BEGIN
    SELECT total INTO invoiced FROM invoices WHERE id = NEW.corrects FOR UPDATE;
    SELECT coalesce(sum(total), 0) INTO credited FROM invoices WHERE corrects = NEW.corrects;
    IF credited + NEW.total > invoiced THEN
        RAISE EXCEPTION 'credit note %: % is left of its invoice, not %', NEW.number, invoiced - credited, NEW.total
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER credits_are_not_more_than_the_invoice BEFORE INSERT ON invoices
    FOR EACH ROW WHEN (NEW.kind = 'credit_note') EXECUTE FUNCTION credits_are_not_more_than_the_invoice();
"""


def upgrade() -> None:
    """Change the index, add the column and the guard."""
    for statements in (TABLES, GUARD):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
