"""A server's page: how it stands, what can be done with it, and why not where it cannot."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine import alone
from storage import operations, requests
from storage.invoicing import metering
from web.auth import Caller
from web.gates import Permitted, find, refusal
from web.pages.forms import form_of
from web.pages.looks import KINDS, heading, look_of, steps_of
from web.pages.render import go_to, page
from web.pages.visitor import people_only
from web.problems import nothing_here
from web.servers import wish
from web.services import HttpRequest, PathId, Services, TheServices
from web.tenants import WISH, is_paused
from web.told import Teller

BUTTONS = (("start", "Start", "host.start"), ("restart", "Restart", "host.restart"), ("stop", "Stop", "host.stop"))
PARTING = (("reinstall", "host.reinstall"), ("delete", "server.delete"))
SHOWN_OPERATIONS = 5
# In these a command would change nothing, or the host is busy with the server. Value: the sentence under the button.
POINTLESS = {
    ("start", "running"): "It runs already.",
    ("start", "starting"): "It is starting already.",
    ("stop", "stopped"): "It is stopped already.",
    ("stop", "stopping"): "It is stopping already.",
}
BUSY = "Wait until what is under way has ended."
BUSY_STATES = frozenset({"requested", "provisioning", "backing_up", "restoring", "deleting", "destroying"})


def theirs(conn: Connection, request: HttpRequest, server_id: str) -> Permitted:
    """Return a server of the visitor's. Raises the 404, also for one that is gone."""
    there = find(conn, request.state.caller, server_id=server_id)
    assert there.server is not None
    if there.server["lifecycle"] == "deleted":
        raise nothing_here("server")
    return there


def why_not(conn: Connection, request: HttpRequest, there: Permitted, action: str) -> str:
    """Return why billing says no to an action, in words for the customer; empty: it does not."""
    services: Services = request.app.state.services
    caller: Caller = request.state.caller
    problem = refusal(conn, services, caller, there, action)
    return "" if problem is None else problem.detail


def shell(conn: Connection, request: HttpRequest, there: Permitted) -> dict[str, Any]:
    """Return what every page of a server shows: the server, how it looks, and the account's words."""
    services: Services = request.app.state.services
    assert there.server is not None
    told = Teller(conn, services.settings, there.policy).account(there.account)
    look = look_of(there.server, there.account, told)
    return {
        "server": there.server,
        "base": f"/servers/{there.server['id']}",
        "account": there.account,
        "look": look,
        "told": told,
        "heading": heading(
            there.account["billing_status"],
            there.account["server_billing_state"],
            there.account["server_billing_machine"],
            told,
        ),
        "zone": there.account["zone"],
        "waits": look.is_under_way,
    }


@get("/servers/{server_id:str}", opt={"shows_verdicts": True}, guards=[people_only], sync_to_thread=True)
def show_server(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Show how a server stands."""
    with services.database.begin() as conn:
        there = theirs(conn, request, server_id)
        shown = shell(conn, request, there)
        buttons = [_button(conn, request, there, button) for button in BUTTONS]
        parting = {each: why_not(conn, request, there, gate) for each, gate in PARTING}
        pausing = _pausing(conn, request, there, is_suspended=shown["look"].is_suspended)
        recent = operations.of_server(conn, UUID(server_id), SHOWN_OPERATIONS)
    reasons: dict[str, list[str]] = {}  # each once, with the buttons that it blocks
    for each in buttons:
        if each["reason"]:
            reasons.setdefault(each["reason"], []).append(each["words"])
    shown |= {"parting": parting, "pausing": pausing}
    places = {reason: str(place) for place, reason in enumerate(reasons, 1)}
    shown["buttons"] = [{**each, "why": places.get(each["reason"], "")} for each in buttons]
    shown["reasons"] = reasons
    newest = recent[0] if recent else None
    making = newest if newest is not None and newest.kind == "create_server" and newest.state != "succeeded" else None
    shown["steps"] = steps_of(making) if making is not None else []
    shown["operations"] = [(KINDS.get(each.kind, each.kind.replace("_", " ")), each) for each in recent]
    shown["waits"] = shown["waits"] or any(each.state in {"queued", "in_progress"} for each in recent)
    return page(request, "server.html", **shown)


def _pausing(conn: Connection, request: HttpRequest, there: Permitted, *, is_suspended: bool) -> dict[str, Any]:
    """Return whether its owner can pause it or has, and the newest request that it goes on."""
    assert there.server is not None
    caller: Caller = request.state.caller
    server_id, paused = there.server["id"], is_paused(there.account["states"])
    rests = there.server["lifecycle"] not in BUSY_STATES and caller.customer_id is not None
    return {
        "is_paused": paused and rests,
        "may_pause": rests
        and not is_suspended
        and alone.knows(there.policy, WISH)
        and bool(metering.listed(conn, server_id=server_id)),
        "asked": requests.latest_to_resume(conn, server_id) if paused else None,
    }


def _button(conn: Connection, request: HttpRequest, there: Permitted, button: tuple[str, str, str]) -> dict[str, str]:
    """Return one button, and why it is blocked: billing first, then what the server is doing."""
    assert there.server is not None
    (verb, words, action), lifecycle = button, there.server["lifecycle"]
    reason = why_not(conn, request, there, action) or POINTLESS.get((verb, lifecycle), "")
    if not reason and lifecycle in BUSY_STATES:
        reason = BUSY
    return {"verb": verb, "words": words, "reason": reason}


def _commands() -> list[HTTPRouteHandler]:
    """Make the three routes behind the buttons, by the same path as the API's."""

    def made(verb: str, gate: str) -> HTTPRouteHandler:
        @post(f"/servers/{{server_id:str}}/{verb}", name=f"page_{verb}", opt={"gate": gate}, guards=[people_only])
        async def command(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
            await form_of(request)
            await services.in_thread(wish, request, services, server_id, kind=None)
            return go_to(f"/servers/{server_id}")

        return command

    return [made(verb, gate) for verb, _, gate in BUTTONS]


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_server, *_commands())
