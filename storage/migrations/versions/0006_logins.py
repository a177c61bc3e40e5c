"""People who sign in: logins, sessions, mailed tokens, tries that failed; and letters that belong to no account.

An account may now be made before Stripe knows the customer: its Stripe id may be missing.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CHANGES = """
CREATE TABLE logins (
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    email text NOT NULL,
    name text NOT NULL,
    role text NOT NULL,
    customer_id uuid,
    password_hash text,
    verified_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT logins_pkey PRIMARY KEY (id),
    CONSTRAINT logins_email_key UNIQUE (email),
    CONSTRAINT logins_customer_id_fkey FOREIGN KEY(customer_id) REFERENCES customers (id),
    CONSTRAINT logins_role_check CHECK (
        (role = 'customer') = (customer_id IS NOT NULL) AND role IN ('customer', 'admin'))
);
CREATE INDEX logins_customer_id ON logins (customer_id) WHERE customer_id IS NOT NULL;

CREATE TABLE sessions (
    token_hash bytea NOT NULL,
    login_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT sessions_pkey PRIMARY KEY (token_hash),
    CONSTRAINT sessions_login_id_fkey FOREIGN KEY(login_id) REFERENCES logins (id) ON DELETE CASCADE
);
CREATE INDEX sessions_login_id ON sessions (login_id);
CREATE INDEX sessions_seen_at ON sessions (seen_at);

CREATE TABLE login_tokens (
    token_hash bytea NOT NULL,
    login_id uuid NOT NULL,
    purpose text NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    CONSTRAINT login_tokens_pkey PRIMARY KEY (token_hash),
    CONSTRAINT login_tokens_login_id_fkey FOREIGN KEY(login_id) REFERENCES logins (id) ON DELETE CASCADE,
    CONSTRAINT login_tokens_purpose_check CHECK (purpose IN ('verify', 'reset'))
);
CREATE INDEX login_tokens_expires_at ON login_tokens (expires_at);

CREATE TABLE attempts (
    id bigserial,
    key text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT attempts_pkey PRIMARY KEY (id)
);
CREATE INDEX attempts_key ON attempts (key, at);
CREATE INDEX attempts_at ON attempts (at);

CREATE TABLE letters (
    id bigserial,
    key text NOT NULL,
    to_name text NOT NULL,
    to_email text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    tries integer NOT NULL DEFAULT 0,
    not_before timestamptz,
    outcome text,
    CONSTRAINT letters_pkey PRIMARY KEY (id),
    CONSTRAINT letters_key_key UNIQUE (key)
);
CREATE INDEX letters_unsent ON letters (id) WHERE sent_at IS NULL;

ALTER TABLE accounts ALTER COLUMN stripe_customer_id DROP NOT NULL;
"""


def upgrade() -> None:
    """Make the tables in one transaction."""
    op.get_bind().exec_driver_sql(CHANGES)
