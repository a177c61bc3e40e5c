"""What an action needs to know of a server, read again right before it acts: a claim may be seconds old."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Connection

from engine.model import STOPPED_BILLING_STATES
from engine.wanted import Verdict, wanted
from jobs.context import Context
from jobs.hosts.base import ServerSpec
from storage import clock, gather, policies, servers
from storage.intents import Claim
from storage.ledger_batch import lock
from storage.servers import Server


def spec_of(server: Server) -> ServerSpec:
    """Return what a server's host needs to know of it."""
    return ServerSpec(str(server.id), server.name, server.kind, server.port)


def may_run(server: Server) -> bool:
    """Tell whether billing lets a server run, and somebody wants it to."""
    return server.server_billing_state not in STOPPED_BILLING_STATES and server.desired == "running"


def locked_server(context: Context, server_id: UUID | None) -> Server:
    """Read one server behind every decision that is being made about its account right now. Raises UnknownServer.

    The lock is given back at once: what follows holds none, and asks again afterwards.
    """
    assert server_id is not None, "the policy asks for this per server"

    def read(conn: Connection) -> Server:
        lock(conn, [servers.get(conn, server_id).account_id])
        return servers.get(conn, server_id)

    return context.database.transact(f"server `{server_id}`", read)


def still_wanted(context: Context, claim: Claim) -> Verdict:
    """Ask again, behind every decision that is being made about the account right now, whether the intent is wanted."""

    def judge(conn: Connection) -> Verdict:
        lock(conn, [claim.account_id])
        policy = policies.in_force(conn)
        snapshot = gather.snapshots(conn, policy, [claim.account_id], context.world)[claim.account_id]
        return wanted(policy, snapshot, claim.intent, claim.machine, claim.episode, clock.now(conn), claim.round)

    return context.database.transact(f"account `{claim.account_id}`", judge)
