"""Ordering a server in the browser, or asking a person for one: the same functions as the API's.

Asking is for those whom billing by card does not know: who pays by invoice, or has no plan to order by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts, operations, requests
from storage.errors import AlreadyTaken
from storage.invoicing import organisations
from web.gates import find
from web.instances import Order, order_server
from web.pages.forms import form_of
from web.pages.looks import SERVER_KINDS
from web.pages.render import go_to, page
from web.pages.server import why_not
from web.pages.visitor import owner_of, people_only
from web.problems import Problem, bad_input
from web.services import HttpRequest, Services, TheServices
from web.tenant_requests import STATES, TenantWish, ask_to_provision

GATE = "instance.create"
SHOWN_REQUESTS = 20
# Value: the sentence for the one who asks.
REFUSED = {"NAME_TAKEN": "A server has this name, or had it once. Choose another one."}
ASKED = "You have asked for a server of this name already. A person decides."


@get("/order", guards=[people_only], sync_to_thread=True)
def show_order(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the form, and for each account why it cannot order now, if so."""
    return _form(request, services, owner_of(request), str(uuid4()))


def _form(
    request: HttpRequest,
    services: Services,
    owner: UUID,
    key: str,
    *,
    fault: str = "",
    name: str = "",
    wish: Mapping[str, str] | None = None,
    wish_fault: str = "",
    status: int = 200,
) -> Response[Any]:
    with services.database.begin() as conn:
        mine = accounts.accounts_of(conn, owner)
        shown = []
        for each in mine:
            there = find(conn, request.state.caller, account_id=str(each.id))
            shown.append((each, why_not(conn, request, there, GATE)))
        can_order = any(each.has_active_plan or not why for each, why in shown)
        asks = not can_order or organisations.get(conn, owner).pay_by_invoice
        asked = requests.listed(conn, customer_id=owner, states=STATES, newest_first=True, limit=SHOWN_REQUESTS)
        zone = accounts.customer(conn, owner).zone
    given: dict[str, Any] = {"accounts": shown, "kinds": SERVER_KINDS, "order_key": key, "fault": fault, "name": name}
    told = {"name": "", "kind": "", "reason": "", **(wish or {})}
    given |= {"asks": asks, "asked": asked, "wish": told, "wish_fault": wish_fault, "zone": zone}
    return page(request, "order.html", status=status, **given)


@post("/order", opt={"gate": GATE}, guards=[people_only])
async def order(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Order a server, once however often the form is sent; what is wrong is said above the form."""
    form = await form_of(request)
    owner, key = owner_of(request), form.get("key", "")[:100]

    def place() -> Response[Any]:
        kind = form.get("kind", "")
        if kind not in SERVER_KINDS or not key:
            raise bad_input("The form was not whole. Open it again.")
        wish = Order(name=form.get("name", ""), kind=kind, account_id=form.get("account", ""))  # type: ignore[arg-type]
        try:
            operation_id = order_server(request, services, wish, key)
        except Problem as problem:
            if problem.status == 404:
                raise
            words = problem.detail.replace("`name`", "The name")
            return _form(
                request, services, owner, key, fault=words, name=form.get("name", "")[:200], status=problem.status
            )
        with services.database.begin() as conn:
            made = operations.get(conn, operation_id).server_id
        return go_to(f"/servers/{made}" if made else "/")

    return await services.in_thread(place)


@post("/requests", guards=[people_only])
async def ask_for_server(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Ask a person for a server; what is wrong is said above the form, and what was written stays."""
    form = await form_of(request)
    owner, kind = owner_of(request), form.get("kind", "")
    told = {name: form.get(name, "")[:1000] for name in ("name", "kind", "reason")}

    def work() -> Response[Any]:
        if kind not in SERVER_KINDS:
            raise bad_input("The form was not whole. Open it again.")
        wish = TenantWish("provision", form.get("name", ""), kind, reason=form.get("reason", "").strip())  # type: ignore[arg-type]
        try:
            services.database.transact("the request", lambda conn: ask_to_provision(conn, request.state.caller, wish))
        except AlreadyTaken:
            fault, status = ASKED, 409
        except Problem as problem:
            fault, status = REFUSED.get(problem.code, problem.detail), problem.status
        else:
            return go_to("/order#asked")
        fault = fault.replace("`name`", "The name").replace("`reason`", "What it is for")
        return _form(request, services, owner, str(uuid4()), wish=told, wish_fault=fault, status=status)

    return await services.in_thread(work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_order, order, ask_for_server)
