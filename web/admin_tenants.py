"""For administrators: a tenant let go on or deleted by its name, and what hosts hold written down for its invoices."""

from __future__ import annotations

from typing import Any

from litestar import post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection

from jobs.metering import mirror
from storage.intents_outbox import Outbox
from storage.invoicing.metering import TenantRow
from web.auth import Caller
from web.backups import ordered
from web.gates import Permitted
from web.server_deletion import want_gone
from web.services import HttpRequest, PathId, TheServices
from web.tenants import TenantReason, named, reason_in, resume


@post("/tenants/{name:str}/resume", opt={"takes": TenantReason}, status_code=202, sync_to_thread=True)
def resume_tenant(request: HttpRequest, services: TheServices, name: PathId, body: RawBody) -> dict[str, str]:
    """Let a tenant go on that its owner or an admin has suspended, without a request for it."""
    caller: Caller = request.state.caller
    reason = reason_in(body)

    def write(conn: Connection) -> tuple[TenantRow, tuple[Outbox, ...]]:
        tenant = named(conn, caller, name)
        return tenant, resume(conn, services, caller, tenant.server_id, reason)

    tenant, asked = services.database.transact(f"tenant `{name}`", write)
    services.wake(asked)
    return {"tenant": tenant.name, "serverId": str(tenant.server_id)}


@post("/tenants/{name:str}/delete", opt={"gate": "server.delete"}, status_code=202, sync_to_thread=True)
def delete_tenant(request: HttpRequest, services: TheServices, name: PathId) -> dict[str, Any]:
    """Delete a tenant and its files for good, at its owner's request. Its backups and its last invoice stay."""
    caller: Caller = request.state.caller
    with services.database.begin() as conn:
        tenant = named(conn, caller, name)

    def prepare(conn: Connection, allowed: Permitted) -> None:
        want_gone(conn, services, caller, allowed)

    made = ordered(
        request,
        services,
        str(tenant.server_id),
        "delete_server",
        {},
        prepare=prepare,
        wish={"name": name},
        also_gone=True,
    )
    return {"tenant": tenant.name, "operationId": made["operationId"]}


@post("/billing/backfill", status_code=200, sync_to_thread=True)
def backfill(services: TheServices) -> dict[str, Any]:
    """Read every live tenant from its host, and record what events do not tell yet. A second time adds nothing."""
    found = mirror(services.database, services.hosts, "backfill")
    added = found.lifecycle + found.packages + found.suspensions
    message = f"{added} events were missing and are recorded now." if added else "Nothing was missing."
    if found.silent:
        message += f" These hosts could not be asked: {', '.join(found.silent)}."
    return {
        "message": message,
        "tenantsExamined": found.examined,
        "lifecycleInserted": found.lifecycle,
        "eventsInserted": found.packages,
        "suspensionEventsInserted": found.suspensions,
    }


HANDLERS: tuple[HTTPRouteHandler, ...] = (resume_tenant, delete_tenant, backfill)
