"""What is published about servers, and what was shown of it last."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE edges (
    server_id uuid NOT NULL,
    label text NOT NULL,
    wanted boolean NOT NULL DEFAULT true,
    address text,
    port integer,
    published_at timestamptz,
    withdrawn_at timestamptz,
    state text,
    looks integer NOT NULL DEFAULT 0,
    seen_at timestamptz,
    CONSTRAINT edges_pkey PRIMARY KEY (server_id),
    CONSTRAINT edges_label_key UNIQUE (label),
    CONSTRAINT edges_state_check
        CHECK (state IN ('present', 'missing', 'dns_missing', 'proxy_missing', 'taken', 'unknown')),
    CONSTRAINT edges_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);
"""


def upgrade() -> None:
    """Make the table; the controller fills it when it looks."""
    op.get_bind().exec_driver_sql(TABLE)
