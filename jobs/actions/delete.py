"""Taking servers away: only what a person asked for, checked again right before, and gone means observed gone."""

from __future__ import annotations

from sqlalchemy import Connection

from jobs import edge
from jobs.actions.delays import MOMENT, delay, is_last
from jobs.actions.enforcement import STOP_SECONDS, autostart_off, unless_wanted
from jobs.actions.progress import operation_of, show
from jobs.actions.targets import locked_server, spec_of, still_permitted
from jobs.context import Context
from jobs.hosts.base import HostBusy, HostError, StillRunning
from storage import operations, operations_settle, policies
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.invoicing import metering
from storage.ledger_servers import move_server
from storage.servers import Server

SORRY = "The server could not be deleted yet. We have been told; please write to us if it stays."
SORRY_DENIED = "The server was not deleted, because that is not possible for this account now. Nothing was changed."
SORRY_KEPT = "The server was not deleted: the wish was withdrawn. Nothing was changed."


def clean_up_server(context: Context, claim: Claim) -> Outcome:
    """Take away what a failed order made. INVARIANT: never a server that has run, whoever asks."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if server.lifecycle == "deleted":
        return Done("nothing of it is left")
    if server.lifecycle != "deleting":
        return GiveUp(f"it is {server.lifecycle}")
    if (why := operations_settle.has_run(server)) is not None:
        return GiveUp(why)
    try:
        if context.host(server.host).observe(spec_of(server)).observed == "running":
            return GiveUp("it runs, and may hold somebody's work")
        _take_away(context, server)
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        return Again(delay(claim), str(error))
    _gone(context, claim, server)
    return Done("observed gone")


def delete_server(context: Context, claim: Claim) -> Outcome:
    """Stop a server, take it away with its files, and see that it is gone. Its backups stay.

    INVARIANT: only what its owner asked for, and still wants and may right before: a suspension in between keeps it.
    """
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if server.lifecycle not in {"deleting", "deleted"}:
        _end(context, claim, SORRY_KEPT, f"it is {server.lifecycle}")
        return Done(f"kept: it is {server.lifecycle}")
    begun = _has_begun(context, claim)
    try:
        if not (begun or server.lifecycle == "deleted"):
            _stop(context, claim, server)
            verdict = still_permitted(context, claim, "server.delete")
            if not verdict.ok:
                _keep(context, claim, server, SORRY_DENIED, verdict.reason)
                return Done(f"kept: {verdict.reason}")
            begun = True
            show(context, claim, operations.DESTROYING)
        _take_away(context, server)
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        if not is_last(claim):
            return Again(delay(claim), str(error))
        if begun:  # no half of a server is given back: an admin resumes this
            _end(context, claim, SORRY, str(error))
        else:
            _keep(context, claim, server, SORRY, str(error))
        return GiveUp(str(error))
    _gone(context, claim, server)
    return Done("observed gone; its backups are kept")


class NotGone(HostError):
    """The host took the server away, and still shows it."""

    def __init__(self, server_id: str) -> None:
        self.server_id = server_id
        super().__init__("the server was taken away, and is still there")


def _stop(context: Context, claim: Claim, server: Server) -> None:
    show(context, claim, "stop")
    autostart_off(context, server)
    seen = context.host(server.host).stop(spec_of(server), STOP_SECONDS)
    if seen.observed not in {"stopped", "missing"}:
        raise StillRunning(str(server.id))


def _take_away(context: Context, server: Server) -> None:
    """Remove what the host has of it. Raises NotGone unless the host shows nothing afterwards."""
    host = context.host(server.host)
    host.destroy(spec_of(server))
    if host.observe(spec_of(server)).observed != "missing":
        raise NotGone(str(server.id))


def _has_begun(context: Context, claim: Claim) -> bool:
    """Tell whether an earlier try may have taken something away already."""
    operation_id = operation_of(claim)
    if operation_id is None:
        return claim.tries > 1
    with context.database.begin() as conn:
        return operations.get(conn, operation_id).phase == operations.DESTROYING


def _keep(context: Context, claim: Claim, server: Server, sorry: str, reason: str) -> None:
    """Give up before anything was taken away: the server is its owner's as before, stopped."""

    def write(conn: Connection) -> None:
        policy = policies.in_force(conn)
        event = "delete_withdrawn"
        move_server(conn, policy, server.id, event, role="customer", actor="worker", world=context.world)

    context.database.transact(f"server `{server.id}`", write)
    _end(context, claim, sorry, reason)


def _end(context: Context, claim: Claim, sorry: str, reason: str) -> None:
    if (operation_id := operation_of(claim)) is not None:
        with context.database.begin() as conn:
            operations.fail(conn, operation_id, error=sorry, reason=reason)


def _gone(context: Context, claim: Claim, server: Server) -> None:
    """Write down that its host shows nothing of it any more, and take back what leads to it."""
    operation_id = operation_of(claim)

    def write(conn: Connection) -> None:
        policy = policies.in_force(conn)
        move_server(conn, policy, server.id, "deletion_observed", actor="worker", world=context.world)
        metering.harmlessly(conn, f"server `{server.id}`", lambda: metering.deleted(conn, server.id))
        if operation_id is None:
            return
        if claim.intent == "clean_up_server":
            operations_settle.cleaned(conn, operation_id)
        else:
            operations.progress(conn, operation_id, "succeeded", phase="gone", server_id=server.id)

    context.database.transact(f"server `{server.id}`", write)
    edge.withdraw(context, server)
