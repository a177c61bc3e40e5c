"""What customers ask people for: a tenant, or that a paused one goes on; approved or refused at the desk."""

from __future__ import annotations

from typing import Any

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from storage import accounts, requests
from web.auth import Caller
from web.pages.desk_words import deed
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices
from web.tenant_requests import Approval, Refusal, approve, refuse

BACK = "/admin/review#requests"


def waiting(conn: Connection, limit: int) -> list[dict[str, Any]]:
    """Return the open requests, oldest first, each with the accounts where a new tenant can go."""
    found = requests.waiting(conn, limit)
    askers = {each.request.customer_id for each in found if each.request.kind == "provision"}
    places = {customer: accounts.accounts_of(conn, customer) for customer in askers}
    return [{"by": each, "asked": each.request, "places": places.get(each.request.customer_id, [])} for each in found]


@post("/admin/requests/{request_id:str}/approve", guards=[admins_only])
async def approve_request(request: HttpRequest, services: TheServices, request_id: PathId) -> Response[Any]:
    """Approve what a customer asks for. Account and plan are chosen as the API chooses where the form says neither."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wish = Approval(form.get("account") or None, form.get("plan") or None, form.get("reason", "").strip())

    def work() -> str:
        found = approve(services, caller, request_id, wish)
        if found.kind == "resume":
            return f"{found.name} goes on. Its owner starts it."
        return f"{found.name} is ordered."

    return await services.in_thread(deed, request, BACK, work)


@post("/admin/requests/{request_id:str}/refuse", guards=[admins_only])
async def refuse_request(request: HttpRequest, services: TheServices, request_id: PathId) -> Response[Any]:
    """Refuse what a customer asks for, and say why."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    reason = form.get("reason", "").strip()

    def work() -> str:
        if not reason:
            raise bad_input("Say why: the customer reads it.", field="reason")
        found = refuse(services, caller, request_id, Refusal(reason))
        return f"{found.name} was refused. Its customer reads why."

    return await services.in_thread(deed, request, BACK, work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (approve_request, refuse_request)
