"""What another policy would do to 100,000 accounts, read and decided twice. The limit is in seconds."""

from __future__ import annotations

import json
import time
from datetime import timedelta

from sqlalchemy import text

from engine.decide import blank
from engine.load import load_policy
from storage.impact import impact, read_only
from storage.settings import SHIPPED_POLICY
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


def test_impact_on_100000_accounts(database_url: str) -> None:
    policy = load_policy(SHIPPED_POLICY)
    other = load_policy(SHIPPED_POLICY, {"BILLING_WARNING_GRACE_HOURS": "12"})
    deployment = Deployment(database_url, policy)
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
    print(f"\nimpact: {found.accounts} accounts in {seconds:.1f} s; {len(found.affected)} affected")
    deployment.close()
    assert found.accounts == ACCOUNTS
    assert len(found.affected) == ACCOUNTS // 10
    assert seconds < LIMIT_SECONDS
