"""Announcements: what restricts the customer's accounts first, then what is planned, then what concerns everybody."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from storage import accounts, clock, policies
from web.announcements import everybody, planned
from web.pages.render import page
from web.pages.visitor import owner_of, people_only
from web.services import HttpRequest, TheServices
from web.told import Teller


@get("/announcements", guards=[people_only], sync_to_thread=True)
def show_announcements(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show everything that the customer should know now."""
    owner = owner_of(request)
    with services.database.begin() as conn:
        policy, zone = policies.in_force(conn), accounts.customer(conn, owner).zone
        found = Teller(conn, services.settings, policy).announcements(str(owner))
        found += planned(policy, clock.now(conn), zone) + everybody(conn)
    for each in found:
        each["since"] = datetime.fromisoformat(each["startsAt"]) if each["startsAt"] else None
    return page(request, "announcements.html", zone=zone, announcements=found)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_announcements,)
