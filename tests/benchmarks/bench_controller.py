"""One tick of the controller over 5,000 servers beside the 2 s that it may take.

The database is an embedded one with production's durability, and four hosts answer from memory: what is measured is the
controller's own work, from the question to the hosts to the last statement.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

from sqlalchemy import text

from storage.embedded import Postgres, Redis
from storage.migrate import upgrade
from tests.benchmarks.table import Row
from tests.doubles.host import HostDouble
from tests.jobs.floor import Floor

SERVERS = 5_000
HOSTS = 4
LIMIT_SECONDS = 2.0
TICKS = 20

ACCOUNTS = """
INSERT INTO accounts (customer_id, stripe_customer_id, subscription_status, plan, has_active_plan, states, episodes,
                      billing_status)
SELECT a.customer_id, 'cus_many_' || n, 'active', 'game', true, a.states, a.episodes, 'active'
FROM accounts a, generate_series(1, :count) n WHERE a.id = :like
"""
MACHINES = """
INSERT INTO servers (account_id, name, kind, host, desired, observed, observed_at, autostart, lifecycle)
SELECT id, 's', 'game', h.names[1 + (row_number() OVER ()) % cardinality(h.names)], 'running', 'running', now(), true,
       'running'
FROM accounts, (SELECT CAST(:hosts AS text[]) AS names) h
"""


def run() -> list[Row]:
    """Measure it on a database of its own."""
    with TemporaryDirectory(prefix="forbear controller ") as folder:
        postgres, redis = Postgres.start(Path(folder) / "postgres"), Redis.start(Path(folder) / "redis")
        try:
            upgrade(postgres.url)
            return _measured(postgres.url, redis.url, Path(folder) / "data")
        finally:
            redis.stop()
            postgres.stop()


def _measured(database_url: str, redis_url: str, data: Path) -> list[Row]:
    hosts = {f"h{number}": HostDouble() for number in range(HOSTS)}
    floor = Floor(database_url, redis_url, data, hosts=hosts)
    try:
        fill(floor, hosts, SERVERS)
        controller = floor.controller()
        floor.tick(controller)
        calls = sum(len(host.calls) for host in hosts.values())
        quiet = _median(lambda: floor.tick(controller))
        assert sum(len(host.calls) for host in hosts.values()) == calls + TICKS * HOSTS, "one call a host and tick"
        written = _median(lambda: floor.tick(controller), before=lambda: _age(floor))
        lost = _median(lambda: floor.tick(controller), before=lambda: _flip(hosts))
    finally:
        floor.close()
    return [
        _row("without drift", quiet),
        _row("all written down again", written),
        _row("every host comes or goes", lost),
    ]


def fill(floor: Floor, hosts: Mapping[str, HostDouble], count: int) -> None:
    """Make accounts with a server each that runs and should."""
    like = floor.known_account()
    with floor.begin() as conn:
        conn.execute(text(ACCOUNTS), {"like": like, "count": count - 1})
        conn.execute(text(MACHINES), {"hosts": list(hosts)})
        for server_id, name in conn.execute(text("SELECT id, host FROM servers")):
            hosts[name].running[str(UUID(str(server_id)))] = True
            hosts[name].autostart[str(server_id)] = True
    with floor.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        conn.execute(text("VACUUM ANALYZE"))


def _age(floor: Floor) -> None:
    """Let what was observed be as old as makes it written down again."""
    floor.rows("UPDATE servers SET observed_at = observed_at - interval '1 minute' RETURNING 1")


def _flip(hosts: dict[str, HostDouble]) -> None:
    for host in hosts.values():
        host.offline = not host.offline


def _row(name: str, seconds: float) -> Row:
    return Row(
        f"tick over 5,000 servers, {name}", seconds * 1e3, LIMIT_SECONDS * 1e3, seconds / LIMIT_SECONDS, "ms", "<= 1"
    )


def _median(work: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> float:
    seconds = []
    for _ in range(TICKS):
        before()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
