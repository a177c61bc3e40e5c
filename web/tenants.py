"""Tenants by their name, which is one installation-wide: shown, given packages, suspended at their owner's wish."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Router, get, patch, post
from litestar.params import RawBody
from sqlalchemy import Connection, text

from engine import alone
from engine.model import Policy
from engine.servers import rungs_of
from engine.snapshot import Command
from storage import ledger, policies, requests, servers
from storage.audit import AuditNote
from storage.intents_outbox import Outbox
from storage.invoicing import metering
from storage.invoicing.errors import UnknownTenant
from storage.invoicing.metering import TenantRow
from web.auth import Caller, signed_in
from web.gates import permitted
from web.inputs import Input, decode, given_reason, line, page_size, query
from web.problems import bad_input, conflict
from web.services import HttpRequest, PathId, Services, TheServices
from web.wire import instant

PACKAGES = 100
PACKAGE_CHARACTERS = 60
# What lifts a suspension at somebody's wish: machine, its rung, the event. First its owner's.
CURES = (("tenant", "paused", "resumption_approved"), ("admin", "stopped", "admin_lifted"))
WISH = "suspension_requested"
STATES = text(
    "SELECT a.states, s.states AS own, EXISTS (SELECT FROM servers o WHERE o.account_id = a.id AND o.id <> s.id "
    "AND o.lifecycle <> 'deleted') AS has_others FROM servers s JOIN accounts a ON a.id = s.account_id WHERE s.id = :id"
)
SHARED = (
    "This tenant shares its account with others, and the policy in force suspends whole accounts only. "
    "Stop this one instead, or let it be moved to an account of its own."
)
NOT_ALONE = (
    "Neither its owner nor an admin has suspended this tenant alone. Its account is suspended as a whole, "
    "with others in it: lift that on the account."
)


class Packages(Input):
    """Every package that is to be switched on; those that are not named are switched off."""

    packages: list[str]


class TenantReason(Input):
    """Why; it is written into the audit."""

    reason: str = ""


@get("/", sync_to_thread=True)
def list_tenants(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List tenants by name, a page at a time: `?limit=`, and `?after=` the last name of the page before."""
    caller: Caller = request.state.caller
    after = query(request, "after", "")
    with services.database.begin() as conn:
        found = metering.listed(conn, customer_id=_own(caller), after=after, limit=page_size(request))
        return [shown(conn, each) for each in found]


@get("/{name:str}", sync_to_thread=True)
def show_tenant(request: HttpRequest, services: TheServices, name: PathId) -> dict[str, Any]:
    """Show one tenant, with its packages."""
    with services.database.begin() as conn:
        return shown(conn, named(conn, request.state.caller, name))


@patch("/{name:str}", opt={"gate": "files.write", "takes": Packages}, sync_to_thread=True)
def change_packages(request: HttpRequest, services: TheServices, name: PathId, body: RawBody) -> dict[str, Any]:
    """Switch packages on and off, as whoever may write its files. What its host then holds is answered and metered."""
    wanted = checked_packages(decode(Packages, body).packages)
    with services.database.begin() as conn:
        tenant = named(conn, request.state.caller, name)
    allowed = permitted(request, str(tenant.server_id))
    # What two hold at once is recorded in the order in which the host took it: the last one stays on both sides.
    with services.database.in_turn(f"packages:{tenant.server_id}"):
        held = services.host(allowed.host).set_packages(allowed.spec, wanted).packages

        with services.database.begin() as conn:
            metering.harmlessly(conn, f"tenant `{name}`", lambda: metering.packages(conn, tenant.server_id, held))
    return {"tenant": tenant.name, "serverId": str(tenant.server_id), "packages": sorted(held)}


@post("/{name:str}/suspend", opt={"takes": TenantReason}, status_code=202, sync_to_thread=True)
def suspend_tenant(request: HttpRequest, services: TheServices, name: PathId, body: RawBody) -> dict[str, Any]:
    """Suspend a tenant at its owner's wish, or an admin's. It is stopped; a person approves that it goes on.

    Others of its account go on.
    """
    caller: Caller = request.state.caller
    words = reason_in(body)

    def write(conn: Connection) -> tuple[TenantRow, ledger.Commanded, Mapping[str, str]]:
        tenant = named(conn, caller, name)
        done = suspend(conn, services, caller, tenant.server_id, words)
        account = conn.execute(STATES, {"id": tenant.server_id}).one().states
        return tenant, done, rungs_of(policies.in_force(conn), account, done.states)

    tenant, done, states = services.database.transact(f"tenant `{name}`", write)
    services.wake(done.intents)
    return {"tenant": tenant.name, "serverId": str(tenant.server_id), "states": dict(states)}


def suspend(
    conn: Connection, services: Services, caller: Caller, server_id: UUID, reason: str = ""
) -> ledger.Commanded:
    """Suspend one server alone, at its owner's wish or an admin's. Raises CommandRefused where it is already.

    Where the policy in force suspends whole accounts only, that of a server that is alone in it. Raises the 409.
    """
    event = "admin_suspended" if caller.role == "admin" else WISH
    policies.stay_in_force(conn)
    sent, policy = Command(event, caller.role, caller.actor), policies.in_force(conn)
    if alone.knows(policy, event):
        return ledger.command_server(conn, policy, server_id, sent, reason=reason, world=services.world)
    account_id = servers.get(conn, server_id).account_id
    ledger.lock(conn, [account_id])
    if conn.execute(STATES, {"id": server_id}).one().has_others:
        raise conflict("ACCOUNT_SHARED", SHARED)
    asked = _command_account(conn, services, policy, account_id, sent, reason)
    return ledger.Commanded(server_id, {}, asked)


def is_paused(states: Mapping[str, str]) -> bool:
    """Tell whether its owner has suspended a tenant, alone or with its account. states: its rungs by machine."""
    machine, state, _ = CURES[0]
    return states.get(machine) == state


def resume(
    conn: Connection, services: Services, caller: Caller, server_id: UUID, reason: str = ""
) -> tuple[Outbox, ...]:
    """Let a tenant go on that its owner, or an admin by name, has suspended. Other causes keep it as they do.

    An account that was suspended as a whole is let go on by this where the tenant is alone in it. A request for it that
    is open is approved by it. Raises the 409.
    """
    # Before the account is locked, in the order of whoever approves the request itself.
    requests.settle_resumptions(conn, server_id, by=caller.actor, answer=reason)
    policies.stay_in_force(conn)
    policy = policies.in_force(conn)
    account_id = servers.get(conn, server_id).account_id
    ledger.lock(conn, [account_id])
    found = conn.execute(STATES, {"id": server_id}).one()
    own = [event for machine, state, event in CURES if found.own.get(machine) == state]
    whole = [event for machine, state, event in CURES if found.states.get(machine) == state]
    if not own and (found.has_others or not whole):
        words = NOT_ALONE if whole else "Neither its owner nor an admin has suspended this tenant."
        raise conflict("NOTHING_TO_RESUME", words)
    asked: list[Outbox] = []
    for event in own:
        sent = Command(event, "admin", caller.actor)
        asked += ledger.command_server(conn, policy, server_id, sent, reason=reason, world=services.world).intents
    for event in whole if not found.has_others else []:
        asked += _command_account(conn, services, policy, account_id, Command(event, "admin", caller.actor), reason)
    return tuple(asked)


def _command_account(
    conn: Connection, services: Services, policy: Policy, account_id: UUID, sent: Command, reason: str
) -> tuple[Outbox, ...]:
    said = [AuditNote("admin", sent.event, sent.actor, reason)] if reason else []
    more: dict[str, Any] = {"actor": sent.actor, "evidence": said, "world": services.world}
    return ledger.record(conn, policy, account_id, command=sent, **more).intents


def reason_in(body: bytes) -> str:
    """Read why, where it is said. Raises the 400."""
    return given_reason(decode(TenantReason, body).reason if body.strip() else "")


def named(conn: Connection, caller: Caller, name: str) -> TenantRow:
    """Return the living tenant of this name, or server's id, that the caller may see. Raises UnknownTenant."""
    if "\x00" in name:
        raise UnknownTenant("")  # no text can hold it
    return metering.find(conn, name, customer_id=_own(caller))


def checked_packages(names: list[str]) -> list[str]:
    """Return names of packages that are harmless wherever they are shown. Raises the 400."""
    if len(names) > PACKAGES:
        raise bad_input(f"`packages` names more than {PACKAGES}.", field="packages")
    found = [line(name, "packages", PACKAGE_CHARACTERS) for name in names]
    if len(set(found)) < len(found):
        raise bad_input("`packages` names one twice.", field="packages")
    return sorted(found)


def shown(conn: Connection, tenant: TenantRow) -> dict[str, Any]:
    """Write a tenant for the wire."""
    return {
        "tenant": tenant.name,
        "serverId": str(tenant.server_id),
        "accountId": str(tenant.account_id),
        "organisation": tenant.organisation,
        "createdAt": instant(tenant.created_at),
        "packages": metering.packages_of(conn, tenant.server_id),
    }


def _own(caller: Caller) -> UUID | None:
    return None if caller.role == "admin" else UUID(str(caller.customer_id))


router = Router(
    "/api/tenants",
    route_handlers=[list_tenants, show_tenant, change_packages, suspend_tenant],
    guards=[signed_in],
    tags=["tenants"],
)
