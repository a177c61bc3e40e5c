"""Questions to support: taken with how the account stands, and what is written below. The text triggers nothing."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, Router, get, post
from litestar.params import RawBody
from sqlalchemy import Connection

from storage import accounts, intents, logins, operations, ticket_thread, tickets
from storage.ticket_thread import MOST_KEPT_BYTES, Attachment, Reply
from storage.tickets import Question, Ticket
from web import attachments
from web.attachments import Attached
from web.auth import Caller, signed_in
from web.gates import Permitted, find
from web.inputs import Input, decode, idempotency_key, identifier, identifier_field, line, paragraphs
from web.problems import Problem, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices
from web.told import Teller
from web.wire import instant

WITHIN = timedelta(hours=1)
MOST = 20
TEXT_CHARACTERS = 10_000
SHOWN = 5
CUSTOMERS_ONLY = "Only customers ask support here; sign in as one."
SLOW_DOWN = "You have written to us many times within an hour. We have those messages; wait a little before the next."
TOO_MUCH = "You have sent us as many files as we keep. Write without one; we say how to get it to us."


class Asked(Input):
    """A question to support, about an account or a server where one is named; `files` are pictures, PDF or text."""

    subject: str
    text: str
    account_id: str | None = None
    server_id: str | None = None
    files: list[Attached] = msgspec.field(default_factory=list)


class TicketMessage(Input):
    """What is written below a ticket."""

    text: str
    files: list[Attached] = msgspec.field(default_factory=list)


# ---- the API ---------------------------------------------------------------------------------------------------------


@post("/create", opt={"takes": Asked}, status_code=201, sync_to_thread=True)
def create_ticket(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Ask support. It is acknowledged by mail; the same Idempotency-Key is the same ticket."""
    asked = decode(Asked, body)
    ticket = ask_support(request, services, asked, _key(request), attachments.decoded(asked.files))
    return {"ticketId": str(ticket.id), "ticketNumber": ticket.number}


@get("/tickets", sync_to_thread=True)
def list_tickets(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List the caller's tickets, newest first."""
    owner = _owner(request)
    with services.database.begin() as conn:
        return [_shown(each) for each in tickets.of_customer(conn, owner)]


@get("/tickets/{number:str}", sync_to_thread=True)
def show_ticket(request: HttpRequest, services: TheServices, number: PathId) -> dict[str, Any]:
    """Show one of the caller's tickets with all that was written."""
    with services.database.begin() as conn:
        ticket = of_caller(conn, request, number)
        messages = [
            {
                "author": each.author,
                "text": each.text,
                "at": instant(each.created_at),
                "files": [
                    {"fileId": str(one.id), "name": one.name, "type": one.media_type, "sizeBytes": one.size_bytes}
                    for one in each.files
                ],
            }
            for each in ticket_thread.thread(conn, ticket)
        ]
    return {**_shown(ticket), "messages": messages}


@post("/tickets/{number:str}/messages", opt={"takes": TicketMessage}, status_code=201, sync_to_thread=True)
def add_message(request: HttpRequest, services: TheServices, number: PathId, body: RawBody) -> dict[str, Any]:
    """Write below one of the caller's tickets; the same Idempotency-Key is the same message. It opens a closed one."""
    wish = decode(TicketMessage, body)
    files = attachments.decoded(wish.files)
    return _shown(write_below(request, services, number, wish.text, key=_key(request), files=files))


@get("/tickets/{number:str}/files/{file_id:str}", sync_to_thread=True)
def download(request: HttpRequest, services: TheServices, number: PathId, file_id: PathId) -> Response[bytes]:
    """Download a file of one of the caller's tickets."""
    return file_of(request, services, number, file_id)


def _key(request: HttpRequest) -> str:
    return idempotency_key(request) if "idempotency-key" in request.headers else secrets.token_hex(16)


def _shown(ticket: Ticket) -> dict[str, Any]:
    return {
        "ticketId": str(ticket.id),
        "ticketNumber": ticket.number,
        "subject": ticket.subject,
        "state": ticket.state,
        "createdAt": instant(ticket.created_at),
        "changedAt": instant(ticket.changed_at),
    }


# ---- what pages and the API share ------------------------------------------------------------------------------------


def ask_support(
    request: HttpRequest, services: Services, asked: Asked, key: str, files: Sequence[tuple[str, bytes]] = ()
) -> Ticket:
    """Open a ticket for the caller. Raises the 400, 403, 404, 413 or 429."""
    caller, owner = _caller(request), _owner(request)
    subject, words = line(asked.subject, "subject"), paragraphs(asked.text, "text", TEXT_CHARACTERS)
    kept = attachments.checked(files)
    _slowly(services, owner)
    with services.database.begin() as conn:
        there = _about(conn, caller, asked)
        account_id = None if there is None else there.account["id"]
        server_id = None if there is None or there.server is None else there.server["id"]
        question = Question(subject, words, key, account_id, server_id)
        customer = accounts.customer(conn, owner)
        _room_for(conn, owner, kept)
        context, settings = _context(conn, services, there), services.settings
        ticket, is_new = tickets.open_ticket(conn, customer, question, context, settings.ticket_prefix)
        if is_new:
            ticket_thread.attach(conn, ticket.id, kept)
            ticket_thread.tell_support(conn, ticket, str(ticket.id), words, settings)
    return ticket


def write_below(
    request: HttpRequest,
    services: Services,
    number: str,
    words: str,
    *,
    key: str,
    files: Sequence[tuple[str, bytes]] = (),
) -> Ticket:
    """Write below one of the caller's tickets; return it as it is then. Raises the 400, 403, 404, 413 or 429."""
    caller, owner = _caller(request), _owner(request)
    said, kept = paragraphs(words, "text", TEXT_CHARACTERS), attachments.checked(files)
    with services.database.begin() as conn:
        of_caller(conn, request, number)
    _slowly(services, owner)
    with services.database.begin() as conn:
        ticket = of_caller(conn, request, number)
        _room_for(conn, owner, kept)
        reply = Reply("customer", caller.actor, said, key, kept)
        ticket_thread.write(conn, ticket, reply, services.settings)
        return of_caller(conn, request, number)


def file_of(request: HttpRequest, services: Services, number: str, file_id: str) -> Response[bytes]:
    """Send a file of one of the caller's tickets. Raises the 404."""
    wanted = UUID(identifier(file_id, "file"))
    with services.database.begin() as conn:
        return attachments.sent(conn, of_caller(conn, request, number).id, wanted)


def of_caller(conn: Connection, request: HttpRequest, number: str) -> Ticket:
    """Return one of the caller's tickets. Raises the 403 and the 404."""
    ticket = tickets.by_number(conn, number[:40], _owner(request))
    if ticket is None:
        raise nothing_here("ticket")
    return ticket


def _caller(request: HttpRequest) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _owner(request: HttpRequest) -> UUID:
    caller = _caller(request)
    if caller.customer_id is None:
        raise Problem(403, "CUSTOMERS_ONLY", CUSTOMERS_ONLY)
    return UUID(caller.customer_id)


def _slowly(services: Services, owner: UUID) -> None:
    with services.database.begin() as conn:
        slow = logins.too_often(conn, f"ticket:{owner}", MOST, WITHIN)
    if slow:
        raise Problem(429, "TOO_MANY_TICKETS", SLOW_DOWN)


def _room_for(conn: Connection, owner: UUID, files: Sequence[Attachment]) -> None:
    more = sum(len(each.content) for each in files)
    if more and ticket_thread.kept_bytes(conn, owner) + more > MOST_KEPT_BYTES:
        raise Problem(413, "TOO_LARGE", TOO_MUCH)


def _about(conn: Connection, caller: Caller, asked: Asked) -> Permitted | None:
    """Return the server or account that is named. Raises the 404 when it is not theirs."""
    if asked.server_id:
        return find(conn, caller, server_id=identifier_field(asked.server_id, "serverId"))
    if asked.account_id:
        return find(conn, caller, account_id=identifier_field(asked.account_id, "accountId"))
    return None


def _context(conn: Connection, services: Services, there: Permitted | None) -> dict[str, Any]:
    """Return what whoever answers needs to know, as it is now: the billing, the server, and what happened lately."""
    if there is None:
        return {}
    found = dict(Teller(conn, services.settings, there.policy).account(there.account))
    found["pastDueSince"] = instant(there.account["past_due_since"])
    found["suspendedAt"] = instant(there.account["suspended_at"])
    found["notices"] = [
        {"notice": each.intent, "status": each.status, "at": instant(each.created_at)}
        for each in intents.listed(conn, account_id=there.account["id"])
        if each.is_notice
    ][:SHOWN]
    if there.server is not None:
        names = ("name", "kind", "host", "lifecycle", "desired", "observed")
        found["server"] = {name: there.server[name] for name in names}
        recent = operations.of_server(conn, there.server["id"], SHOWN)
        found["operations"] = [
            {"kind": each.kind, "state": each.state, "phase": each.phase, "error": each.error, "reason": each.reason}
            for each in recent
        ]
    return found


router = Router(
    "/api/support",
    route_handlers=[create_ticket, list_tickets, show_ticket, add_message, download],
    guards=[signed_in],
    tags=["support"],
)
