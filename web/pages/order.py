"""Ordering a server in the browser: the same function as the API's, with the order's key in the form."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts, operations
from web.gates import find
from web.instances import Order, order_server
from web.pages.forms import form_of
from web.pages.looks import SERVER_KINDS
from web.pages.render import go_to, page
from web.pages.server import why_not
from web.pages.visitor import owner_of, people_only
from web.problems import Problem, bad_input
from web.services import HttpRequest, Services, TheServices

GATE = "instance.create"


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
    status: int = 200,
) -> Response[Any]:
    with services.database.begin() as conn:
        mine = accounts.accounts_of(conn, owner)
        shown = []
        for each in mine:
            there = find(conn, request.state.caller, account_id=str(each.id))
            shown.append((each, why_not(conn, request, there, GATE)))
    return page(
        request, "order.html", status=status, accounts=shown, kinds=SERVER_KINDS, order_key=key, fault=fault, name=name
    )


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


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_order, order)
