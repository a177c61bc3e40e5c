"""What is done about one account from the desk. Each form needs a reason; the deeds are those of the admin API."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.model import Policy
from storage import holds, servers
from storage.accounts import AccountView
from storage.intents_outbox import Outbox
from web import admin_deeds, tenants
from web.auth import Caller
from web.inputs import identifier, line
from web.pages.desk_words import deed, reason_of, short, until_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

Form = Mapping[str, str]
Work = Callable[[Services, Caller, UUID, Form], str]


@dataclass(frozen=True, slots=True)
class Cause:
    """A ladder that people alone move: what may be done about this account on it now."""

    machine: str
    cause: str
    state: str
    may_suspend: bool
    may_lift: bool


def causes(policy: Policy, view: AccountView) -> list[Cause]:
    """Return the ladders that an admin moves by hand, and what each offers for this account."""
    found = []
    for machine in admin_deeds.by_hand(policy):
        state = view.states.get(machine.name, machine.initial)
        lifts = any(state in rule.sources for rule in machine.relief)
        found.append(Cause(machine.name, str(machine.cause), state, state != machine.ladder[-1], lifts))
    return found


def hold_kinds(policy: Policy, first: str) -> list[str]:
    """Return the kinds of hold that the policy obeys, the usual one first."""
    return sorted(holds.kinds(policy), key=lambda kind: kind != first)


def _extend(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    until = until_of(form)
    reason = reason_of(form)
    admin_deeds.set_hold(services, caller, line(form.get("kind", ""), "kind"), account_id, until, reason=reason)
    return f"Nothing presses this account until {short(until)} UTC. An earlier date that was told is told anew."


def _exempt(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    until = until_of(form, needed=False)
    admin_deeds.exempt(services, caller, account_id, until, reason_of(form))
    return f"This account is exempt until {short(until)} UTC." if until else "This account is no longer exempt."


def _suspend(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    cause = line(form.get("cause", ""), "cause")
    state = admin_deeds.suspend(services, caller, account_id, cause, reason_of(form))
    return f"This account is {state} for {cause}. Its servers are being stopped; nothing is deleted."


def _lift(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    cause = line(form.get("cause", ""), "cause")
    admin_deeds.lift(services, caller, account_id, cause, reason_of(form))
    return f"What was imposed for {cause} is lifted. Servers are not started by themselves."


def _ask_notice(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    notice = line(form.get("notice", ""), "notice")
    if admin_deeds.ask(services, caller, notice, account_id, None, reason=reason_of(form)):
        return f"{notice} is on its way."
    return f"{notice} was not sent: no round of it is open, unknown or failed, and none is sent beside its rule."


def _settle(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    dispute = line(form.get("dispute", ""), "dispute")
    admin_deeds.settle_dispute(services, caller, dispute, reason_of(form), account_id=account_id)
    return f"Dispute {dispute} is settled. What was restricted because of it is lifted; no server is started by itself."


def _server_of(conn: Connection, account_id: UUID, form: Form) -> UUID:
    """Return the server that the form names. Raises the 404 for one of another account."""
    wanted = UUID(identifier(form.get("server", ""), "server"))
    if servers.get(conn, wanted).account_id != account_id:
        raise nothing_here("server")
    return wanted


def _suspend_server(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    reason = reason_of(form)

    def write(conn: Connection) -> tuple[Outbox, ...]:
        return tenants.suspend(conn, services, caller, _server_of(conn, account_id, form), reason).intents

    services.wake(services.database.transact("the server", write))
    return "This server alone is being stopped; nothing is deleted."


def _resume_server(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    reason = reason_of(form)

    def write(conn: Connection) -> tuple[Outbox, ...]:
        return tenants.resume(conn, services, caller, _server_of(conn, account_id, form), reason)

    services.wake(services.database.transact("the server", write))
    return "This server may be used again, unless its account is restricted. It is not started by itself."


def account_form(path: str, work: Work) -> HTTPRouteHandler:
    """Make the route of a form: it reads it, does the deed, and goes back to the account."""

    async def act(request: HttpRequest, services: TheServices, account_id: PathId) -> Response[Any]:
        form = await form_of(request)
        caller: Caller = request.state.caller
        wanted = UUID(identifier(account_id, "account"))
        back = f"/admin/accounts/{wanted}"
        return await services.in_thread(deed, request, back, lambda: work(services, caller, wanted, form))

    return post(f"/admin/accounts/{{account_id:str}}/{path}", guards=[admins_only], name=f"desk-{path}")(act)


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    account_form("hold", _extend),
    account_form("exempt", _exempt),
    account_form("suspend", _suspend),
    account_form("lift", _lift),
    account_form("notice", _ask_notice),
    account_form("settle", _settle),
    account_form("suspend-server", _suspend_server),
    account_form("resume-server", _resume_server),
)
