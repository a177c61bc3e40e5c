"""What customers choose for themselves: the zone in which dates are told to them. Letters are in `ways`."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts
from web.inputs import zone_name
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem
from web.services import HttpRequest, Services, TheServices


@get("/settings", guards=[people_only], sync_to_thread=True)
def show_settings(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the form."""
    return _form(request, services)


def _form(request: HttpRequest, services: Services, *, wish: str | None = None, fault: str = "") -> Response[Any]:
    with services.database.begin() as conn:
        customer = accounts.customer(conn, owner_of(request))
    return page(
        request,
        "settings.html",
        status=400 if fault else 200,
        zone=customer.zone,
        customer=customer,
        wish=customer.zone if wish is None else wish,
        fault=fault,
    )


@post("/settings", guards=[people_only])
async def keep_settings(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Keep what was chosen. It changes how dates are written, and none of them."""
    form = await form_of(request)
    owner, wish = owner_of(request), form.get("zone", "").strip()

    def keep() -> Response[Any]:
        try:
            zone = zone_name(wish)
        except Problem as problem:
            return _form(request, services, wish=wish[:60], fault=problem.detail.replace("`zone`", "The time zone"))
        with services.database.begin() as conn:
            accounts.live_in(conn, owner, zone)
        return go_to("/")

    return await services.in_thread(keep)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_settings, keep_settings)
