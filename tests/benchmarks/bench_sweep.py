"""Sweeps beside what PostgreSQL alone can do: 100,000 due accounts, and 10 due among 1,000,000.

The limit is one set-based statement that a person would write for this one rung of this one policy: it locks, moves the
rung, chains the audit and inserts the intents, knows nothing of any other rule, and is closed to whoever writes policy.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import text

from engine.decide import blank
from engine.load import load_policy
from engine.model import Policy
from storage import clock, ledger
from storage.database import Database, raw
from storage.embedded import Postgres
from storage.migrate import upgrade
from storage.settings import SHIPPED_POLICY, Settings
from tests.benchmarks.table import Row

DUE = 100_000
ALL = 1_000_000
BATCH = 2_000  # as the controller sweeps
ROUNDS = 2  # whatever else the machine does slows one round more than the other

# One due account: late, not yet warned. Its next rung asks for a notice and nothing that a brake counts.
FILL = """
INSERT INTO accounts (customer_id, stripe_customer_id, plan, has_active_plan, overdue_invoices, past_due_since,
                      subscription_status, billing_status, states, episodes, due_at, policy_digest)
SELECT :customer, 'cus_' || n, 'game', true, CASE WHEN n <= :due THEN 1 ELSE 0 END,
       CASE WHEN n <= :due THEN now() - interval '1 hour' END, 'active',
       CASE WHEN n <= :due THEN 'past_due' ELSE 'active' END,
       CAST(:states AS jsonb) || CASE WHEN n <= :due THEN '{"billing": "past_due"}' ELSE '{}' END::jsonb,
       CAST(:episodes AS jsonb) || CASE WHEN n <= :due THEN '{"billing": 1}' ELSE '{}' END::jsonb,
       CASE WHEN n <= :due THEN now() - interval '1 minute'
            WHEN n % 20 = 0 THEN now() + interval '1 day' END, :digest
FROM generate_series(1, :all) n
"""

BY_HAND = """
WITH moment AS MATERIALIZED (SELECT clock_timestamp() AS at),
due AS MATERIALIZED (
    SELECT a.id, a.states, a.audit_seq + 1 AS seq, a.audit_hash, a.past_due_since, a.overdue_invoices,
           (a.episodes ->> 'billing')::bigint AS episode
    FROM accounts a
    WHERE a.due_at IS NOT NULL AND GREATEST(a.due_at, a.held_until) <= %(now)s::timestamptz
      AND a.billing_status = 'past_due' AND a.overdue_invoices > 0
      AND (a.exempt_until IS NULL OR a.exempt_until <= %(now)s::timestamptz)
      AND NOT EXISTS (SELECT 1 FROM holds h
                      WHERE h.ended_at IS NULL AND (h.until IS NULL OR h.until > %(now)s::timestamptz)
                      AND (h.account_id IS NULL OR h.account_id = a.id))
    ORDER BY a.id FOR NO KEY UPDATE OF a
),
told AS MATERIALIZED (
    SELECT due.*, format('{"account":"%%s","action":"warn","actor":"sweep","asked":["send_billing_warning"],"at":"%%s",'
        '"because":"billing.warn","facts":{"exempt":false,"overdue_invoices":%%s,"past_due_since":"%%s",'
        '"subscription":"active"},"from":"past_due","kind":"transition","place":"billing.yaml:65","policy":"%%s","seq":%%s,'
        '"to":"overdue_warning"}', id, at, overdue_invoices, past_due_since, %(digest)s::text, seq) AS canonical, at
    FROM due, moment
),
chained AS MATERIALIZED (
    SELECT told.*, sha256(audit_hash || convert_to(canonical, 'UTF8')) AS hash,
           id::text || ':billing:' || episode || ':send_billing_warning:1:-' AS key
    FROM told
),
audited AS (
    INSERT INTO audit (account_id, seq, at, kind, canonical, hash)
    SELECT id, seq, at, 'transition', canonical, hash FROM chained
),
asked AS (
    INSERT INTO intents (id, key, account_id, machine, episode, round, intent, kind, queue, actor, args, created_at)
    SELECT md5(key)::uuid, key, id, 'billing', episode, 1, 'send_billing_warning', 'notice', 'billing_enforcement',
           'sweep', '{}', at
    FROM chained ON CONFLICT (id) DO NOTHING
)
UPDATE accounts a SET billing_status = 'overdue_warning',
       states = c.states || '{"billing": "overdue_warning"}'::jsonb,
       notices = jsonb_build_object('send_billing_warning',
           jsonb_build_object('episode', c.episode, 'round', 1, 'status', 'open', 'machine', 'billing')),
       due_at = NULL, held_until = NULL, waiting = '[]', policy_digest = %(digest)s::text,
       audit_seq = c.seq, audit_hash = c.hash, audit_at = c.at, updated_at = c.at
FROM chained c WHERE a.id = c.id
"""

BARE = """
SELECT id FROM accounts WHERE due_at IS NOT NULL AND GREATEST(due_at, held_until) <= %(now)s
ORDER BY GREATEST(due_at, held_until) LIMIT 2000
"""


def run() -> list[Row]:
    """Run both on one throw-away PostgreSQL with production's durability."""
    with TemporaryDirectory(prefix="forbear-bench-") as folder:
        server = Postgres.start(Path(folder) / "postgres")
        try:
            return [sweep_of_many(server.url), *sweep_of_few(server.url)]
        finally:
            server.stop()


def sweep_of_many(url: str) -> Row:
    """Sweep 100,000 due accounts by policy, and the same number by the statement, in turn; the better time of each."""
    database = fresh(url)
    policy = load_policy(SHIPPED_POLICY)

    def by_policy() -> None:
        while batch := _due(database):
            with database.begin() as conn:
                ledger.record_many(conn, policy, batch)

    def by_hand() -> None:
        with database.begin() as conn:
            raw(conn).execute(BY_HAND, {"now": clock.now(conn), "digest": policy.digest})

    limits, figures = [], []
    for _ in range(ROUNDS):
        limits.append(_timed(database, policy, by_hand))
        figures.append(_timed(database, policy, by_policy))
    database.close()
    figure, limit = min(figures), min(limits)
    return Row("sweep of 100,000 due accounts", DUE / figure, DUE / limit, limit / figure, "accounts/s", ">= 0.5")


def sweep_of_few(url: str) -> list[Row]:
    """Find 10 due among 1,000,000, which each tick does; and decide them too, which no query alone can."""
    database = fresh(url)
    policy = load_policy(SHIPPED_POLICY)
    fill(database, policy, due=10, all_=ALL)

    def bare() -> None:
        with database.begin() as conn:
            raw(conn).execute(BARE, {"now": clock.now(conn)}).fetchall()

    def find() -> None:
        with database.begin() as conn:
            ledger.due(conn, clock.now(conn), BATCH)

    def decide() -> None:
        with database.begin() as conn:
            ledger.record_many(conn, policy, ledger.due(conn, clock.now(conn), BATCH))

    def due_again() -> None:
        with database.begin() as conn:
            again = (
                "UPDATE accounts SET due_at = now() - interval '1 minute' WHERE overdue_invoices > 0 AND id = ANY(:ids)"
            )
            conn.execute(text(again), {"ids": ids})

    with database.begin() as conn:
        ids = ledger.due(conn, clock.now(conn), BATCH)
    limit, found, decided = _median(bare), _median(find), _median(decide, before=due_again)
    database.close()
    return [
        Row("find 10 due among 1,000,000", found * 1e3, limit * 1e3, found / limit, "ms", "<= 3"),
        Row("find and decide them", decided * 1e3, limit * 1e3, decided / limit, "ms", ""),
    ]


def fresh(url: str) -> Database:
    """Empty the database and return a pool on it."""
    database = Database(Settings(database_url=url))
    with database.begin() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    upgrade(url)
    return database


def fill(database: Database, policy: Policy, *, due: int, all_: int) -> None:
    """Make accounts, so many of them due now."""
    with database.begin() as conn:
        add = "INSERT INTO customers (email, name, token_hash) VALUES ('', '', 'benchmark'::bytea) RETURNING id"
        states, episodes = map(json.dumps, blank(policy))
        made = {"customer": conn.execute(text(add)).scalar_one(), "states": states, "episodes": episodes}
        conn.execute(text(FILL), {**made, "due": due, "all": all_, "digest": policy.digest})
    _settle_down(database)


def _timed(database: Database, policy: Policy, work: Callable[[], None]) -> float:
    """Fill, let the dust settle, and time the work; check that it was done."""
    with database.begin() as conn:
        conn.execute(text("ALTER TABLE audit DISABLE TRIGGER audit_only_grows"))
        conn.execute(text("TRUNCATE customers, audit CASCADE"))
    fill(database, policy, due=DUE, all_=DUE)
    start = time.perf_counter()
    work()
    elapsed = time.perf_counter() - start
    with database.begin() as conn:
        done = "SELECT (SELECT count(*) FROM accounts WHERE billing_status = 'overdue_warning'), count(*) FROM intents"
        assert conn.execute(text(done)).one() == (DUE, DUE)
        assert conn.execute(text("SELECT count(*) FROM audit")).scalar_one() == DUE
    return elapsed


def _settle_down(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))


def _due(database: Database) -> list[UUID]:
    with database.begin() as conn:
        return ledger.due(conn, clock.now(conn), BATCH)


def _median(work: Callable[[], None], *, before: Callable[[], None] = lambda: None, times: int = 50) -> float:
    for _ in range(10):
        work()
    seconds = []
    for _ in range(times):
        before()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
