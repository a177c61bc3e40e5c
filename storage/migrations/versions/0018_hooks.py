"""A customer's second way to be told: an address of theirs, and what waits to be posted to it."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE hooks (
    customer_id uuid NOT NULL,
    url text NOT NULL,
    secret text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT hooks_pkey PRIMARY KEY (customer_id),
    CONSTRAINT hooks_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE TABLE hook_posts (
    id bigserial,
    key text NOT NULL,
    customer_id uuid NOT NULL,
    kind text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    outcome text,
    CONSTRAINT hook_posts_pkey PRIMARY KEY (id),
    CONSTRAINT hook_posts_key_key UNIQUE (key),
    CONSTRAINT hook_posts_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id)
);
CREATE INDEX hook_posts_unsent ON hook_posts (id) WHERE sent_at IS NULL;
CREATE INDEX hook_posts_customer_id ON hook_posts (customer_id, id);
"""


def upgrade() -> None:
    """Make both tables."""
    op.get_bind().exec_driver_sql(TABLES)
