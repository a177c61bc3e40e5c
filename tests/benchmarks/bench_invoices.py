"""The monthly run, without PDFs, of 1,000 organisations with 20 tenants each, beside one aggregate query by hand.

Both count the same 600,000 switchings of skills, day by day in the organisation's zone, and have to find the same net.
The run also writes 1,000 invoices with their lines and numbers, durably. The second figure is what it
holds in memory at its end beside what it held after a tenth.
"""

from __future__ import annotations

import time
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from engine.invoicing.days import month_of
from jobs.invoices.run import Report
from jobs.invoices.run import run as issue_all
from storage.embedded import Postgres
from storage.invoicing import prices
from storage.migrate import upgrade
from tests.benchmarks.table import Row
from tests.storage.deployment import Deployment
from tests.storage.metered import CREDITOR

ORGANISATIONS = 1_000
TENANTS = 20
EVENTS = 30
SKILLS = 5
ZONE = "Europe/Zurich"
STEADY = ORGANISATIONS // 10

# Each skill of a tenant goes on and off three times: on for 5 hours, off for 115, at a minute that differs by tenant.
CUSTOMERS = f"""
INSERT INTO customers (id, email, name, zone, token_hash)
SELECT md5('c' || n)::uuid, 'c' || n || '@example.org', 'Customer ' || n, '{ZONE}', decode(md5('c' || n), 'hex')
FROM generate_series(1, %(organisations)s) n
"""
CONFIGS = "INSERT INTO org_billing_config (customer_id, zone, pay_by_invoice) SELECT id, zone, true FROM customers"
LIVES = """
INSERT INTO tenant_billing_lifecycle (server_id, customer_id, account_id, organisation, tenant, event, at, source)
SELECT md5('s' || n || '-' || t)::uuid, md5('c' || n)::uuid, md5('c' || n)::uuid, 'Customer ' || n,
       't' || n || '-' || t, 'created', %(first)s::timestamptz - interval '100 days', 'observed'
FROM generate_series(1, %(organisations)s) n, generate_series(1, %(tenants)s) t
"""
SWITCHINGS = """
INSERT INTO tenant_skill_events (server_id, customer_id, skill, event, at, source)
SELECT md5('s' || n || '-' || t)::uuid, md5('c' || n)::uuid, 'skill-' || e / 6,
       CASE e %% 2 WHEN 0 THEN 'enabled' ELSE 'disabled' END,
       %(first)s::timestamptz + interval '1 day' + (e %% 6 / 2) * interval '5 days' + (e %% 2) * interval '5 hours'
       + (n * 7 + t * 61) %% 1440 * interval '1 minute', 'observed'
FROM generate_series(1, %(organisations)s) n, generate_series(1, %(tenants)s) t, generate_series(0, %(events)s - 1) e
"""
# Only these: a table that was analysed while it was empty is scanned from end to end by every check of a foreign key.
FILLED = "customers, org_billing_config, tenant_billing_lifecycle, tenant_skill_events"
BY_HAND = f"""
WITH stretches AS (
    SELECT customer_id, server_id, skill, event, at,
           lead(at) OVER (PARTITION BY server_id, skill ORDER BY at, id) AS until
    FROM tenant_skill_events WHERE at < %(end)s
), days AS (
    SELECT DISTINCT customer_id, server_id, skill, day FROM stretches, LATERAL generate_series(
        (at AT TIME ZONE '{ZONE}')::date,
        ((coalesce(until, %(end)s) - interval '1 microsecond') AT TIME ZONE '{ZONE}')::date, interval '1 day') AS day
    WHERE event = 'enabled'
), skills AS (
    SELECT customer_id, server_id, skill, round(count(*) * 0.50, 2) AS amount FROM days GROUP BY 1, 2, 3
), tenants AS (
    SELECT customer_id, count(*) * 49.00 AS amount FROM tenant_billing_lifecycle WHERE event = 'created' GROUP BY 1
)
SELECT sum(net) FROM (
    SELECT t.customer_id, t.amount + coalesce(sum(s.amount), 0) AS net
    FROM tenants t LEFT JOIN skills s USING (customer_id) GROUP BY t.customer_id, t.amount
) nets
"""


def run() -> list[Row]:
    """Measure it on a database of its own."""
    with TemporaryDirectory(prefix="forbear invoices ") as folder:
        postgres = Postgres.start(Path(folder) / "postgres")
        try:
            upgrade(postgres.url)
            return _measured(postgres.url)
        finally:
            postgres.stop()


def _measured(url: str) -> list[Row]:
    deployment = Deployment(url)
    now = deployment.now().date()
    month = (now.replace(day=1) - timedelta(days=1)).replace(day=1)
    _fill(deployment, month)
    by_hand, net = _by_hand(url, month)
    held: list[float] = []

    def tell(report: Report) -> None:
        if report.done in {STEADY, ORGANISATIONS}:
            held.append(_megabytes())

    began = time.perf_counter()
    report = issue_all(deployment.database, CREDITOR, month, by="bench", tell=tell)
    seconds = time.perf_counter() - began
    assert (report.issued, report.failed) == (ORGANISATIONS, 0)
    found: Decimal = deployment.scalar("SELECT sum(net) FROM invoices")
    assert found == net, (found, net)
    deployment.close()
    return [
        Row("monthly run of 1,000 organisations", seconds, by_hand, seconds / by_hand, "s", "<= 5"),
        Row("memory at the end of the run", held[1], held[0], held[1] / held[0], "MB", "<= 1.1"),
    ]


def _fill(deployment: Deployment, month: date) -> None:
    long_ago = month - timedelta(days=400)
    with deployment.begin() as conn:
        prices.change(conn, {"monthly_fee": Decimal("49.00")}, by="bench", valid_from=long_ago)
        for number in range(SKILLS):
            prices.change_skill(conn, f"skill-{number}", Decimal("0.50"), by="bench", valid_from=long_ago)
    given = {"organisations": ORGANISATIONS, "tenants": TENANTS, "events": EVENTS, "first": month.isoformat()}
    with deployment.session() as session:
        session.execute("SET statement_timeout = 0")
        for statement in (CUSTOMERS, CONFIGS, LIVES, SWITCHINGS):
            session.execute(statement, given)
        session.execute(f"ANALYZE {FILLED}")


def _by_hand(url: str, month: date) -> tuple[float, Decimal]:
    """Return the best of three, and the net of all organisations."""
    end = f"{month_of(month.year, month.month)[1] + timedelta(days=1)} {ZONE}"
    best = float("inf")
    with psycopg.connect(url) as session:
        for _ in range(3):
            began = time.perf_counter()
            (net,) = session.execute(BY_HAND, {"end": end}).fetchone() or (Decimal(0),)
            best = min(best, time.perf_counter() - began)
    return best, net


def _megabytes() -> float:
    """Return what this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096 / 1e6
