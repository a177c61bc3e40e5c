"""What another policy would do to 100,000 accounts, read and decided twice. The limit is in seconds."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import text

from engine.decide import blank
from engine.load import load_policy
from engine.model import Policy
from storage.embedded import Postgres
from storage.impact import impact, read_only
from storage.migrate import upgrade
from storage.settings import SHIPPED_POLICY
from tests.benchmarks.table import Row
from tests.storage.deployment import Deployment

ACCOUNTS = 100_000
LIMIT_SECONDS = 30

FILL = """
INSERT INTO accounts (customer_id, stripe_customer_id, subscription_status, plan, has_active_plan, states, episodes,
                      billing_status, overdue_invoices, past_due_since, due_at)
SELECT :customer, 'cus_many_' || n, 'active', 'game', true, CAST(:states AS jsonb), CAST(:episodes AS jsonb), 'active',
       CASE WHEN n % 10 = 0 THEN 1 ELSE 0 END, CASE WHEN n % 10 = 0 THEN CAST(:since AS timestamptz) END, NULL
FROM generate_series(1, :count) n
"""


def run() -> list[Row]:
    """Measure it on a database of its own."""
    policy = load_policy(SHIPPED_POLICY)
    other = load_policy(SHIPPED_POLICY, {"BILLING_WARNING_GRACE_HOURS": "12"})
    with TemporaryDirectory(prefix="forbear impact ") as folder:
        postgres = Postgres.start(Path(folder) / "postgres")
        try:
            upgrade(postgres.url)
            seconds = _measured(Deployment(postgres.url, policy), policy, other)
        finally:
            postgres.stop()
    return [Row("impact of a policy on 100,000 accounts", seconds, LIMIT_SECONDS, seconds / LIMIT_SECONDS, "s", "<= 1")]


def _measured(deployment: Deployment, policy: Policy, other: Policy) -> float:
    states, episodes = blank(policy)
    given = {"customer": deployment.customer(), "states": json.dumps(states), "episodes": json.dumps(episodes)}
    with deployment.begin() as conn:
        since = deployment.now() - timedelta(hours=1)
        conn.execute(text(FILL), {**given, "since": since, "count": ACCOUNTS})
    began = time.perf_counter()
    with deployment.begin() as conn:
        read_only(conn)
        found = impact(conn, policy, other)
    seconds = time.perf_counter() - began
    deployment.close()
    assert found.accounts == ACCOUNTS
    assert len(found.affected) == ACCOUNTS // 10
    return seconds
