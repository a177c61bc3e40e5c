"""What an action needs to know of a server, read again right before it acts: a claim may be seconds old."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlalchemy import Connection

from engine import gates
from engine.model import STOPPED_BILLING_STATES, Policy
from engine.servers import server_state
from engine.snapshot import Snapshot
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

    def judge(policy: Policy, snapshot: Snapshot, now: datetime) -> Verdict:
        about, asked = _server_of(claim), (claim.intent, claim.machine, claim.episode)
        return wanted(policy, snapshot, *asked, now, round_=claim.round, server_id=about)

    return _ask(context, claim, judge)


def still_permitted(context: Context, claim: Claim, action: str) -> Verdict:
    """Ask the gate again for whoever asked: what was let through may have waited until after a block."""
    role = "admin" if claim.actor.partition(":")[0] == "admin" else "customer"

    def judge(policy: Policy, snapshot: Snapshot, now: datetime) -> Verdict:
        servers_are = server_state(policy, snapshot, _server_of(claim))
        found = gates.verdict(policy, snapshot.states, servers_are, action, role, snapshot.facts)
        return Verdict(found.allow, found.code or servers_are.state)

    return _ask(context, claim, judge)


def _server_of(claim: Claim) -> str | None:
    return str(claim.server_id) if claim.server_id is not None else None


def _ask(context: Context, claim: Claim, judge: Callable[[Policy, Snapshot, datetime], Verdict]) -> Verdict:
    def work(conn: Connection) -> Verdict:
        lock(conn, [claim.account_id])
        policy = policies.in_force(conn)
        snapshot = gather.snapshots(conn, policy, [claim.account_id], context.world)[claim.account_id]
        return judge(policy, snapshot, clock.now(conn))

    return context.database.transact(f"account `{claim.account_id}`", work)
