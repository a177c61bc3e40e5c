"""Requests of customers for a tenant, or for one of theirs to go on; admins approve or refuse them."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from litestar import Router, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection, text

from storage import accounts, policies, requests
from storage.intents_outbox import Outbox
from storage.operations import Operation
from storage.requests import TenantRequest
from web.auth import Caller, signed_in
from web.gates import ask
from web.inputs import (
    REASON_CHARACTERS,
    Input,
    decode,
    given_reason,
    identifier,
    identifier_field,
    line,
    page_size,
    query,
)
from web.instances import place_order
from web.problems import bad_input, conflict, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices
from web.tenants import checked_packages, named, resume
from web.wire import camel, on_the_wire

STATES = ("open", "approved", "refused")
EMPTY = text(
    "SELECT a.id FROM accounts a WHERE a.customer_id = :customer AND NOT EXISTS (SELECT FROM servers s "
    "WHERE s.account_id = a.id AND s.lifecycle <> 'deleted') ORDER BY a.created_at LIMIT 1"
)


class TenantWish(Input):
    """What is asked for: a tenant of a name, or that one of theirs goes on."""

    kind: Literal["provision", "resume"]
    name: str
    server_kind: Literal["game", "dev"] = "game"
    account_id: str | None = None
    packages: list[str] = []  # noqa: RUF012 - msgspec copies it
    reason: str = ""


class Approval(Input):
    """Where a tenant goes, and the plan of an account that is made for it. Both have a default."""

    account_id: str | None = None
    plan: str | None = None
    reason: str = ""


class Refusal(Input):
    """Why; the customer reads it."""

    reason: str


@post("/", opt={"takes": TenantWish}, status_code=201, sync_to_thread=True)
def ask_for_tenant(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Ask for a tenant, or for a suspended one to go on. A person decides."""
    wish = decode(TenantWish, body)
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise bad_input("Only customers ask; an admin orders with `POST /api/instances`.")
    work = ask_to_resume if wish.kind == "resume" else ask_to_provision
    return shown(services.database.transact("the request", lambda conn: work(conn, caller, wish)))


def ask_to_resume(conn: Connection, caller: Caller, wish: TenantWish) -> TenantRequest:
    """Write down that a customer asks for a tenant of theirs to go on. Raises UnknownTenant, AlreadyTaken, the 400."""
    tenant = named(conn, caller, line(wish.name, "name"))
    place: dict[str, Any] = {"account_id": tenant.account_id, "server_id": tenant.server_id}
    return requests.add(conn, tenant.customer_id, "resume", tenant.name, reason=given_reason(wish.reason), **place)


def ask_to_provision(conn: Connection, caller: Caller, wish: TenantWish) -> TenantRequest:
    """Write down that a customer asks for a tenant. Raises AlreadyTaken, the 400, 404 or 409."""
    customer, name = UUID(str(caller.customer_id)), line(wish.name, "name")
    account = UUID(identifier_field(wish.account_id, "accountId")) if wish.account_id is not None else None
    packages, reason = checked_packages(wish.packages), given_reason(wish.reason)
    if account is not None and account not in {each.id for each in accounts.accounts_of(conn, customer)}:
        raise nothing_here("account")
    if requests.is_taken(conn, name):
        raise conflict("NAME_TAKEN", "A tenant has this name, or had it once. Choose another one.")
    more: dict[str, Any] = {"account_id": account, "server_kind": wish.server_kind, "packages": packages}
    return requests.add(conn, customer, "provision", name, reason=reason, **more)


@get("/", sync_to_thread=True)
def list_own_requests(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List what one has asked for, oldest first, with the answers."""
    caller: Caller = request.state.caller
    own = UUID(caller.customer_id) if caller.customer_id is not None else None
    with services.database.begin() as conn:
        found = requests.listed(conn, customer_id=own, states=STATES, limit=page_size(request))
    return [shown(each) for each in found]


@get("/requests", sync_to_thread=True)
def list_requests(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List what customers ask for, oldest first: what is open; `?state=` lists others."""
    state = query(request, "state", "open")
    if state not in STATES:
        raise bad_input(f"`state` is {', '.join(STATES)}.", field="state")
    with services.database.begin() as conn:
        return [shown(each) for each in requests.listed(conn, states=[state], limit=page_size(request))]


@post("/requests/{request_id:str}/approve", opt={"takes": Approval}, status_code=202, sync_to_thread=True)
def approve_request(request: HttpRequest, services: TheServices, request_id: PathId, body: RawBody) -> dict[str, Any]:
    """Approve a request: the tenant is ordered, or goes on. Billing is asked as for any order."""
    wish = decode(Approval, body) if body.strip() else Approval()
    return shown(approve(services, request.state.caller, request_id, wish))


@post("/requests/{request_id:str}/refuse", opt={"takes": Refusal}, status_code=200, sync_to_thread=True)
def refuse_request(request: HttpRequest, services: TheServices, request_id: PathId, body: RawBody) -> dict[str, Any]:
    """Refuse a request, with a reason that the customer reads."""
    return shown(refuse(services, request.state.caller, request_id, decode(Refusal, body)))


def approve(services: Services, caller: Caller, request_id: str, wish: Approval) -> TenantRequest:
    """Approve a request and order what it asks for, or let it go on. Raises why that is not possible."""
    wanted, reason = UUID(identifier(request_id, "request")), given_reason(wish.reason)
    account = UUID(identifier_field(wish.account_id, "accountId")) if wish.account_id is not None else None

    def write(conn: Connection) -> tuple[TenantRequest, tuple[Outbox, ...]]:
        found = requests.locked(conn, wanted)
        if found.kind == "resume":
            assert found.server_id is not None, "a resumption names its tenant"
            asked = resume(conn, services, caller, found.server_id, reason)
            return requests.settle(conn, found.id, "approved", by=caller.actor, answer=reason), asked
        goes_to = account or found.account_id or _account(conn, services, caller, found, wish.plan)
        operation, asked = _order(conn, services, caller, found, goes_to)
        more = {"account_id": goes_to, "server_id": operation.server_id, "operation_id": operation.id}
        return requests.settle(conn, found.id, "approved", by=caller.actor, answer=reason, **more), asked

    settled, asked = services.database.transact("the request", write)
    services.wake(asked)
    return settled


def refuse(services: Services, caller: Caller, request_id: str, wish: Refusal) -> TenantRequest:
    """Refuse a request. Raises UnknownRequest, RequestSettled, the 400."""
    reason = line(wish.reason, "reason", REASON_CHARACTERS)
    wanted = UUID(identifier(request_id, "request"))

    def write(conn: Connection) -> TenantRequest:
        requests.locked(conn, wanted)
        return requests.settle(conn, wanted, "refused", by=caller.actor, answer=reason)

    return services.database.transact("the request", write)


def _order(
    conn: Connection, services: Services, caller: Caller, found: TenantRequest, account_id: UUID
) -> tuple[Operation, tuple[Outbox, ...]]:
    """Order the tenant that is asked for on an account of theirs, as billing permits."""
    allowed = ask(conn, services, caller, "instance.create", account_id=str(account_id), lock=True)
    if allowed.account["customer_id"] != found.customer_id:
        raise bad_input("`accountId` is an account of another customer.", field="accountId")
    if requests.is_taken(conn, found.name):
        raise conflict("NAME_TAKEN", "A tenant has this name by now. Refuse the request, and say so.")
    kind, key = found.server_kind or "game", f"request-{found.id}"
    return place_order(conn, services, caller, allowed, name=found.name, kind=kind, key=key, packages=found.packages)


def _account(conn: Connection, services: Services, caller: Caller, found: TenantRequest, plan: str | None) -> UUID:
    """Return an account for a tenant alone: one of theirs that has no server, else a new one.

    What is owed for one tenant, or a wish to suspend it, then touches no other.
    """
    empty: UUID | None = conn.execute(EMPTY, {"customer": found.customer_id}).scalar_one_or_none()
    if empty is not None:
        return empty
    policy = policies.in_force(conn)
    chosen = plan or found.server_kind or ""
    return accounts.create_account(
        conn, policy, found.customer_id, plan=chosen, actor=caller.actor, world=services.world
    )


def shown(found: TenantRequest) -> dict[str, Any]:
    """Write a request for the wire."""
    names = [name for name in TenantRequest.__slots__ if name != "id"]
    return {"requestId": str(found.id)} | {camel(name): on_the_wire(getattr(found, name)) for name in names}


ADMIN_HANDLERS: tuple[HTTPRouteHandler, ...] = (list_requests, approve_request, refuse_request)

router = Router(
    "/api/requests", route_handlers=[ask_for_tenant, list_own_requests], guards=[signed_in], tags=["tenants"]
)
