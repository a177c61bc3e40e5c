"""Ordering a server, and following what was ordered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from litestar import Router, get, post
from litestar.params import RawBody
from sqlalchemy import Connection, select

from storage import operations, servers
from storage.intents_outbox import Outbox
from storage.operations import Operation
from storage.tables import operations as rows
from web.auth import Caller, signed_in
from web.gates import Permitted, ask, gate_of
from web.inputs import Input, decode, idempotency_key, identifier, identifier_field, line
from web.problems import Problem, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

KIND = "create_server"
FULL = "There is no room for another server of this kind at the moment. Nothing was ordered. Please try again later."


class Order(Input):
    """A server to be made."""

    name: str
    kind: Literal["game", "dev"]
    account_id: str


@post("/instances", opt={"gate": "instance.create", "takes": Order}, status_code=202, sync_to_thread=True)
def create_instance(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Order a server. The same Idempotency-Key is the same order: it is answered again, and made once."""
    return {"operationId": str(order_server(request, services, decode(Order, body), None))}


def order_server(request: HttpRequest, services: Services, order: Order, key: str | None) -> UUID:
    """Order a server and return its operation. key: what makes the order one; None: the request's header."""
    name, account_id = line(order.name, "name"), identifier_field(order.account_id, "accountId")
    key = key or idempotency_key(request)
    digest = request_hash(KIND, account_id, {"name": name, "kind": order.kind})
    caller: Caller = request.state.caller

    def write(conn: Connection) -> tuple[UUID, tuple[Outbox, ...]]:
        try:
            allowed = ask(conn, services, caller, gate_of(request), account_id=account_id, lock=True)
        except Problem:
            # What was ordered before is still answered: the gate may have closed since, perhaps by this very order.
            if (there := ordered_before(conn, caller, key, digest)) is not None:
                return there, ()
            raise
        operation, intents = place_order(conn, services, caller, allowed, name=name, kind=order.kind, key=key)
        return operation.id, intents

    operation_id, intents = services.database.transact("the order of a server", write)
    services.wake(intents)
    return operation_id


def place_order(
    conn: Connection,
    services: Services,
    caller: Caller,
    allowed: Permitted,
    *,
    name: str,
    kind: str,
    key: str,
    packages: Sequence[str] = (),
) -> tuple[Operation, tuple[Outbox, ...]]:
    """Write an order down that the gate has permitted, with its operation and the intent that makes the server."""
    wish = {"name": name, "kind": kind} | ({"packages": list(packages)} if packages else {})
    account_id: UUID = allowed.account["id"]
    operation, new = operations.create(
        conn,
        customer_id=allowed.account["customer_id"],
        account_id=account_id,
        idempotency_key=key,
        request_hash=request_hash(KIND, str(account_id), wish),
        kind=KIND,
        args=wish,
    )
    if not new:
        return operation, ()
    host = services.place(conn, kind)
    if host is None:
        raise Problem(503, "NO_ROOM", FULL)
    server_id, intents = servers.create(
        conn,
        allowed.policy,
        account_id,
        name=name,
        kind=kind,
        actor=caller.actor,
        host=host,
        args={"operation_id": str(operation.id)},
        world=services.world,
    )
    operations.progress(conn, operation.id, "queued", server_id=server_id)
    return operations.get(conn, operation.id), intents


@get("/operations/{operation_id:str}", sync_to_thread=True)
def show_operation(request: HttpRequest, services: TheServices, operation_id: PathId) -> dict[str, Any]:
    """Show how far an operation has come."""
    caller: Caller = request.state.caller
    with services.database.begin() as conn:
        found = (
            conn.execute(select(rows).where(rows.c.id == identifier(operation_id, "operation")))
            .mappings()
            .one_or_none()
        )
    if found is None or (caller.role != "admin" and str(found["customer_id"]) != caller.customer_id):
        raise nothing_here("operation")
    return {
        "operationId": str(found["id"]),
        "kind": found["kind"],
        "state": found["state"],
        "phase": found["phase"],
        "serverId": None if found["server_id"] is None else str(found["server_id"]),
        "error": found["error"],
    }


def request_hash(kind: str, about: str, wish: Mapping[str, Any]) -> bytes:
    """Return what tells one request from another that comes under the same key."""
    return hashlib.sha256(json.dumps([kind, about, dict(wish)], sort_keys=True).encode()).digest()


def ordered_before(conn: Connection, caller: Caller, key: str, digest: bytes) -> UUID | None:
    """Return the customer's operation under this key, if it was for the same request."""
    if caller.customer_id is None:
        return None
    find = select(rows.c.id).where(
        rows.c.customer_id == caller.customer_id, rows.c.idempotency_key == key, rows.c.request_hash == digest
    )
    found: UUID | None = conn.execute(find).scalar_one_or_none()
    return found


router = Router("/api", route_handlers=[create_instance, show_operation], guards=[signed_in], tags=["orders"])
