"""Starting and stopping servers for people, for the lifecycle and for repairs."""

from __future__ import annotations

from jobs.actions.delays import delay
from jobs.actions.enforcement import STOP_SECONDS, autostart_off, is_down, unless_wanted
from jobs.actions.targets import locked_server, may_run, spec_of
from jobs.context import Context
from jobs.observe import note_observation
from storage.intents import Again, Claim, Done, Outcome
from storage.servers import Server


def start_server(context: Context, claim: Claim) -> Outcome:
    """Start a server that may run and should."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if not may_run(server):
        return Done("not started: it is wanted stopped by now")
    return bring_up(context, claim, server)


def restart_server(context: Context, claim: Claim) -> Outcome:
    """Stop a server, see it stopped, and start it again."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    if not may_run(server):
        return Done("not restarted: it is wanted stopped by now")
    seen = context.host(server.host).stop(spec_of(server), STOP_SECONDS)
    if not is_down(server, seen):
        return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
    return bring_up(context, claim, server)


def stop_server(context: Context, claim: Claim) -> Outcome:
    """Stop a server that should not run."""
    server = locked_server(context, claim.server_id)
    if server.desired == "running":
        return Done("not stopped: it is wanted running by now")
    autostart_off(context, server)
    seen = context.host(server.host).stop(spec_of(server), STOP_SECONDS)
    note_observation(context, server.id, server.lifecycle, seen)
    if not is_down(server, seen):
        return Again(delay(claim), f"it was told to stop and is {seen.observed}: {seen.detail}")
    return Done(f"observed {seen.observed}")


def force_stop_server(context: Context, claim: Claim) -> Outcome:
    """End a server at once that did not stop in its time."""
    server = locked_server(context, claim.server_id)
    if server.desired == "running":
        return Done("not stopped: it is wanted running by now")
    seen = context.host(server.host).kill(spec_of(server))
    note_observation(context, server.id, server.lifecycle, seen)
    if not is_down(server, seen):
        return Again(delay(claim), f"it was ended by force and is {seen.observed}: {seen.detail}")
    return Done(f"observed {seen.observed}")


def bring_up(context: Context, claim: Claim, server: Server) -> Outcome:
    """Start the server, and look again: a start that lost the race with a suspension or a stop is undone at once.

    INVARIANT: whichever of the two commits last sees the other: the suspension's shutdown waits for starts under way,
    and a start that ends reads the account behind every decision.
    """
    host = context.host(server.host)
    seen = host.start(spec_of(server))
    if seen.observed == "running":
        host.set_autostart(spec_of(server), on=True)
    after = locked_server(context, server.id)
    if not may_run(after):
        autostart_off(context, server)
        seen = host.stop(spec_of(server), STOP_SECONDS)
        note_observation(context, server.id, server.lifecycle, seen)
        if not is_down(server, seen):
            return Again(delay(claim), f"it must not run any more, and is {seen.observed}")
        return Done(f"stopped again at once: it is {after.server_billing_state} and wanted {after.desired}")
    note_observation(context, server.id, server.lifecycle, seen)
    if seen.observed != "running":
        return Again(delay(claim), f"it was started and is {seen.observed}: {seen.detail}")
    return Done("observed running")
