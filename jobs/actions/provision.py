"""Making a server, in phases that its operation shows. Each may be repeated: a killed worker makes no second."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from jobs import edge
from jobs.actions.delays import MOMENT, delay, is_last
from jobs.actions.enforcement import STOP_SECONDS, autostart_off
from jobs.actions.targets import locked_server, may_run, spec_of, still_wanted
from jobs.context import Context
from jobs.hosts.base import HostBusy, HostError
from storage import operations, policies, servers
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.ledger_servers import Moved, move_server
from storage.servers import Server

MADE = frozenset({"starting", "running", "stopping", "stopped", "backing_up", "restoring"})
SORRY = "The server could not be made. Nothing is charged for it; please try again, or write to us."


def provision_server(context: Context, claim: Claim) -> Outcome:
    """Allocate, create, start and connect one server, and call it ready.

    A suspension in the middle lets the phase in hand end and starts nothing: the server is made, and stands.
    """
    server = locked_server(context, claim.server_id)
    if server.lifecycle in {"deleting", "deleted"}:
        return GiveUp(f"it is {server.lifecycle}")
    try:
        return _phases(context, claim, server)
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        if not is_last(claim):
            return Again(delay(claim), str(error))
        _move(context, server.id, "provisioning_failed")
        _show(context, claim, "failed", error=SORRY)
        return GiveUp(str(error))


def _phases(context: Context, claim: Claim, server: Server) -> Outcome:
    if server.lifecycle not in MADE:
        _move(context, server.id, "provisioning_started")
    _show(context, claim, "in_progress", "allocate", server.id)
    host = context.host(server.host)
    _show(context, claim, "in_progress", "create", server.id)
    seen = host.create(spec_of(server))
    _show(context, claim, "in_progress", "start", server.id)
    server = locked_server(context, server.id)
    if may_run(server) and still_wanted(context, claim).ok:
        seen = host.start(spec_of(server))
        host.set_autostart(spec_of(server), on=True)
        server = locked_server(context, server.id)
        if not may_run(server):
            autostart_off(context, server)
            seen = host.stop(spec_of(server), STOP_SECONDS)
    _show(context, claim, "in_progress", "edge", server.id)
    edge.publish(context, server)
    _settle(context, server, seen.observed == "running", seen.autostart)
    _show(context, claim, "succeeded", "ready", server.id)
    return Done(f"made, observed {seen.observed}")


def _settle(context: Context, server: Server, runs: bool, autostart: bool | None) -> None:
    """Write down together what was seen and that the server is made, so that no tick sees the one without the other."""

    def write(conn: Connection) -> None:
        policy = policies.in_force(conn)
        more: dict[str, Any] = {"actor": "worker", "world": context.world}
        move_server(conn, policy, server.id, "provisioned", **more)
        servers.observe(conn, {server.id: ("running" if runs else "stopped", autostart)})
        move_server(conn, policy, server.id, "observed_running" if runs else "observed_stopped", **more)

    context.database.transact(f"server `{server.id}`", write)


def _move(context: Context, server_id: UUID, event: str) -> Moved:
    return context.database.transact(
        f"server `{server_id}`",
        lambda conn: move_server(conn, policies.in_force(conn), server_id, event, actor="worker", world=context.world),
    )


def _show(  # noqa: PLR0917 - where, what, how far
    context: Context,
    claim: Claim,
    state: operations.State,
    phase: str | None = None,
    server_id: UUID | None = None,
    error: str | None = None,
) -> None:
    """Let whoever follows the operation see how far it has come."""
    if (operation_id := operation_of(claim)) is not None:
        with context.database.begin() as conn:
            operations.progress(conn, operation_id, state, phase=phase, server_id=server_id, error=error)


def operation_of(claim: Claim) -> UUID | None:
    """Return the operation that a claim belongs to, if somebody follows it."""
    found = claim.args.get("operation_id")
    return UUID(str(found)) if found else None
