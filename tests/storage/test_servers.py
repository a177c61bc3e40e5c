"""Servers: their lifecycles move in one place, under the account's lock; what billing stopped is never started."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from engine.load import load_policy
from engine.snapshot import Command
from storage import clock, ledger, servers
from storage.errors import ServersStopped, UnknownServer
from storage.ledger import Moved
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment, together


@pytest.fixture(autouse=True)
def shipped(deployment: Deployment) -> None:
    """Let the shipped policy decide."""
    deployment.policy = load_policy(SHIPPED_POLICY)


def row(deployment: Deployment, server: UUID) -> dict[str, object]:
    """Return a server's row."""
    return deployment.rows("SELECT * FROM servers WHERE id = :id", id=server)[0]


def move(deployment: Deployment, server: UUID, event: str | None, role: str = "worker") -> Moved:
    """Send an event."""
    with deployment.begin() as conn:
        return ledger.move_server(conn, deployment.policy, server, event, role=role, actor="test")


def made(deployment: Deployment, account: UUID) -> UUID:
    """Make a server as a customer does."""
    with deployment.begin() as conn:
        ledger.lock(conn, [account])
        server, intents = servers.create(
            conn, deployment.policy, account, name="one", kind="game", actor="customer", args={"operation_id": "op"}
        )
    assert [each.intent for each in intents] == ["provision_server"]
    return server


def start(deployment: Deployment, server: UUID) -> Moved:
    """Ask for a start, as a customer whom the gate has let through."""
    with deployment.begin() as conn:
        return servers.request_start(conn, deployment.policy, server, actor="customer")


def stop(deployment: Deployment, server: UUID) -> Moved:
    """Ask for a stop."""
    with deployment.begin() as conn:
        return servers.request_stop(conn, deployment.policy, server, actor="customer")


def observe(deployment: Deployment, server: UUID, observed: servers.Observed) -> None:
    """Let the host show something, and the lifecycle follow."""
    with deployment.begin() as conn:
        servers.observe(conn, {server: (observed, True, None)})
        if observed != "unknown":
            ledger.move_server(conn, deployment.policy, server, f"observed_{observed}")


def test_server_is_provisioned_started_and_seen_to_run(deployment: Deployment) -> None:
    account = deployment.account()
    server = made(deployment, account)
    (provision,) = deployment.intents_of(account, "provision_server")
    assert provision["args"] == {"operation_id": "op", "server_id": str(server)}
    assert provision["queue"] == "provisioning"
    assert row(deployment, server)["lifecycle"] == "requested"
    assert move(deployment, server, "provisioning_started").to == "provisioning"
    moved = move(deployment, server, "provisioned")
    assert moved.to == "starting"
    assert [each.intent for each in moved.intents] == ["start_server"]
    observe(deployment, server, "running")
    assert row(deployment, server)["lifecycle"] == "running"
    assert row(deployment, server)["desired"] == "running"
    rules = [each["because"] for each in deployment.audit_of(account) if each["because"].startswith("server.")]
    assert rules == ["server.provision", "server.provisioned", "server.runs"]


def test_stop_that_takes_too_long_is_forced_once(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account)
    moved = stop(deployment, server)
    assert (moved.from_, moved.to) == ("running", "stopping")
    assert [each.intent for each in moved.intents] == ["stop_server"]
    stopping = row(deployment, server)
    assert stopping["desired"] == "stopped"
    assert stopping["due_at"] == stopping["lifecycle_since"] + timedelta(minutes=2)  # type: ignore[operator]
    assert move(deployment, server, None).rules == ()
    deployment.advance(0.04)
    with deployment.begin() as conn:
        assert ledger.due_servers(conn, clock.now(conn), 10) == [server]
        (forced,) = ledger.move_servers(conn, deployment.policy, [(server, None)])
    assert [each.intent for each in forced.intents] == ["force_stop_server"]
    assert (forced.from_, forced.to) == ("stopping", "stopping")
    assert row(deployment, server)["due_at"] is None
    assert move(deployment, server, None).rules == ()
    observe(deployment, server, "stopped")
    assert row(deployment, server)["lifecycle"] == "stopped"


def test_starting_what_runs_changes_nothing_but_the_wish(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account, desired="stopped")
    moved = start(deployment, server)
    assert (moved.rules, moved.intents) == ((), ())
    assert row(deployment, server)["desired"] == "running"
    before = len(deployment.audit_of(account))
    assert start(deployment, server).rules == ()
    assert len(deployment.audit_of(account)) == before


def test_each_start_is_an_intent_of_its_own(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account, lifecycle="stopped", observed="stopped")
    for _ in range(3):
        assert len(start(deployment, server).intents) == 1
        observe(deployment, server, "running")
        assert len(stop(deployment, server).intents) == 1
        observe(deployment, server, "stopped")
    assert len(deployment.intents_of(account, "start_server")) == 3


def test_twenty_starts_at_once_are_one(deployment: Deployment) -> None:
    account = deployment.account()
    server = deployment.server(account, lifecycle="stopped", observed="stopped")
    moves = together(20, lambda _: start(deployment, server))
    assert sum(len(moved.intents) for moved in moves) == 1


def test_restart_of_a_stopped_server_starts_it(deployment: Deployment) -> None:
    account = deployment.account()
    running = deployment.server(account)
    stopped = deployment.server(account, lifecycle="stopped", observed="stopped")
    with deployment.begin() as conn:
        first = servers.request_restart(conn, deployment.policy, running, actor="customer")
        second = servers.request_restart(conn, deployment.policy, stopped, actor="customer")
    assert [each.intent for each in first.intents + second.intents] == ["restart_server", "start_server"]


@pytest.mark.parametrize("event", ["abuse_confirmed"])
def test_suspended_server_cannot_be_asked_to_run(deployment: Deployment, event: str) -> None:
    account = deployment.account()
    server = deployment.server(account)
    for each in ("abuse_reported", event):
        deployment.record(account, command=Command(each, "admin", "ada"))
    assert row(deployment, server)["desired"] == "stopped"
    with pytest.raises(ServersStopped, match="suspended_shutdown"):
        start(deployment, server)
    stop(deployment, server)
    assert row(deployment, server)["desired"] == "stopped"


def test_suspension_waits_for_the_safe_point_and_then_applies(deployment: Deployment) -> None:
    account = deployment.late(hours=0)
    server = deployment.server(account)
    deployment.settle()
    deployment.advance(73)
    deployment.settle()
    deployment.advance(49)
    assert move(deployment, server, "backup_started").to == "backing_up"
    deployment.sweep(force=True)
    waiting = deployment.row(account)
    assert waiting["billing_status"] == "final_warning"
    assert [each["permit"] for each in waiting["waiting"]] == ["safe_point"]
    assert "safe_point_missed" not in deployment.alerts()
    deployment.advance(7)
    deployment.sweep(force=True)
    deployment.sweep(force=True)
    assert deployment.alerts().count("safe_point_missed") == 1
    assert move(deployment, server, "backup_finished").to == "running"
    assert deployment.row(account)["billing_status"] == "suspended"
    assert row(deployment, server)["desired"] == "stopped"


def test_only_roles_that_may_send_an_event_move_a_server(deployment: Deployment) -> None:
    server = deployment.server(deployment.account(), lifecycle="stopped")
    for role in ("worker", "admin"):
        assert move(deployment, server, "delete_requested", role=role).rules == ()
    assert move(deployment, server, "delete_requested", role="customer").to == "deleting"


def test_observation_is_written_when_it_is_news_or_old(deployment: Deployment) -> None:
    account = deployment.account()
    one, other = deployment.server(account, observed="unknown"), deployment.server(account, observed="unknown")
    with deployment.begin() as conn:
        changes = servers.observe(conn, {one: ("running", True, None), other: ("unknown", None, None)})
        assert [(each.server_id, each.before, each.observed) for each in changes] == [(one, "unknown", "running")]
        first = servers.get(conn, one).observed_at
        assert servers.observe(conn, {one: ("running", True, None)}) == []
        assert servers.get(conn, one).observed_at == first
    deployment.advance(1)
    with deployment.begin() as conn:
        servers.observe(conn, {one: ("running", True, None), uuid4(): ("running", True, None)})
        seen = servers.get(conn, one)
        assert first is not None
        assert seen.observed_at is not None
        assert seen.observed_at > first
        assert seen.autostart is True
        assert servers.counts(conn) == {"running": 2}
        with pytest.raises(UnknownServer):
            servers.get(conn, uuid4())


def test_unknown_server_is_named(deployment: Deployment) -> None:
    with pytest.raises(UnknownServer):
        move(deployment, uuid4(), "observed_running")


def test_how_hosts_are_used_counts_what_is_on_them_and_tells_those_that_show_nothing(deployment: Deployment) -> None:
    account = deployment.account()
    one, two, three = (made(deployment, account) for _ in range(3))
    with deployment.begin() as conn:
        conn.execute(text("UPDATE servers SET host = 'away' WHERE id = :id"), {"id": three})
        assert servers.uses_of_hosts(conn)["away"] == servers.HostUse(1, silent=False)  # never asked: no evidence
        servers.observe(
            conn, {one: ("unknown", None, None), two: ("stopped", False, None), three: ("unknown", None, None)}
        )
        conn.execute(text("UPDATE servers SET observed_at = now()"))
        uses = servers.uses_of_hosts(conn, lock=True)
        assert uses == {"local": servers.HostUse(2, silent=False), "away": servers.HostUse(1, silent=True)}
        conn.execute(text("UPDATE servers SET lifecycle = 'deleted'"))
        assert servers.uses_of_hosts(conn) == {}


def test_a_port_that_was_told_stays_until_another_one_is(deployment: Deployment) -> None:
    server = deployment.server(deployment.account())
    seen: tuple[tuple[servers.Known, int | None], ...] = (
        (("running", True, None), None),
        (("running", True, 40_000), 40_000),
        (("stopped", True, None), 40_000),
        (("stopped", True, 40_001), 40_001),
    )
    for known, port in seen:
        with deployment.begin() as conn:
            servers.observe(conn, {server: known})
            assert servers.get(conn, server).published_port == port
