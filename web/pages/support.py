"""The form to support, the tickets that were written by it, and what was written below each."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts, ticket_thread, tickets
from web import attachments
from web.inputs import query
from web.pages.forms import form_of, form_with_files
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem
from web.services import HttpRequest, PathId, Services, TheServices
from web.support import Asked, ask_support, file_of, of_caller, write_below

STATES = {"open": "we have it", "answered": "answered", "closed": "closed"}
ACCEPTED = ",".join(sorted({end for ends in attachments.KINDS.values() for end in ends}))


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
    given: dict[str, Any] = {"zone": zone, "accounts": mine, "tickets": found, "states": STATES, "form": shown}
    return page(request, "support.html", status=status, news=news, fault=fault, accepted=ACCEPTED, **given)


@post("/support", guards=[people_only])
async def ask(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Ask support, once however often the form is sent; what is wrong is said, and what was written stays."""
    sent = await form_with_files(request)
    form = dict(sent.fields)
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
            ticket = ask_support(request, services, asked, form["key"], sent.files)
        except Problem as problem:
            return _form(request, services, owner, form, fault=_said(problem), status=problem.status)
        return go_to(f"/support?sent={ticket.number}")

    return await services.in_thread(work)


def _said(problem: Problem) -> str:
    return problem.detail.replace("`subject`", "The subject").replace("`text`", "The message")


@get("/support/{number:str}", guards=[people_only], sync_to_thread=True)
def show_ticket(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Show a ticket, and the form to write below it."""
    return _ticket(request, services, number, {"key": str(uuid4())})


def _ticket(
    request: HttpRequest,
    services: Services,
    number: str,
    form: dict[str, str],
    *,
    fault: str = "",
    status: int = 200,
) -> Response[Any]:
    owner = owner_of(request)
    with services.database.begin() as conn:
        ticket = of_caller(conn, request, number)
        messages = ticket_thread.thread(conn, ticket)
        zone = accounts.customer(conn, owner).zone
    shown = {"text": "", **form}
    given: dict[str, Any] = {"zone": zone, "ticket": ticket, "messages": messages, "states": STATES, "form": shown}
    return page(request, "ticket.html", status=status, fault=fault, accepted=ACCEPTED, **given)


@post("/support/{number:str}", guards=[people_only])
async def answer(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Write below a ticket, once however often the form is sent."""
    sent = await form_with_files(request)
    form = dict(sent.fields)

    def work() -> Response[Any]:
        owner_of(request)
        form["key"] = form.get("key", "")[:100] or str(uuid4())
        try:
            ticket = write_below(request, services, number, form.get("text", ""), key=form["key"], files=sent.files)
        except Problem as problem:
            if problem.status == 404:
                raise
            return _ticket(request, services, number, form, fault=_said(problem), status=problem.status)
        return go_to(f"/support/{ticket.number}#last")

    return await services.in_thread(work)


@post("/support/{number:str}/close", guards=[people_only])
async def close(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Close a ticket of one's own."""
    await form_of(request)

    def work() -> Response[Any]:
        owner_of(request)
        with services.database.begin() as conn:
            ticket = of_caller(conn, request, number)
            ticket_thread.move(conn, ticket.id, "closed")
        return go_to(f"/support/{ticket.number}")

    return await services.in_thread(work)


@get("/support/{number:str}/files/{file_id:str}", guards=[people_only], sync_to_thread=True)
def download_file(request: HttpRequest, services: TheServices, number: PathId, file_id: PathId) -> Response[bytes]:
    """Download a file of a ticket."""
    owner_of(request)
    return file_of(request, services, number, file_id)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_support, ask, show_ticket, answer, close, download_file)
