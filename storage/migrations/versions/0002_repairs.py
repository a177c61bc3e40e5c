"""Repairs: standings by line, and what became of each recommendation."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# What was standing is found out anew within a few ticks.
CHANGES = """
DROP TABLE observations;
CREATE TABLE observations (
    server_id uuid NOT NULL,
    repair text NOT NULL,
    count integer NOT NULL DEFAULT 1,
    since timestamptz NOT NULL DEFAULT now(),
    told text,
    CONSTRAINT observations_pkey PRIMARY KEY (server_id, repair),
    CONSTRAINT observations_server_id_fkey FOREIGN KEY(server_id) REFERENCES servers (id)
);

ALTER TABLE repair_events
    RENAME COLUMN did TO intent;
ALTER TABLE repair_events
    ADD COLUMN outcome text NOT NULL DEFAULT 'asked',
    ADD COLUMN level integer,
    ADD COLUMN intent_id uuid,
    ADD COLUMN unsettled boolean NOT NULL DEFAULT false;
ALTER TABLE repair_events
    ALTER COLUMN outcome DROP DEFAULT;
DROP INDEX repair_events_server_id;
CREATE INDEX repair_events_server_id ON repair_events (server_id, repair, at);
CREATE INDEX repair_events_at ON repair_events (at);
CREATE INDEX repair_events_unsettled ON repair_events (intent_id) WHERE unsettled;
"""


def upgrade() -> None:
    """Change both tables in one transaction."""
    op.get_bind().exec_driver_sql(CHANGES)
