"""For administrators: operations that failed. They go on, or what they left behind is cleaned up; nothing by itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from storage import operations
from storage.operations import Operation
from web import admin_deeds
from web.inputs import Input, decode, identifier, line, page_size, query
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire

STATES = ("failed", "queued", "in_progress", "succeeded")
REASON_CHARACTERS = 500
SHOWN = (
    "account_id",
    "customer_id",
    "kind",
    "state",
    "phase",
    "server_id",
    "error",
    "reason",
    "left_behind",
    "created_at",
    "updated_at",
)


class Reason(Input):
    """Why; it is written into the audit."""

    reason: str


@get("/operations", sync_to_thread=True)
def list_operations(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List operations, newest first: those that failed; `?state=` lists others, several with commas."""
    states = query(request, "state", STATES[0]).split(",")
    if wrong := [word for word in states if word not in STATES]:
        raise bad_input(f"`state` is {', '.join(STATES)}, not `{wrong[0][:40]}`.", field="state")
    with services.database.begin() as conn:
        return [shown(each) for each in operations.listed(conn, states, page_size(request))]


@post("/operations/{operation_id:str}/resume", opt={"takes": Reason}, status_code=202, sync_to_thread=True)
def resume_operation(
    request: HttpRequest, services: TheServices, operation_id: PathId, body: RawBody
) -> dict[str, Any]:
    """Let a failed operation go on where it stands. Billing is asked as for anybody who starts a server."""
    reason = line(decode(Reason, body).reason, "reason", REASON_CHARACTERS)
    wanted = UUID(identifier(operation_id, "operation"))
    return shown(admin_deeds.resume_operation(services, request.state.caller, wanted, reason))


@post("/operations/{operation_id:str}/cleanup", opt={"takes": Reason}, status_code=202, sync_to_thread=True)
def clean_up_operation(
    request: HttpRequest, services: TheServices, operation_id: PathId, body: RawBody
) -> dict[str, Any]:
    """Take away what a failed order made: that alone, and never a server that has run."""
    reason = line(decode(Reason, body).reason, "reason", REASON_CHARACTERS)
    wanted = UUID(identifier(operation_id, "operation"))
    return shown(admin_deeds.clean_up_operation(services, request.state.caller, wanted, reason))


def shown(operation: Operation) -> dict[str, Any]:
    """Write an operation for operators."""
    return {"operationId": str(operation.id)} | {camel(name): on_the_wire(getattr(operation, name)) for name in SHOWN}


HANDLERS: tuple[HTTPRouteHandler, ...] = (list_operations, resume_operation, clean_up_operation)
