"""What customers ask people for: a tenant to be provisioned, or one that they have suspended to go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from storage.errors import AlreadyTaken
from storage.invoicing.errors import RequestSettled, UnknownRequest


@dataclass(frozen=True, slots=True)
class TenantRequest:
    """One request. Fields as in `storage.tables.metering.tenant_requests`."""

    id: UUID
    customer_id: UUID
    account_id: UUID | None
    server_id: UUID | None
    kind: str
    name: str
    server_kind: str | None
    packages: list[str]
    reason: str
    state: str
    decided_by: str | None
    decided_at: datetime | None
    answer: str | None
    operation_id: UUID | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Waiting:
    """An open request, and who asks."""

    request: TenantRequest
    organisation: str
    email: str


COLUMNS: Final = ", ".join(TenantRequest.__slots__)
TAKEN: Final = text(
    "SELECT EXISTS (SELECT FROM tenant_billing_lifecycle WHERE tenant = :name AND event = 'created') "
    "OR EXISTS (SELECT FROM servers WHERE name = :name AND lifecycle <> 'deleted')"
)


def is_taken(conn: Connection, name: str) -> bool:
    """Tell whether a tenant has this name, or had it once."""
    return bool(conn.execute(TAKEN, {"name": name}).scalar_one())


def add(
    conn: Connection,
    customer_id: UUID,
    kind: str,
    name: str,
    *,
    account_id: UUID | None = None,
    server_id: UUID | None = None,
    server_kind: str | None = None,
    packages: Sequence[str] = (),
    reason: str = "",
) -> TenantRequest:
    """Write a request down. Raises AlreadyTaken while the same one is open."""
    query = text(
        "INSERT INTO tenant_requests (customer_id, kind, name, account_id, server_id, server_kind, packages, reason) "
        "VALUES (:customer, :kind, :name, :account, :server, :server_kind, :packages, :reason) "
        f"RETURNING {COLUMNS}"
    )
    given: dict[str, Any] = {"customer": customer_id, "kind": kind, "name": name, "account": account_id}
    given |= {"server": server_id, "server_kind": server_kind, "packages": list(packages), "reason": reason}
    try:
        with conn.begin_nested():
            return TenantRequest(*conn.execute(query, given).one())
    except IntegrityError as error:
        raise AlreadyTaken("request for the tenant", name) from error


def locked(conn: Connection, request_id: UUID) -> TenantRequest:
    """Return a request that is still open, and let nobody else decide it meanwhile.

    Raises UnknownRequest, RequestSettled.
    """
    find = text(f"SELECT {COLUMNS} FROM tenant_requests WHERE id = :id FOR UPDATE")
    row = conn.execute(find, {"id": request_id}).one_or_none()
    if row is None:
        raise UnknownRequest(request_id)
    found = TenantRequest(*row)
    if found.state != "open":
        raise RequestSettled(request_id, found.state)
    return found


def settle(
    conn: Connection,
    request_id: UUID,
    state: str,
    *,
    by: str,
    answer: str = "",
    account_id: UUID | None = None,
    server_id: UUID | None = None,
    operation_id: UUID | None = None,
) -> TenantRequest:
    """Write down how a request was decided."""
    decide = text(
        "UPDATE tenant_requests SET state = :state, decided_by = :by, decided_at = now(), answer = :answer, "
        "account_id = coalesce(:account, account_id), server_id = coalesce(:server, server_id), "
        f"operation_id = :operation WHERE id = :id RETURNING {COLUMNS}"
    )
    given = {"id": request_id, "state": state, "by": by, "answer": answer, "account": account_id}
    return TenantRequest(*conn.execute(decide, {**given, "server": server_id, "operation": operation_id}).one())


def settle_resumptions(conn: Connection, server_id: UUID, *, by: str, answer: str = "") -> None:
    """Approve the open request that this tenant goes on, if there is one: it does."""
    decide = text(
        "UPDATE tenant_requests SET state = 'approved', decided_by = :by, decided_at = now(), answer = :answer "
        "WHERE kind = 'resume' AND server_id = :server AND state = 'open'"
    )
    conn.execute(decide, {"server": server_id, "by": by, "answer": answer})


def listed(
    conn: Connection,
    *,
    customer_id: UUID | None = None,
    states: Sequence[str] = ("open",),
    newest_first: bool = False,
    limit: int = 100,
) -> list[TenantRequest]:
    """Return requests in these states, oldest first unless said otherwise."""
    order = "created_at DESC, id" if newest_first else "created_at, id"
    find = text(
        f"SELECT {COLUMNS} FROM tenant_requests WHERE state = ANY(:states) "
        f"AND (CAST(:customer AS uuid) IS NULL OR customer_id = :customer) ORDER BY {order} LIMIT :limit"
    )
    given = {"states": list(states), "customer": customer_id, "limit": limit}
    return [TenantRequest(*row) for row in conn.execute(find, given)]


def waiting(conn: Connection, limit: int) -> list[Waiting]:
    """Return what is open, oldest first, with who asks."""
    columns = ", ".join(f"r.{name}" for name in TenantRequest.__slots__)
    find = text(
        f"SELECT {columns}, c.name AS who, c.email FROM tenant_requests r JOIN customers c ON c.id = r.customer_id "
        "WHERE r.state = 'open' ORDER BY r.created_at, r.id LIMIT :limit"
    )
    return [Waiting(TenantRequest(*row[:-2]), row[-2], row[-1]) for row in conn.execute(find, {"limit": limit})]


def count_open(conn: Connection) -> int:
    """Return how many wait for a person."""
    return int(conn.execute(text("SELECT count(*) FROM tenant_requests WHERE state = 'open'")).scalar_one())


def latest_to_resume(conn: Connection, server_id: UUID) -> TenantRequest | None:
    """Return the newest request that this server may go on."""
    find = text(
        f"SELECT {COLUMNS} FROM tenant_requests WHERE server_id = :server AND kind = 'resume' "
        "ORDER BY created_at DESC, id LIMIT 1"
    )
    row = conn.execute(find, {"server": server_id}).one_or_none()
    return None if row is None else TenantRequest(*row)
