"""The form to support, and the tickets that were written by it."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts, tickets
from web.inputs import query
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem
from web.services import HttpRequest, Services, TheServices
from web.support import Asked, ask_support

STATES = {"open": "we have it", "answered": "answered", "closed": "closed"}


@get("/support", guards=[people_only], sync_to_thread=True)
def show_support(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the form, and what was asked before; after asking, the number."""
    return _form(request, services, owner_of(request), {"key": str(uuid4())}, sent=query(request, "sent", ""))


def _form(
    request: HttpRequest,
    services: Services,
    owner: UUID,
    form: dict[str, str],
    *,
    fault: str = "",
    sent: str = "",
    status: int = 200,
) -> Response[Any]:
    with services.database.begin() as conn:
        mine, zone = accounts.accounts_of(conn, owner), accounts.customer(conn, owner).zone
        found = tickets.of_customer(conn, owner)
    shown = {"subject": "", "text": "", "about": "", **form}
    news = next((each.number for each in found if each.number == sent), "")
    given = {"zone": zone, "accounts": mine, "tickets": found, "states": STATES, "form": shown, "fault": fault}
    return page(request, "support.html", status=status, news=news, **given)


@post("/support", guards=[people_only])
async def ask(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Ask support, once however often the form is sent; what is wrong is said, and what was written stays."""
    form = dict(await form_of(request))
    owner = owner_of(request)

    def work() -> Response[Any]:
        kind, _, about = form.get("about", "").partition(":")
        asked = Asked(
            subject=form.get("subject", ""),
            text=form.get("text", ""),
            account_id=about if kind == "account" else None,
            server_id=about if kind == "server" else None,
        )
        form["key"] = form.get("key", "")[:100] or str(uuid4())
        try:
            ticket = ask_support(request, services, asked, form["key"])
        except Problem as problem:
            words = problem.detail.replace("`subject`", "The subject").replace("`text`", "The message")
            return _form(request, services, owner, form, fault=words, status=problem.status)
        return go_to(f"/support?sent={ticket.number}")

    return await services.in_thread(work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_support, ask)
