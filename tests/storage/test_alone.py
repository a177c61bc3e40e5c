"""One server on a rung of its own: it alone is stopped, the others go on, and one cure lifts one cause."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from engine.errors import CommandRefused
from engine.load import bundle, load_policy
from engine.snapshot import Command
from storage import audit_verify, ledger, policies, servers
from storage.errors import ServersStopped, StateVanished, UnknownServer
from storage.ledger import Commanded
from storage.settings import SHIPPED_POLICY
from tests.storage.deployment import Deployment

PAUSE = Command("suspension_requested", "customer", "customer:ada")
RESUME = Command("resumption_approved", "admin", "admin:grace")
HALT = Command("admin_suspended", "admin", "admin:grace")
LIFT = Command("admin_lifted", "admin", "admin:grace")


def send(deployment: Deployment, server: UUID, command: Command, reason: str = "") -> Commanded:
    with deployment.begin() as conn:
        return ledger.command_server(conn, deployment.policy, server, command, reason=reason)


def state(deployment: Deployment, server: UUID) -> str:
    with deployment.begin() as conn:
        return servers.get(conn, server).server_billing_state


def intents(deployment: Deployment, **about: UUID) -> Mapping[str, str]:
    rows = deployment.rows("SELECT intent, status FROM intents WHERE server_id = :server ORDER BY created_at", **about)
    return {str(row["intent"]): str(row["status"]) for row in rows}


def deploy(deployment: Deployment, folder: Path) -> None:
    with deployment.begin() as conn:
        policies.deploy(conn, load_policy(folder), bundle(folder), {}, "test")


def wish(deployment: Deployment, server: UUID) -> str:
    with deployment.begin() as conn:
        return servers.get(conn, server).desired


@contextmanager
def impatient(deployment: Deployment) -> Iterator[Connection]:
    """Begin a transaction that does not wait long for a lock, and leave nothing of it."""
    with deployment.database.engine.connect() as conn:
        conn.execute(text("SET LOCAL lock_timeout = '100ms'"))
        yield conn
        conn.rollback()


def without(tmp_path: Path, word: str) -> Path:
    """Return the shipped policy without the scenarios, and without the lines of its tenant machine with this word."""
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    shutil.rmtree(folder / "scenarios")
    tenant = folder / "tenant.yaml"
    lines = tenant.read_text(encoding="utf-8").splitlines()
    tenant.write_text("\n".join(line for line in lines if word not in line), encoding="utf-8")
    return folder


def test_one_is_stopped_and_the_others_of_its_account_go_on(shipped: Deployment) -> None:
    account = shipped.account()
    one, other = shipped.server(account), shipped.server(account)
    sent = send(shipped, one, PAUSE, "for the holidays")
    assert (dict(sent.states), [each.intent for each in sent.intents]) == (
        {"tenant": "paused"},
        ["shutdown_suspended_server"],
    )
    assert (state(shipped, one), state(shipped, other)) == ("suspended_shutdown", "allowed")
    assert shipped.row(account)["server_billing_state"] == "allowed"
    wishes = shipped.rows("SELECT desired FROM servers ORDER BY id = :other", other=other)
    assert [row["desired"] for row in wishes] == ["stopped", "running"]
    with shipped.begin() as conn, pytest.raises(ServersStopped):
        servers.request_start(conn, shipped.policy, one, actor="customer")
    with shipped.begin() as conn:
        assert audit_verify.verify(conn) == []
    told = [(row["because"], row["from"], row["to"]) for row in shipped.audit_of(account)]
    assert ("tenant.pause", "in_use", "paused") in told
    assert "for the holidays" in [because for because, _, _ in told]


def test_each_cause_is_lifted_by_its_own_cure_alone(shipped: Deployment) -> None:
    one = shipped.server(shipped.account())
    send(shipped, one, PAUSE)
    with pytest.raises(CommandRefused, match="tenant is paused"):
        send(shipped, one, PAUSE)
    with pytest.raises(CommandRefused, match="only the role admin"):
        send(shipped, one, Command("resumption_approved", "customer", "customer:ada"))
    send(shipped, one, HALT)
    send(shipped, one, RESUME)
    assert state(shipped, one) == "suspended_shutdown"
    assert dict(send(shipped, one, LIFT).states) == {}
    assert state(shipped, one) == "allowed"
    assert "start_server" not in intents(shipped, server=one)
    with pytest.raises(CommandRefused, match="no rule of a single server knows it"):
        send(shipped, one, Command("abuse_reported", "admin", "admin:grace"))


def test_an_account_that_is_let_go_on_does_not_free_what_its_owner_suspended(shipped: Deployment) -> None:
    account = shipped.account()
    one, other = shipped.server(account), shipped.server(account)
    send(shipped, one, PAUSE)
    shipped.record(account, command=HALT)
    assert (state(shipped, one), state(shipped, other)) == ("suspended_shutdown", "suspended_shutdown")
    shipped.record(account, command=LIFT)
    assert (state(shipped, one), state(shipped, other)) == ("suspended_shutdown", "allowed")


def test_the_stricter_of_account_and_server_counts(shipped: Deployment) -> None:
    account = shipped.account()
    one = shipped.server(account)
    send(shipped, one, PAUSE)
    for states in ("backup_blocked", "suspended_shutdown", "retained"):
        shipped.rows(
            "UPDATE accounts SET server_billing_state = :state WHERE id = :id RETURNING 1", state=states, id=account
        )
        assert state(shipped, one) == ("retained" if states == "retained" else "suspended_shutdown")


def test_a_server_that_is_gone_is_on_no_rung(shipped: Deployment) -> None:
    gone = shipped.server(shipped.account(), lifecycle="deleted")
    with pytest.raises(UnknownServer):
        send(shipped, gone, PAUSE)


def test_a_policy_that_would_free_a_single_server_is_refused_and_new_words_are_taken_up(
    shipped: Deployment, tmp_path: Path
) -> None:
    one = shipped.server(shipped.account())
    send(shipped, one, PAUSE)
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    tenant = folder / "tenant.yaml"
    said = tenant.read_text(encoding="utf-8")
    tenant.write_text("\n".join(line for line in said.splitlines() if "each_server" not in line), encoding="utf-8")
    with pytest.raises(StateVanished, match=rf"`tenant.paused` \(for one, server {one}\)"):
        deploy(shipped, folder)
    tenant.write_text(said.replace("code: TENANT_SUSPENDED", "code: TENANT_PAUSED"), encoding="utf-8")
    deploy(shipped, folder)
    (row,) = shipped.rows("SELECT own_billing_state, own_billing_code FROM servers WHERE id = :id", id=one)
    assert tuple(row.values()) == ("suspended_shutdown", "TENANT_PAUSED")


def test_a_rung_of_single_servers_that_is_renamed_is_mapped(shipped: Deployment, tmp_path: Path) -> None:
    account = shipped.account()
    one = shipped.server(account)
    send(shipped, one, PAUSE)
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    shutil.rmtree(folder / "scenarios")
    for name in ("tenant.yaml", "gates.yaml", "notices.yaml"):
        said = (folder / name).read_text(encoding="utf-8")
        said = said.replace("tenant.paused", "tenant.resting").replace("[in_use, paused]", "[in_use, resting]")
        said = said.replace("[paused]", "[resting]").replace("to: paused", "to: resting")
        (folder / name).write_text(said, encoding="utf-8")
    with pytest.raises(StateVanished):
        deploy(shipped, folder)
    tenant = folder / "tenant.yaml"
    said = tenant.read_text(encoding="utf-8")
    tenant.write_text(said.replace("ladder: [in_use", "mapping: {paused: resting}\nladder: [in_use"), encoding="utf-8")
    deploy(shipped, folder)
    (row,) = shipped.rows("SELECT states, own_billing_state FROM servers WHERE id = :id", id=one)
    assert (row["states"], row["own_billing_state"]) == ({"tenant": "resting"}, "suspended_shutdown")
    told = [(row["action"], row["from"], row["to"]) for row in shipped.audit_of(account)]
    assert ("map_state", "paused", "resting") in told
    with shipped.begin() as conn:
        assert audit_verify.verify(conn) == []


def test_a_rung_that_a_new_policy_makes_stricter_stops_the_servers_on_it_for_good(
    shipped: Deployment, tmp_path: Path
) -> None:
    one = shipped.server(shipped.account())
    folder = without(tmp_path, "nothing")
    tenant = folder / "tenant.yaml"
    strict = tenant.read_text(encoding="utf-8")
    tenant.write_text(
        strict.replace("is: suspended_shutdown, code: TENANT_SUSPENDED", "is: backup_blocked, code: TENANT_PAUSED"),
        encoding="utf-8",
    )
    deploy(shipped, folder)
    send(shipped, one, PAUSE)
    assert wish(shipped, one) == "running"
    tenant.write_text(strict, encoding="utf-8")
    deploy(shipped, folder)
    assert (state(shipped, one), wish(shipped, one)) == ("suspended_shutdown", "stopped")
    send(shipped, one, RESUME)
    assert (state(shipped, one), wish(shipped, one)) == ("allowed", "stopped")


def test_a_server_that_is_gone_keeps_no_policy_from_coming_into_force(shipped: Deployment, tmp_path: Path) -> None:
    one = shipped.server(shipped.account())
    send(shipped, one, PAUSE)
    shipped.rows("UPDATE servers SET lifecycle = 'deleted' WHERE id = :id RETURNING 1", id=one)
    deploy(shipped, without(tmp_path, "each_server"))
    (row,) = shipped.rows("SELECT states, own_billing_state FROM servers WHERE id = :id", id=one)
    assert (row["states"], row["own_billing_state"]) == ({}, "allowed")


def test_a_policy_waits_for_a_command_that_it_might_not_know(shipped: Deployment, tmp_path: Path) -> None:
    one = shipped.server(shipped.account())
    folder = without(tmp_path, "each_server")
    with shipped.begin() as conn:
        ledger.command_server(conn, shipped.policy, one, PAUSE)
        with impatient(shipped) as later, pytest.raises(OperationalError, match="lock timeout"):
            policies.deploy(later, load_policy(folder), bundle(folder), {}, "test")
    with pytest.raises(StateVanished):
        deploy(shipped, folder)


def test_a_command_waits_for_a_policy_that_might_not_know_it(shipped: Deployment, tmp_path: Path) -> None:
    one = shipped.server(shipped.account())
    folder = without(tmp_path, "each_server")
    with shipped.begin() as conn:
        policies.deploy(conn, load_policy(folder), bundle(folder), {}, "test")
        with impatient(shipped) as later, pytest.raises(OperationalError, match="lock timeout"):
            ledger.command_server(later, shipped.policy, one, PAUSE)
    with pytest.raises(CommandRefused):
        send(shipped, one, PAUSE)
