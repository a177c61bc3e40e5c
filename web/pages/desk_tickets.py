"""Tickets at the desk: those that wait, one with how its customer stands now, and the answer. Nothing else acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.model import Policy
from storage import accounts, clock, gather, intents, operations, policies, ticket_thread, tickets
from storage.accounts import AccountView
from storage.intents import IntentRow
from storage.operations import Operation
from storage.ticket_thread import Reply
from storage.tickets import Ticket
from web import attachments
from web.auth import Caller
from web.inputs import bounded_query, identifier, paragraphs
from web.pages.desk import moved
from web.pages.desk_words import Coming, coming, deed, desk
from web.pages.forms import form_of, form_with_files
from web.pages.support import ACCEPTED
from web.pages.visitor import admins_only
from web.problems import Problem, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices
from web.support import TEXT_CHARACTERS

STATES = ("open", "answered", "closed")
SHOWN = 100
LATELY = 5


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """How one account of whoever wrote stands now: read, never changed, by looking at a ticket."""

    view: AccountView
    rungs: tuple[str, ...]
    next: Coming
    notices: list[IntentRow]
    operations: list[tuple[str, Operation]]
    """With the name of its server."""


@get("/admin/tickets", guards=[admins_only], sync_to_thread=True)
def show_tickets(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the tickets in a state: of open ones, whoever has waited longest first."""
    asked = bounded_query(request, "state", 10)
    state = asked if asked in STATES else STATES[0]
    with services.database.begin() as conn:
        now = clock.now(conn)
        found, counts = tickets.listed(conn, state, SHOWN), tickets.counts(conn)
    return desk(
        request, "desk_tickets.html", now, tickets=found, counts=counts, states=STATES, state=state, shown=SHOWN
    )


@get("/admin/tickets/{number:str}", guards=[admins_only], sync_to_thread=True)
def show_ticket(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Show a ticket: what was written, how it stood then, and how it stands now."""
    return _page(request, services, number)


def _page(
    request: HttpRequest, services: Services, number: str, *, text: str = "", fault: str = "", status: int = 200
) -> Response[Any]:
    with services.database.begin() as conn:
        ticket = _ticket(conn, number)
        policy, now = policies.in_force(conn), clock.now(conn)
        views = accounts.accounts_of(conn, ticket.customer_id)
        given = {
            "ticket": ticket,
            "customer": accounts.customer(conn, ticket.customer_id),
            "messages": ticket_thread.thread(conn, ticket),
            "diagnoses": [_diagnosis(conn, services, policy, view) for view in views],
        }
    form = {"key": str(uuid4()), "text": text}
    return desk(request, "desk_ticket.html", now, status=status, form=form, fault=fault, accepted=ACCEPTED, **given)


@post("/admin/tickets/{number:str}", guards=[admins_only])
async def answer(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Answer a ticket: the customer is written to, once however often the form is sent. What is refused stays there."""
    sent = await form_with_files(request)
    caller: Caller = request.state.caller

    def send() -> str:
        words = paragraphs(sent.fields.get("text", ""), "text", TEXT_CHARACTERS)
        kept = attachments.checked(sent.files)
        key, closes = sent.fields.get("key", "")[:100] or str(uuid4()), sent.fields.get("closes") == "1"
        reply = Reply("support", caller.actor, words, key, kept, closes)
        with services.database.begin() as conn:
            is_new = ticket_thread.write(conn, _ticket(conn, number), reply, services.settings)
        return "The answer is on its way by mail." if is_new else "This answer was sent already."

    def work() -> Response[Any]:
        try:
            done = send()
        except Problem as problem:
            if problem.status == 404:
                raise
            text = sent.fields.get("text", "")
            return _page(request, services, number, text=text, fault=problem.detail, status=problem.status)
        return deed(request, f"/admin/tickets/{number}", lambda: done)

    return await services.in_thread(work)


@post("/admin/tickets/{number:str}/close", guards=[admins_only])
async def close(request: HttpRequest, services: TheServices, number: PathId) -> Response[Any]:
    """Close a ticket without another word."""
    await form_of(request)

    def work() -> str:
        with services.database.begin() as conn:
            ticket_thread.move(conn, _ticket(conn, number).id, "closed")
        return "It is closed. The customer opens it again by writing."

    return await services.in_thread(deed, request, f"/admin/tickets/{number}", work)


@get("/admin/tickets/{number:str}/files/{file_id:str}", guards=[admins_only], sync_to_thread=True)
def download_file(services: TheServices, number: PathId, file_id: PathId) -> Response[bytes]:
    """Download a file of a ticket."""
    wanted = UUID(identifier(file_id, "file"))
    with services.database.begin() as conn:
        return attachments.sent(conn, _ticket(conn, number).id, wanted)


def _ticket(conn: Connection, number: str) -> Ticket:
    ticket = tickets.by_number(conn, number[:40])
    if ticket is None:
        raise nothing_here("ticket")
    return ticket


def _diagnosis(conn: Connection, services: Services, policy: Policy, view: AccountView) -> Diagnosis:
    snapshot = gather.snapshots(conn, policy, [view.id], services.world)[view.id]
    asked = intents.listed(conn, account_id=view.id)
    lately = [(server.name, each) for server in view.servers for each in operations.of_server(conn, server.id, LATELY)]
    lately.sort(key=lambda pair: pair[1].created_at, reverse=True)
    return Diagnosis(
        view,
        moved(policy, view.states),
        coming(policy, snapshot, clock.now(conn)),
        [each for each in asked if each.is_notice][:LATELY],
        lately[:LATELY],
    )


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_tickets, show_ticket, answer, close, download_file)
