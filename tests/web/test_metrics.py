"""What Prometheus reads: figures that follow what happens, and servers that leave the list at once; behind a token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from storage import intents, policies, processes
from storage.gather import World
from tests.web.site import Site

TOKEN = "the-token-of-the-scraper"


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """The file that both sides read."""
    file = tmp_path / "metrics-token"
    file.write_text(f"{TOKEN}\n")
    return file


@pytest.fixture
def site(database_url: str, redis_url: str, tmp_path: Path, token_file: Path) -> Iterator[Site]:
    """A site that lets a scraper in."""
    made = Site(database_url, redis_url, tmp_path / "data", metrics_token_file=token_file)
    made.start()
    yield made
    made.stop()


def samples(client: httpx.Client) -> dict[str, dict[tuple[str, ...], float]]:
    """Return every sample by name and the values of its labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


@pytest.mark.parametrize("path", ["/metrics", "/metrics/servers"])
def test_only_the_token_of_the_file_passes(site: Site, path: str, token_file: Path) -> None:
    tenant = site.tenant()
    assert site.nobody.get(path).status_code == 401
    for client in (tenant.client, site.admin, site.client("wrong")):
        assert client.get(path).status_code == 401
    assert site.client(TOKEN).get(path).status_code == 200
    token_file.write_text("another\n")  # changed without a restart
    assert site.client(TOKEN).get(path).status_code == 401
    assert site.client("another").get(path).status_code == 200
    for nothing in ("", "\n"):
        token_file.write_text(nothing)
        refusal = site.client("x").get(path)
        assert (refusal.status_code, refusal.json()["code"]) == (503, "METRICS_OFF")
    token_file.unlink()
    assert site.client(TOKEN).get(path).status_code == 503


def test_figures_follow_what_waits(site: Site) -> None:
    scraper = site.client(TOKEN)
    quiet = samples(scraper)
    assert quiet["forbear_due_oldest_seconds"] == {(): 0}
    assert quiet["forbear_notices_unknown"] == {(): 0}
    assert quiet["forbear_queue_staleness_seconds"] == dict.fromkeys(
        [("billing_enforcement",), ("provisioning",), ("repair",), ("notices",)], 0.0
    )
    assert quiet["forbear_brake_tripped"]["suspension_brake",] == 0
    tenant = site.tenant()
    with site.database.begin() as conn:
        policy = policies.in_force(conn)
        intents.ask_server(conn, policy, UUID(tenant.server_id), "stop_server", actor="test", world=World())
        conn.execute(text("UPDATE intents SET created_at = created_at - interval '90 seconds' WHERE status = 'open'"))
        conn.execute(text("UPDATE servers SET desired = 'running'"))
        conn.execute(text("UPDATE accounts SET due_at = clock_timestamp() - interval '1 hour'"))
    busy = samples(scraper)
    assert 90 <= busy["forbear_intent_oldest_open_seconds"]["stop_server",] < 150
    assert busy["forbear_intents"]["stop_server", "open"] == 1
    queue = "provisioning"
    assert 90 <= busy["forbear_queue_staleness_seconds"][queue,] < 150
    assert busy["forbear_servers_drifting"] == {(): 1}
    assert busy["forbear_servers"]["allowed", "running", "local", "stopped"] == 1
    assert 3600 <= busy["forbear_due_oldest_seconds"][()] < 3700
    assert busy["forbear_accounts"] == {("active",): 1}
    assert busy["forbear_processes"] == {("serve",): 1}


WAITS = """
    INSERT INTO intents (id, key, account_id, machine, episode, round, intent, kind, queue, status, actor, created_at)
    SELECT id, id, account, 'm', 1, 1, 'any', '{kind}', '{queue}', '{status}', 'test',
           clock_timestamp() - {seconds} * interval '1 second'
    FROM (SELECT gen_random_uuid() AS id, a.id AS account FROM accounts a LIMIT 1) one
"""
LED = "INSERT INTO leases (name, worked_at) VALUES ('controller', clock_timestamp() - interval '90 seconds')"
TRIPPED = "INSERT INTO brakes (name, latched_at) VALUES ('repairs.repairs', clock_timestamp())"
EVENTS = """
    INSERT INTO stripe_events (id, type, created_at, payload, status, received_at)
    SELECT '{status}' || n, 'x', now(), '', '{status}', clock_timestamp() - n * interval '1 hour'
    FROM generate_series(1, 2) n
"""
ALERT = "INSERT INTO alerts (kind, text, key, created_at) VALUES ('k', '', 'k', clock_timestamp() - interval '1 hour')"


def waits(kind: str, queue: str, status: str, seconds: int = 0) -> str:
    """Return what writes down an intent that has waited for so long."""
    return WAITS.format(kind=kind, queue=queue, status=status, seconds=seconds)


BILLING = "billing_enforcement"
# What is wrong, and which figures tell it: the name, the values of its labels, and the least that it shows, within 60.
TROUBLE: tuple[tuple[str, tuple[tuple[str, tuple[str, ...], float], ...]], ...] = (
    (LED, (("controller_last_success_seconds", (), 90),)),
    (TRIPPED, (("brake_tripped", ("repairs.repairs",), 1),)),
    (EVENTS.format(status="parked"), (("events_parked", (), 2), ("events_parked_oldest_seconds", (), 7200))),
    (
        EVENTS.format(status="quarantined"),
        (("events_quarantined", (), 2), ("events_quarantined_oldest_seconds", (), 7200)),
    ),
    (waits("notice", BILLING, "unknown"), (("notices_unknown", (), 1),)),
    (waits("notice", BILLING, "open", 50), (("queue_staleness_seconds", ("notices",), 50),)),
    (waits("effect", BILLING, "open", 100), (("queue_staleness_seconds", (BILLING,), 100),)),
    (waits("repair", "repair", "open", 150), (("queue_staleness_seconds", ("repair",), 150),)),
    (ALERT, (("alerts_untold", (), 1), ("alerts_untold_oldest_seconds", (), 3600))),
)


def test_each_trouble_moves_its_own_figure(site: Site) -> None:
    site.tenant()
    scraper = site.client(TOKEN)
    with site.database.begin() as conn:
        conn.execute(text("DELETE FROM alerts"))
    quiet = samples(scraper)
    assert "forbear_controller_last_success_seconds" not in quiet, "none has ever ended a tick: an alert asks for it"
    for statement, _ in TROUBLE:
        with site.database.begin() as conn:
            conn.execute(text(statement))
    found = samples(scraper)
    for name, labels, least in (figure for _, figures in TROUBLE for figure in figures):
        assert quiet.get(f"forbear_{name}", {}).get(labels, 0) == 0, name
        assert least <= found[f"forbear_{name}"][labels] < least + 60, name


def test_process_of_an_older_version_or_policy_is_counted_and_named(site: Site) -> None:
    with site.database.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO processes (role, pid, version, policy_digest, seen_at) VALUES "
                "('worker repair', 7, '0.0.1', 'x', clock_timestamp()), "
                "('controller', 8, :ours, 'older', clock_timestamp())"
            ),
            {"ours": processes.own_code()},
        )
        conn.execute(text("UPDATE policy_in_force SET since = since - interval '1 minute'"))
        ids = list(conn.execute(text("SELECT id FROM processes WHERE pid IN (7, 8)")).scalars())
    session = site.database.connect()
    for each in ids:  # as if they lived
        session.execute("SELECT pg_advisory_lock(7203116, %s::integer)", [each])
    try:
        assert samples(site.client(TOKEN))["forbear_processes_stale"] == {(): 2}
        told = " ".join(site.nobody.get("/api/health").json()["stale"])
    finally:
        session.close()
    assert "worker repair (process 7) runs version 0.0.1" in told
    assert "controller (process 8) decides by policy older" in told


def test_server_leaves_discovery_as_soon_as_its_deletion_begins(site: Site) -> None:
    tenant = site.tenant()
    scraper = site.client(TOKEN)
    with site.database.begin() as conn:
        conn.execute(text("UPDATE servers SET port = 25565"))
    (target,) = scraper.get("/metrics/servers").json()
    assert target["targets"] == ["127.0.0.1:25565"]
    assert target["labels"]["__meta_forbear_server_id"] == tenant.server_id
    for lifecycle in ("deleting", "destroying", "deleted"):
        with site.database.begin() as conn:
            conn.execute(text("UPDATE servers SET lifecycle = :to"), {"to": lifecycle})
        assert scraper.get("/metrics/servers").json() == []
