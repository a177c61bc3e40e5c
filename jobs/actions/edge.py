"""Publishing again what leads to a server, taking it back, and moving it to the hold page where the policy says so."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model import STOPPED_BILLING_STATES
from jobs.actions.delays import delay
from jobs.actions.enforcement import unless_wanted
from jobs.actions.targets import locked_server
from jobs.context import Context
from jobs.edge.base import Driver, EdgeMisconfigured, EdgeTaken, EdgeUnavailable
from jobs.edge.publication import hold, put_up, take_down
from storage.edge import LIVING
from storage.intents import Again, Claim, Done, GiveUp, Outcome


def edge_republish(context: Context, claim: Claim) -> Outcome:
    """Publish a server's names and its registration at the proxy again."""
    return _republish(context, claim, context.edge.drivers)


def dns_republish(context: Context, claim: Claim) -> Outcome:
    """Publish a server's names again."""
    return _republish(context, claim, [driver for driver in (context.edge.dns,) if driver is not None])


def velocity_reregister(context: Context, claim: Claim) -> Outcome:
    """Register a server at the proxy again."""
    return _republish(context, claim, [driver for driver in (context.edge.proxy,) if driver is not None])


def withdraw_edge(context: Context, claim: Claim) -> Outcome:
    """Take back what leads to a server that its owner has deleted. INVARIANT: of no other, whoever asks."""
    server = locked_server(context, claim.server_id)
    try:
        gone = take_down(context, server)
    except EdgeUnavailable as error:
        return Again(delay(claim), str(error))
    except (EdgeTaken, EdgeMisconfigured) as error:
        return GiveUp(str(error))
    if not gone:
        return GiveUp(f"`{server.name}` was not deleted by its owner; what leads to it stays")
    return Done("nothing of ours leads there any more")


def move_edge_to_hold_page(context: Context, claim: Claim) -> Outcome:
    """Let what leads to a suspended server lead to the page that says so, until it is given back."""
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    try:
        held = hold(context, server)
    except EdgeUnavailable as error:
        return Again(delay(claim), str(error))
    except (EdgeTaken, EdgeMisconfigured) as error:
        return GiveUp(str(error))
    return Done("what leads there leads to the hold page" if held else "nothing leads there that could be moved")


def _republish(context: Context, claim: Claim, drivers: Sequence[Driver]) -> Outcome:
    if lapsed := unless_wanted(context, claim):
        return lapsed
    server = locked_server(context, claim.server_id)
    # INVARIANT: whatever the policy lists, a suspended server is not published
    if server.server_billing_state in STOPPED_BILLING_STATES:
        return GiveUp(f"it is {server.server_billing_state}, and is not published before that is lifted")
    if server.lifecycle not in LIVING and server.lifecycle != "provisioning":
        return GiveUp(f"it is {server.lifecycle}")
    try:
        stands = put_up(context, server, drivers)
    except EdgeUnavailable as error:
        return Again(delay(claim), str(error))
    except (EdgeTaken, EdgeMisconfigured) as error:
        return GiveUp(str(error))
    return Done("published") if stands else GiveUp("there is nothing to publish, or its owner has deleted it")
