"""Taking servers away: only what a person asked for, checked again right before, and gone means observed gone."""

from __future__ import annotations

from sqlalchemy import Connection

from jobs.actions.delays import MOMENT, delay
from jobs.actions.enforcement import unless_wanted
from jobs.actions.provision import operation_of
from jobs.actions.targets import locked_server, spec_of
from jobs.context import Context
from jobs.hosts.base import HostBusy, HostError
from storage import operations_settle, policies
from storage.intents import Again, Claim, Done, GiveUp, Outcome
from storage.ledger_servers import move_server
from storage.servers import Server


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
    host = context.host(server.host)
    try:
        seen = host.observe(spec_of(server))
        if seen.observed == "running":
            return GiveUp("it runs, and may hold somebody's work")
        host.destroy(spec_of(server))
        seen = host.observe(spec_of(server))
    except HostBusy as error:
        return Again(MOMENT, str(error), counts=False)
    except HostError as error:
        return Again(delay(claim), str(error))
    if seen.observed != "missing":
        return Again(delay(claim), f"it was taken away and is {seen.observed}: {seen.detail}")
    _gone(context, claim, server)
    return Done("observed gone")


def _gone(context: Context, claim: Claim, server: Server) -> None:
    """Write down that its host shows nothing of it any more."""
    operation_id = operation_of(claim)

    def write(conn: Connection) -> None:
        policy = policies.in_force(conn)
        move_server(conn, policy, server.id, "deletion_observed", actor="worker", world=context.world)
        if operation_id is not None:
            operations_settle.cleaned(conn, operation_id)

    context.database.transact(f"server `{server.id}`", write)
