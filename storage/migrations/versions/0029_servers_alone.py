"""A server may stand on rungs of its own, beside its account's: suspended alone, while the others go on."""

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE servers
    ADD COLUMN states jsonb NOT NULL DEFAULT '{}'::jsonb,
    ADD COLUMN own_billing_state text NOT NULL DEFAULT 'allowed',
    ADD COLUMN own_billing_machine text NOT NULL DEFAULT '',
    ADD COLUMN own_billing_code text;
CREATE INDEX servers_alone ON servers (id) WHERE states <> '{}'::jsonb;
CREATE FUNCTION stricter(account text, own text) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
    SELECT CASE WHEN own = 'allowed' THEN account
                WHEN array_position(ARRAY['allowed', 'backup_blocked', 'suspended_shutdown', 'retained'], own)
                   > array_position(ARRAY['allowed', 'backup_blocked', 'suspended_shutdown', 'retained'], account)
                THEN own ELSE account END
$$;
"""


def upgrade() -> None:
    """Add the columns and the comparison that every reader of a server's billing state makes."""
    op.get_bind().exec_driver_sql(TABLES)
