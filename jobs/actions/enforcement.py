"""Enforcement and its lifting. Stopped means observed stopped; nothing here starts or deletes anything."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Connection, text

from jobs import edge
from jobs.actions.delays import MOMENT, delay
from jobs.actions.targets import locked_server, spec_of, still_wanted
from jobs.context import Context
from jobs.hosts.base import HostBusy, HostError, Observation, ServerMissing
from jobs.observe import note_observation
from storage import servers
from storage.intents import Again, Claim, Done, Outcome
from storage.invoicing import metering
from storage.invoicing.metering import Down
from storage.servers import Server

STOP_SECONDS = 20.0  # a world is saved in far less; the process that stops us waits a little longer than this
NOW = timedelta(0)

# Work that must not be cut in the middle; each is bounded by its own timer.
SAFE_POINTS = frozenset({"provisioning", "backing_up", "restoring"})
NEVER_MADE = frozenset({"requested", "failed"})

STARTING = text(
    "SELECT count(*) FROM intents WHERE server_id = :server_id AND status = 'started' AND intent = ANY(:starts)"
)


def block_backups(context: Context, claim: Claim) -> Outcome:
    """Count what is stopped by the gates from here on: backups that were asked for and have not begun are not made."""
    waiting = text(
        "SELECT count(*) FROM intents WHERE account_id = :id AND status = 'open' AND intent LIKE '%backup%' "
        "AND kind = 'command'"
    )
    with context.database.begin() as conn:
        count = conn.execute(waiting, {"id": claim.account_id}).scalar_one()
    waiting_ones = f"; {count} that were asked for before are not made" if count else ""
    return Done(f"backups are denied from here on{waiting_ones}")


def suspend_customer_servers(context: Context, claim: Claim) -> Outcome:
    """Turn autostart off on every server, so that no reboot of a host brings one back."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    with context.database.begin() as conn:
        owned = servers.of_account(conn, claim.account_id)
    for server in owned:
        autostart_off(context, server)
    return Done(f"autostart is off on {len(owned)} servers")


def shutdown_suspended_server(context: Context, claim: Claim) -> Outcome:
    """Stop one server, and call it done once it was seen stopped and nothing is about to start it."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if server.lifecycle in SAFE_POINTS:
        return Again(MOMENT, f"it is {server.lifecycle}, which is not cut short", counts=False)
    try:
        autostart_off(context, server)
    except HostBusy:
        raise
    except HostError:
        # What runs is stopped all the same; then the error is told, and both are done again.
        stop_for_good(context, claim, server)
        raise
    return stop_for_good(context, claim, server)


def mark_server_retained(context: Context, claim: Claim) -> Outcome:
    """Make sure that a server that is kept is down and stays down."""
    return shutdown_suspended_server(context, claim)


def restore_access(context: Context, claim: Claim) -> Outcome:
    """Give one server back. INVARIANT: it is not started, and starts with no host: that is its owner's to do."""
    server = locked_server(context, claim.server_id)
    edge.catch_up(context, server)
    with context.database.begin() as conn:
        back = [Down(server.id, down=False)]
        metering.harmlessly(conn, f"server `{server.id}`", lambda: metering.suspensions(conn, back))
    return Done(f"`{server.name}` may be used again; it is {server.observed} and was not started")


def disable_autostart(context: Context, claim: Claim) -> Outcome:
    """Turn autostart off on a suspended server on which somebody or something turned it on."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    autostart_off(context, locked_server(context, claim.server_id))
    return Done("autostart is off")


def unless_wanted(context: Context, claim: Claim) -> Outcome | None:
    """Return how to end when the intent is no longer wanted: the next claim drops it, with its reason in the audit.

    Asked again right before acting, because a payment may have arrived since the claim.
    """
    verdict = still_wanted(context, claim)
    return None if verdict.ok else Again(NOW, verdict.reason, counts=False)


def autostart_off(context: Context, server: Server) -> None:
    """Keep the host from starting the server by itself. A server that the host does not know cannot start."""
    try:
        context.host(server.host).set_autostart(spec_of(server), on=False)
    except ServerMissing:
        return


def stop_for_good(context: Context, claim: Claim, server: Server) -> Outcome:
    """Stop the server and say what was seen."""
    seen = context.host(server.host).stop(spec_of(server), STOP_SECONDS)
    note_observation(context, server.id, server.lifecycle, seen)
    if not is_down(server, seen):
        return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
    with context.database.begin() as conn:
        if is_being_started(conn, claim, server):
            return Again(MOMENT, "a start that began before is still on its way", counts=False)
    return Done(f"observed {seen.observed}")


def is_down(server: Server, seen: Observation) -> bool:
    """Tell whether nothing of the server runs. A host that has lost a server that was made proves nothing."""
    return seen.observed == "stopped" or (seen.observed == "missing" and server.lifecycle in NEVER_MADE)


def is_being_started(conn: Connection, claim: Claim, server: Server) -> bool:
    """Tell whether a worker is in the middle of something that starts this server."""
    starts = [name for name, intent in claim.policy.intents.items() if intent.starts_servers]
    count: int = conn.execute(STARTING, {"server_id": server.id, "starts": starts}).scalar_one()
    return count > 0
