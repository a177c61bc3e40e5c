"""How each intent comes about, on the real local host, for a worker that is to be killed over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from uuid import UUID

from sqlalchemy import text

from engine.snapshot import Command
from jobs.edge import publish
from jobs.edge.base import Edge, Site
from jobs.hosts.base import ServerSpec
from jobs.hosts.local.host import LocalHost
from storage import backups, holds, operations, operations_settle, servers
from storage import edge as edges
from storage.intents_ask import ask_server
from tests.doubles.edge import DriverDouble
from tests.jobs.doomed import ADA, COOLING_OFF_HOURS, approve, condemned, give_up, switch_on
from tests.jobs.floor import Floor
from tests.jobs.orders import ordered as order_of

Prepare = Callable[["Bench"], UUID]


class Bench:
    """A floor on the real local host, with one account and one server of it."""

    def __init__(self, floor: Floor, host: LocalHost) -> None:
        self.floor = floor
        self.host = host
        self.account = floor.known_account()
        self.server = floor.server(self.account, lifecycle="stopped", observed="stopped", desired="stopped")
        self.spec = ServerSpec(str(self.server), "s", "game", 0)
        host.create(self.spec)
        (floor.settings.data_dir / "servers" / str(self.server) / "files" / "notes.txt").write_text("mine")

    def intent(self, name: str) -> UUID:
        """Return the newest intent of this name."""
        return UUID(str(self.floor.intents_of(self.account, name)[-1]["id"]))

    def status(self, intent: UUID) -> str:
        """Return how an intent stands."""
        return str(self.floor.scalar("SELECT status FROM intents WHERE id = :id", id=intent))

    def running(self) -> None:
        """Let the server run."""
        self.floor.rows(
            "UPDATE servers SET desired='running', observed='running', lifecycle='running' WHERE id=:id RETURNING 1",
            id=self.server,
        )
        self.host.start(self.spec)

    def ask(self, action: str, **args: str) -> UUID:
        """Ask for work on the server."""
        with self.floor.begin() as conn:
            ask_server(conn, self.floor.policy, self.server, action, actor="test", args=args)
        return self.intent(action)

    def backup(self) -> UUID:
        """Write a backup down that is to be made."""
        with self.floor.begin() as conn:
            return backups.create(conn, self.server).id


def late(bench: Bench, hours: int, name: str) -> UUID:
    """Let the account be late for so long that this is asked for; what came before is carried out."""
    bench.floor.owe(bench.account)
    at = 0
    for step in [each for each in (0, 73, 122, 196, 390) if each <= hours]:
        bench.floor.advance(step - at)
        at = step
        bench.floor.sweep()
        for row in bench.floor.intents_of(bench.account):
            if row["status"] == "open" and row["kind"] == "notice" and row["intent"] != name:
                bench.floor.apply(row["id"])
    return bench.intent(name)


def restored(name: str) -> Prepare:
    """Ask for what a payment leads to."""

    def prepare(bench: Bench) -> UUID:
        late(bench, 122, "send_suspended_notice")
        bench.floor.pay(bench.account)
        return bench.intent(name)

    return prepare


def whole_backup(bench: Bench) -> UUID:
    """Make a backup that can be restored or deleted."""
    backup = bench.backup()
    made = bench.host.create_backup(bench.spec, str(backup))
    with bench.floor.begin() as conn:
        backups.complete(conn, backup, size_bytes=made.size_bytes, sha256=made.sha256)
    return backup


def started(bench: Bench) -> UUID:
    with bench.floor.begin() as conn:
        servers.request_start(conn, bench.floor.policy, bench.server, actor="test")
    return bench.intent("start_server")


def stopped(bench: Bench) -> UUID:
    bench.running()
    with bench.floor.begin() as conn:
        servers.request_stop(conn, bench.floor.policy, bench.server, actor="test")
    return bench.intent("stop_server")


def restarted(bench: Bench) -> UUID:
    bench.running()
    with bench.floor.begin() as conn:
        servers.request_restart(conn, bench.floor.policy, bench.server, actor="test")
    return bench.intent("restart_server")


def forced(bench: Bench) -> UUID:
    bench.running()
    bench.floor.rows("UPDATE servers SET desired = 'stopped' WHERE id = :id RETURNING 1", id=bench.server)
    return bench.ask("force_stop_server")


def suspended_running(bench: Bench) -> UUID:
    bench.running()
    return late(bench, 122, "shutdown_suspended_server")


def autostart(bench: Bench) -> UUID:
    late(bench, 122, "send_suspended_notice")
    bench.host.set_autostart(bench.spec, on=True)
    return bench.ask("disable_autostart")


def held(bench: Bench) -> UUID:
    """A hold that voids a promise that was told."""
    late(bench, 73, "send_final_warning")
    bench.floor.apply(bench.intent("send_final_warning"))
    with bench.floor.begin() as conn:
        holds.set_hold(
            conn, bench.floor.policy, "extension", account_id=bench.account, until=None, by="test", reason="asked"
        )
    bench.floor.advance(60)
    bench.floor.sweep()
    return bench.intent("send_hold_changed_notice")


def ended(bench: Bench) -> UUID:
    bench.floor.rows(
        "UPDATE accounts SET subscription_status = 'canceled', subscription_ended_at = now() "
        "WHERE id = :id RETURNING 1",
        id=bench.account,
    )
    bench.floor.record(bench.account)
    return bench.intent("send_subscription_ended_notice")


def doomed(bench: Bench, name: str) -> UUID:
    """Two admins have given the account up; let it go as far as the asking for this."""
    floor = bench.floor
    switch_on(floor)
    floor.rows("UPDATE servers SET ran_at = now() WHERE id = :id RETURNING 1", id=bench.server)
    give_up(floor, bench.account)
    if name in {"destroy_servers", "spare_servers"}:
        condemned(floor, bench.account)
    else:
        approve(floor, bench.account)
    if name == "make_final_backups":
        floor.apply(bench.intent("send_deletion_notice"))
        floor.advance(COOLING_OFF_HOURS)
        floor.record(bench.account, world=floor.context.world)
    if name in {"spare_servers", "send_deletion_ended_notice"}:
        floor.rows("UPDATE servers SET lifecycle = 'destroying' WHERE id = :id RETURNING 1", id=bench.server)
        floor.record(bench.account, command=Command("deletion_withdrawn", "admin", ADA), world=floor.context.world)
    return bench.intent(name)


def provisioned(bench: Bench) -> UUID:
    with bench.floor.begin() as conn:
        server, _ = servers.create(conn, bench.floor.policy, bench.account, name="new", kind="game", actor="test")
    bench.server = server
    bench.spec = ServerSpec(str(server), "new", "game", 0)
    return bench.intent("provision_server")


def failed_order(bench: Bench) -> UUID:
    """An order that failed after its server was made, and that an admin wants cleaned up."""
    operation = ordered(bench)
    bench.host.create(bench.spec)
    with bench.floor.begin() as conn:
        operations.fail(conn, operation, error="sorry", reason="it broke", phase="start")
        conn.execute(text("UPDATE intents SET status = 'failed' WHERE server_id = :id"), {"id": bench.server})
        conn.execute(text("UPDATE servers SET lifecycle = 'failed' WHERE id = :id"), {"id": bench.server})
        operations_settle.clean_up(conn, bench.floor.policy, operation, actor="admin", reason="test")
    return bench.intent("clean_up_server")


def ordered(bench: Bench) -> UUID:
    """Order a server as the API does; return the operation."""
    server, operation = order_of(bench.floor, bench.account)
    bench.server, bench.spec = server, ServerSpec(str(server), "new", "game", 0)
    return operation.id


def deleted(bench: Bench) -> UUID:
    with bench.floor.begin() as conn:
        servers.request_deletion(conn, bench.floor.policy, bench.server, actor="test")
    return bench.ask("delete_server")


def stale(bench: Bench) -> UUID:
    """A backup whose worker is gone, on a server whose time at its safe point is over."""
    lost = bench.ask("create_backup", backup_id=str(bench.backup()))
    bench.floor.rows("UPDATE intents SET tries = 1 WHERE id = :id RETURNING 1", id=lost)
    return bench.ask("clear_stale_operation_lock")


def edge_of(bench: Bench, name: str) -> UUID:
    """Ask for work on what leads to a server; the last try is made where there are names and a proxy."""
    floor = bench.floor
    edge = Edge({"local": Site("192.0.2.10", 25565)}, {}, DriverDouble("names"), DriverDouble("proxy"))
    floor.context = replace(floor.context, edge=edge)
    if name == "withdraw_edge":
        publish(floor.context, floor.seat(bench.server))
        with floor.begin() as conn:
            edges.unwant(conn, bench.server)
    return bench.ask(name)


PREPARED: dict[str, Prepare] = {
    "send_billing_warning": lambda bench: late(bench, 0, "send_billing_warning"),
    "send_final_warning": lambda bench: late(bench, 73, "send_final_warning"),
    "send_suspended_notice": lambda bench: late(bench, 122, "send_suspended_notice"),
    "send_retention_warning": lambda bench: late(bench, 390, "send_retention_warning"),
    "send_restored_notice": restored("send_restored_notice"),
    "send_subscription_ended_notice": ended,
    "send_hold_changed_notice": held,
    **{
        name: partial(doomed, name=name)
        for name in (
            "send_deletion_notice",
            "send_deletion_ended_notice",
            "make_final_backups",
            "destroy_servers",
            "spare_servers",
        )
    },
    "block_backups": lambda bench: late(bench, 73, "block_backups"),
    "suspend_customer_servers": lambda bench: late(bench, 122, "suspend_customer_servers"),
    "shutdown_suspended_server": suspended_running,
    "mark_server_retained": lambda bench: late(bench, 196, "mark_server_retained"),
    "restore_access": restored("restore_access"),
    "disable_autostart": autostart,
    "provision_server": provisioned,
    "clean_up_server": failed_order,
    "clear_stale_operation_lock": stale,
    **{
        name: partial(edge_of, name=name)
        for name in ("edge_republish", "dns_republish", "velocity_reregister", "withdraw_edge")
    },
    "delete_server": deleted,
    "reinstall_server": lambda bench: bench.ask("reinstall_server", name="s"),
    "start_server": started,
    "restart_server": restarted,
    "stop_server": stopped,
    "force_stop_server": forced,
    "create_backup": lambda bench: bench.ask("create_backup", backup_id=str(bench.backup())),
    "restore_backup": lambda bench: bench.ask("restore_backup", backup_id=str(whole_backup(bench))),
    "delete_backup": lambda bench: bench.ask("delete_backup", backup_id=str(whole_backup(bench))),
    "prune_backups": lambda bench: bench.ask("prune_backups", keep="1"),
}
