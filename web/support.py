"""Questions to support: taken with how the account stands. The text is for people and triggers nothing."""

from __future__ import annotations

import secrets
from datetime import timedelta
from typing import Any
from uuid import UUID

from litestar import Router, post
from litestar.params import RawBody
from sqlalchemy import Connection

from storage import accounts, logins, operations, tickets
from storage.tickets import Question, Ticket
from web.auth import Caller, signed_in
from web.gates import Permitted, find
from web.inputs import Input, decode, idempotency_key, identifier_field, line, paragraphs
from web.problems import Problem
from web.services import HttpRequest, Services, TheServices
from web.told import Teller
from web.wire import instant

WITHIN = timedelta(hours=1)
MOST = 20
TEXT_CHARACTERS = 10_000
SHOWN_OPERATIONS = 5
CUSTOMERS_ONLY = "Only customers ask support here; sign in as one."
SLOW_DOWN = "You have written to us many times within an hour. We have those messages; wait a little before the next."


class Asked(Input):
    """A question to support, about an account or a server where one is named."""

    subject: str
    text: str
    account_id: str | None = None
    server_id: str | None = None


@post("/create", opt={"takes": Asked}, status_code=201, sync_to_thread=True)
def create_ticket(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Ask support. It is acknowledged by mail; the same Idempotency-Key is the same ticket."""
    asked = decode(Asked, body)
    key = idempotency_key(request) if "idempotency-key" in request.headers else secrets.token_hex(16)
    ticket = ask_support(request, services, asked, key)
    return {"ticketId": str(ticket.id), "ticketNumber": ticket.number}


def ask_support(request: HttpRequest, services: Services, asked: Asked, key: str) -> Ticket:
    """Open a ticket for the caller. Raises the 400, 403, 404 or 429."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise Problem(403, "CUSTOMERS_ONLY", CUSTOMERS_ONLY)
    subject, words = line(asked.subject, "subject"), paragraphs(asked.text, "text", TEXT_CHARACTERS)
    with services.database.begin() as conn:
        slow = logins.too_often(conn, f"ticket:{caller.customer_id}", MOST, WITHIN)
    if slow:
        raise Problem(429, "TOO_MANY_TICKETS", SLOW_DOWN)
    with services.database.begin() as conn:
        there = _about(conn, caller, asked)
        account_id = None if there is None else there.account["id"]
        server_id = None if there is None or there.server is None else there.server["id"]
        question = Question(subject, words, key, account_id, server_id)
        customer = accounts.customer(conn, UUID(caller.customer_id))
        prefix = services.settings.ticket_prefix
        ticket, _ = tickets.open_ticket(conn, customer, question, _context(conn, services, there), prefix)
    return ticket


def _about(conn: Connection, caller: Caller, asked: Asked) -> Permitted | None:
    """Return the server or account that is named. Raises the 404 when it is not theirs."""
    if asked.server_id:
        return find(conn, caller, server_id=identifier_field(asked.server_id, "serverId"))
    if asked.account_id:
        return find(conn, caller, account_id=identifier_field(asked.account_id, "accountId"))
    return None


def _context(conn: Connection, services: Services, there: Permitted | None) -> dict[str, Any]:
    """Return what whoever answers needs to know, as it is now: the billing, the server, and what failed lately."""
    if there is None:
        return {}
    found = dict(Teller(conn, services.settings, there.policy).account(there.account))
    found["pastDueSince"] = instant(there.account["past_due_since"])
    found["suspendedAt"] = instant(there.account["suspended_at"])
    if there.server is not None:
        names = ("name", "kind", "host", "lifecycle", "desired", "observed")
        found["server"] = {name: there.server[name] for name in names}
        recent = operations.of_server(conn, there.server["id"], SHOWN_OPERATIONS)
        found["operations"] = [
            {"kind": each.kind, "state": each.state, "phase": each.phase, "error": each.error, "reason": each.reason}
            for each in recent
        ]
    return found


router = Router("/api/support", route_handlers=[create_ticket], guards=[signed_in], tags=["support"])
