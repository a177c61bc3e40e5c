"""Webhook events a second at 16 clients, `forbear serve` beside a hand-written verify + insert + update + commit.

Both run as processes of their own on the same server stack, each on its own database of one PostgreSQL that syncs every
commit; a third process sends. They take turns, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
from psycopg import sql
from sqlalchemy import Connection, text

from engine.decide import blank
from engine.load import load_policy
from storage.database import engine_of
from storage.embedded import Postgres
from storage.migrate import upgrade
from storage.policies import deploy_folder
from storage.settings import SHIPPED_POLICY
from tests.benchmarks.table import Row
from tests.doubles import stripe as double

ROOT = Path(__file__).resolve().parents[2]
ACCOUNTS = 2_000
SECONDS = float(os.environ.get("BENCH_WEBHOOK_SECONDS", "4"))
MOST_PER_SECOND = 4_000
TURNS = 3
CREATED = int(time.time()) - 86_400

FILL = text("""
INSERT INTO accounts (customer_id, stripe_customer_id, stripe_subscription_id, plan, has_active_plan,
                      subscription_status, states, episodes, policy_digest)
SELECT :customer, 'cus_' || n, 'sub_' || n, 'game', true,
       'active', CAST(:states AS jsonb), CAST(:episodes AS jsonb), :digest
FROM generate_series(0, :accounts - 1) n
""")

Story = Callable[[int], double.Event]


def everyday(number: int) -> double.Event:
    """Return what most events are: an invoice made, finalized, paid, a subscription renewed; one in ten fails."""
    account, step = number % ACCOUNTS, number // ACCOUNTS
    about: dict[str, Any] = {"customer": f"cus_{account}"}
    created = CREATED + step * 60
    kind = ("created", "finalized", "paid", "renewed")[step % 4]
    if kind == "renewed":
        return double.subscription_event("updated", f"sub_{account}", created=created, period_end=created + 99, **about)
    invoice = f"in_{account}_{step // 4}"
    if kind == "finalized" and account % 10 == 0:
        kind = "payment_failed"
    return double.invoice_event(kind, invoice, created=created, subscription=f"sub_{account}", **about)


def climbing(number: int) -> double.Event:
    """Return the heaviest: every event moves its account, up to a warning or down again."""
    account, step = number % ACCOUNTS, number // ACCOUNTS
    kind = ("payment_failed", "paid")[step % 2]
    return double.invoice_event(
        kind, f"in_{account}_{step // 2}", created=CREATED + step * 60, customer=f"cus_{account}"
    )


STORIES: dict[str, Story] = {"everyday events": everyday, "every event moves its account": climbing}


def run() -> list[Row]:
    """Measure both, in turns."""
    with TemporaryDirectory() as folder:
        server = Postgres.start(Path(folder) / "postgres", durable=True)
        try:
            return [row for name, story in STORIES.items() for row in _measure(server, Path(folder), name, story)]
        finally:
            server.stop()


def _measure(server: Postgres, folder: Path, name: str, story: Story) -> list[Row]:
    requests = folder / "requests"
    figures: dict[str, list[dict[str, float]]] = {"forbear": [], "by_hand": []}
    commands = {
        "by_hand": ["-m", "tests.benchmarks.webhook_by_hand"],
        "forbear": ["-m", "forbear", "serve", "--port"],
    }
    for turn in range(TURNS):
        _write_requests(requests, story)
        for kind, command in commands.items():
            url = _database(server, f"{kind}_{abs(hash((name, turn)))}")
            with _serving(command, url, folder) as port:
                figures[kind].append(_load(port, requests))
    for each in (*figures["forbear"], *figures["by_hand"]):
        assert each["refused"] == 0, each
    figure, limit = (
        statistics.median(x["events_per_second"] for x in figures[kind]) for kind in ("forbear", "by_hand")
    )
    rows = [Row(f"webhook, 16 clients, {name}", figure, limit, figure / limit, "events/s", ">= 0.7")]
    late, late_limit = (statistics.median(x["p99_ms"] for x in figures[kind]) for kind in ("forbear", "by_hand"))
    return [*rows, Row(f"webhook, 99th percentile, {name}", late, late_limit, late / late_limit, "ms", "none")]


def _write_requests(path: Path, story: Story) -> None:
    """Sign more requests than either endpoint can answer in the time."""
    with path.open("wb") as file:
        for number in range(int(SECONDS * MOST_PER_SECOND)):
            body = double.body_of({**story(number), "id": f"evt_{number}"})
            head = (
                "POST /api/billing/webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
                f"Stripe-Signature: {double.signature(body)}\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            whole = head.encode() + body
            file.write(f"{len(whole)}\n".encode() + whole)


def _database(server: Postgres, name: str) -> str:
    """Make a fresh database with accounts in it; return its address."""
    with psycopg.connect(server.superuser_url, autocommit=True) as conn:
        conn.execute(sql.SQL("CREATE DATABASE {} OWNER forbear TEMPLATE template0").format(sql.Identifier(name)))
    url = server.url.rpartition("/")[0] + f"/{name}"
    upgrade(url)
    deploy_folder(url, SHIPPED_POLICY, {}, "benchmark")
    engine = engine_of(url, pool_size=1)
    with engine.begin() as conn_:
        _fill(conn_)
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("VACUUM ANALYZE")
    engine.dispose()
    return url


def _fill(conn: Connection) -> None:
    policy = load_policy(SHIPPED_POLICY)
    states, episodes = blank(policy)
    add = text("INSERT INTO customers (email, name, token_hash) VALUES ('b@example.org', 'B', 'x') RETURNING id")
    customer = conn.execute(add).scalar_one()
    given = {"customer": customer, "accounts": ACCOUNTS, "digest": policy.digest}
    conn.execute(FILL, {**given, "states": json.dumps(states), "episodes": json.dumps(episodes)})


@contextmanager
def _serving(command: list[str], database_url: str, folder: Path) -> Iterator[int]:
    """Run one endpoint; gives its port once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        "PATH": os.environ["PATH"],
        "STRIPE_WEBHOOK_SECRET": double.SECRET,
        "FORBEAR_DATABASE_URL": database_url,
        "FORBEAR_DATA": str(folder),
        "FORBEAR_ADMIN_TOKEN": "benchmark",
    }
    log = (folder / "serve.log").open("ab")
    process = subprocess.Popen([sys.executable, *command, str(port)], cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        end = time.monotonic() + 30
        while True:
            assert process.poll() is None, (folder / "serve.log").read_text()[-2000:]
            assert time.monotonic() < end, "the endpoint did not start"
            try:
                httpx.get(f"http://127.0.0.1:{port}/", timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _load(port: int, requests: Path) -> dict[str, float]:
    """Send from a process of its own, bounded in time."""
    sender = [sys.executable, "-m", "tests.benchmarks.webhook_load", str(port), str(requests), str(SECONDS)]
    done = subprocess.run(sender, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    from tests.benchmarks.table import written

    sys.stdout.write(written(run()) + "\n")
