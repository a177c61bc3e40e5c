"""A server paused at its owner's wish, in the browser, and their request that it goes on, which a person decides."""

from __future__ import annotations

from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from storage.intents_outbox import Outbox
from web.gates import Permitted, locked
from web.inputs import given_reason
from web.pages.forms import form_of
from web.pages.render import go_to
from web.pages.server import theirs
from web.pages.visitor import owner_of, people_only
from web.problems import conflict
from web.services import HttpRequest, PathId, TheServices
from web.tenant_requests import TenantWish, ask_to_resume
from web.tenants import is_paused, named, suspend


# Whoever may stop a server may pause it: the same gate.
@post("/servers/{server_id:str}/pause", opt={"gate": "host.stop"}, guards=[people_only])
async def pause_server(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Pause this server alone: it is stopped, and goes on once a person has approved it."""
    form = await form_of(request)
    owner_of(request)

    def write(conn: Connection, _: Permitted) -> tuple[Outbox, ...]:
        tenant, reason = named(conn, request.state.caller, server_id), given_reason(form.get("reason", "").strip())
        return suspend(conn, services, request.state.caller, tenant.server_id, reason).intents

    def work() -> None:
        services.wake(locked(request, write, server_id=server_id))

    await services.in_thread(work)
    return go_to(f"/servers/{server_id}")


@post("/requests/{server_id:str}", guards=[people_only])
async def ask_to_go_on(request: HttpRequest, services: TheServices, server_id: PathId) -> Response[Any]:
    """Ask for a paused server to go on. No gate: what is stopped is what it is asked for."""
    form = await form_of(request)
    owner_of(request)
    wish = TenantWish(kind="resume", name=server_id, reason=form.get("reason", "").strip())

    def write(conn: Connection) -> None:
        there = theirs(conn, request, server_id)
        if not is_paused(there.account["states"]):
            raise conflict("NOTHING_TO_RESUME", "This server is not paused. There is nothing to ask for.")
        ask_to_resume(conn, request.state.caller, wish)

    await services.in_thread(services.database.transact, "the request", write)
    return go_to(f"/servers/{server_id}")


HANDLERS: tuple[HTTPRouteHandler, ...] = (pause_server, ask_to_go_on)
