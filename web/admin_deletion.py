"""For administrators: the deletion of an account that never paid. Two people, a typed name, and everything audited."""

from __future__ import annotations

from dataclasses import fields
from typing import Any
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from storage import accounts, policies
from storage.ledger import Recorded
from web import account_deletion
from web.inputs import Input, decode, identifier, line
from web.problems import nothing_here
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire

REASON_CHARACTERS = 500


class Doomed(Input):
    """Why, and the name of the account's customer, typed as it is shown."""

    name: str
    reason: str


class Why(Input):
    """Why; it is written into the audit."""

    reason: str


@get("/accounts/{account_id:str}/deletion", sync_to_thread=True)
def show_deletion(request: HttpRequest, services: TheServices, account_id: PathId) -> dict[str, Any]:
    """Show where the deletion of an account stands, and why it cannot go on."""
    wanted = UUID(identifier(account_id, "account"))
    with services.database.begin() as conn:
        accounts.account_view(conn, wanted)
        policy = policies.in_force(conn)
        found = account_deletion.stands(conn, policy, wanted, services.world, request.state.caller)
    if found is None:
        raise nothing_here("deletion")
    return {camel(each.name): on_the_wire(getattr(found, each.name)) for each in fields(found)}


@post("/accounts/{account_id:str}/deletion/request", opt={"takes": Doomed}, status_code=202, sync_to_thread=True)
def request_deletion(request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody) -> dict[str, Any]:
    """Ask for the deletion of an account. Its data stays; another admin has to approve it first."""
    wish = decode(Doomed, body)
    wanted, name, reason = UUID(identifier(account_id, "account")), line(wish.name, "name"), _reason(wish.reason)
    return _told(wanted, account_deletion.request(services, request.state.caller, wanted, name, reason))


@post("/accounts/{account_id:str}/deletion/approve", opt={"takes": Doomed}, status_code=202, sync_to_thread=True)
def approve_deletion(request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody) -> dict[str, Any]:
    """Approve, as another admin than the one who asked. The last notice leaves; the time begins with its delivery."""
    wish = decode(Doomed, body)
    wanted, name, reason = UUID(identifier(account_id, "account")), line(wish.name, "name"), _reason(wish.reason)
    return _told(wanted, account_deletion.approve(services, request.state.caller, wanted, name, reason))


@post("/accounts/{account_id:str}/deletion/withdraw", opt={"takes": Why}, status_code=202, sync_to_thread=True)
def withdraw_deletion(request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody) -> dict[str, Any]:
    """End a deletion at any moment before the last server is gone. What is still there stays."""
    wanted, reason = UUID(identifier(account_id, "account")), _reason(decode(Why, body).reason)
    return _told(wanted, account_deletion.withdraw(services, request.state.caller, wanted, reason))


def _told(account_id: UUID, recorded: Recorded) -> dict[str, Any]:
    return {"accountId": str(account_id), "states": dict(recorded.settlement.snapshot.states)}


def _reason(words: str) -> str:
    return line(words, "reason", REASON_CHARACTERS)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_deletion, request_deletion, approve_deletion, withdraw_deletion)
