"""What is written below a ticket, and the files that come with it."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE tickets ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now();
CREATE INDEX tickets_changed ON tickets (state, changed_at);

CREATE TABLE ticket_messages (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    ticket_id uuid NOT NULL,
    key text NOT NULL,
    author text NOT NULL,
    by text NOT NULL,
    text text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT ticket_messages_pkey PRIMARY KEY (id),
    CONSTRAINT ticket_messages_ticket_id_key_key UNIQUE (ticket_id, key),
    CONSTRAINT ticket_messages_ticket_id_fkey FOREIGN KEY(ticket_id) REFERENCES tickets (id),
    CONSTRAINT ticket_messages_author_check CHECK (author IN ('customer', 'support'))
);

CREATE TABLE ticket_files (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    ticket_id uuid NOT NULL,
    message_id uuid,
    name text NOT NULL,
    media_type text NOT NULL,
    content bytea NOT NULL,
    CONSTRAINT ticket_files_pkey PRIMARY KEY (id),
    CONSTRAINT ticket_files_ticket_id_fkey FOREIGN KEY(ticket_id) REFERENCES tickets (id),
    CONSTRAINT ticket_files_message_id_fkey FOREIGN KEY(message_id) REFERENCES ticket_messages (id)
);
CREATE INDEX ticket_files_ticket_id ON ticket_files (ticket_id);
"""


def upgrade() -> None:
    """Make both tables."""
    op.get_bind().exec_driver_sql(TABLES)
