"""Invoices, their lines, numbers and payments. Once issued, nothing of one changes: the database itself refuses."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE invoice_number_counters (
    year integer NOT NULL,
    last bigint NOT NULL,
    CONSTRAINT invoice_number_counters_pkey PRIMARY KEY (year)
);

CREATE TABLE invoices (
    id uuid NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    number text NOT NULL,
    corrects uuid,
    first_on date NOT NULL,
    last_on date NOT NULL,
    revision integer NOT NULL DEFAULT 0,
    issued_on date NOT NULL,
    due_on date NOT NULL,
    currency text NOT NULL,
    net numeric(10,2) NOT NULL,
    vat numeric(10,2) NOT NULL,
    total numeric(10,2) NOT NULL,
    iban text,
    reference text,
    document text NOT NULL,
    issued_at timestamptz NOT NULL,
    issued_by text NOT NULL,
    CONSTRAINT invoices_pkey PRIMARY KEY (id),
    CONSTRAINT invoices_number_key UNIQUE (number),
    CONSTRAINT invoices_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT invoices_corrects_fkey FOREIGN KEY(corrects) REFERENCES invoices (id),
    CONSTRAINT invoices_kind_check CHECK (
        (kind = 'invoice' AND corrects IS NULL) OR (kind = 'credit_note' AND corrects IS NOT NULL)),
    CONSTRAINT invoices_period_check CHECK (first_on <= last_on),
    CONSTRAINT invoices_total_check CHECK (net + vat = total)
);
CREATE INDEX invoices_customer_id ON invoices (customer_id, first_on);
CREATE INDEX invoices_issued_at ON invoices (issued_at, id);
CREATE INDEX invoices_reference ON invoices (reference) WHERE reference IS NOT NULL;
CREATE UNIQUE INDEX invoices_month ON invoices (customer_id, first_on, revision) WHERE kind = 'invoice';
CREATE UNIQUE INDEX invoices_corrects ON invoices (corrects) WHERE kind = 'credit_note';

CREATE TABLE invoice_lines (
    invoice_id uuid NOT NULL,
    position integer NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    tenant text,
    first_on date NOT NULL,
    last_on date NOT NULL,
    quantity numeric(15,5) NOT NULL,
    unit text NOT NULL,
    unit_price numeric(10,5) NOT NULL,
    amount numeric(10,2) NOT NULL,
    vat_percent numeric(5,2) NOT NULL,
    CONSTRAINT invoice_lines_pkey PRIMARY KEY (invoice_id, position),
    CONSTRAINT invoice_lines_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id)
        DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT invoice_lines_kind_check CHECK (kind IN ('setup', 'monthly', 'skill', 'usage')),
    CONSTRAINT invoice_lines_amount_check CHECK (amount = round(quantity * unit_price, 2))
);

CREATE TABLE invoice_payments (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    invoice_id uuid NOT NULL,
    amount numeric(10,2) NOT NULL,
    paid_on date NOT NULL,
    source text NOT NULL,
    source_key text,
    by text NOT NULL,
    note text NOT NULL DEFAULT '',
    recorded_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT invoice_payments_pkey PRIMARY KEY (id),
    CONSTRAINT invoice_payments_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_payments_source_source_key_key UNIQUE (source, source_key),
    CONSTRAINT invoice_payments_amount_check CHECK (amount <> 0)
);
CREATE INDEX invoice_payments_invoice_id ON invoice_payments (invoice_id);

CREATE TABLE invoice_runs (
    month date NOT NULL,
    customer_id uuid NOT NULL,
    outcome text NOT NULL,
    invoice_id uuid,
    reason text NOT NULL DEFAULT '',
    at timestamptz NOT NULL,
    CONSTRAINT invoice_runs_pkey PRIMARY KEY (month, customer_id),
    CONSTRAINT invoice_runs_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT invoice_runs_invoice_id_fkey FOREIGN KEY(invoice_id) REFERENCES invoices (id),
    CONSTRAINT invoice_runs_outcome_check CHECK (outcome IN ('issued', 'nothing', 'failed'))
);
"""

# Lines come first and the invoice last: whoever adds a line to one that is there is late.
GUARDS = """
CREATE FUNCTION invoices_stay() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what was issued stays as it is: % of % is refused', lower(TG_OP), TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'correct an invoice by a credit note';
END
$$;
CREATE TRIGGER invoices_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON invoices
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_stay();
CREATE TRIGGER invoice_lines_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_lines
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_stay();
CREATE TRIGGER invoice_payments_stay BEFORE UPDATE OR DELETE OR TRUNCATE ON invoice_payments
    FOR EACH STATEMENT EXECUTE FUNCTION invoices_stay();

CREATE FUNCTION invoice_lines_come_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM invoices i WHERE i.id IN (SELECT DISTINCT invoice_id FROM added)) THEN
        RAISE EXCEPTION 'what was issued stays as it is: a further line is refused'
            USING ERRCODE = 'restrict_violation', HINT = 'correct an invoice by a credit note';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER invoice_lines_come_first AFTER INSERT ON invoice_lines REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION invoice_lines_come_first();

CREATE FUNCTION invoice_is_the_sum_of_its_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    found numeric := (SELECT coalesce(sum(amount), 0) FROM invoice_lines WHERE invoice_id = NEW.id);
BEGIN
    IF found <> NEW.net THEN
        RAISE EXCEPTION 'invoice %: the lines are %, not % together', NEW.number, found, NEW.net
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER invoice_is_the_sum_of_its_lines BEFORE INSERT ON invoices
    FOR EACH ROW EXECUTE FUNCTION invoice_is_the_sum_of_its_lines();
"""


def upgrade() -> None:
    """Make the tables and guard them."""
    for statements in (TABLES, GUARDS):
        op.get_bind().exec_driver_sql(statements.replace("%", "%%"))
