"""For administrators: what they may do about accounts. Everything is audited; nothing here destroys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from storage import brakes, clock, holds, policies
from web import admin_deeds
from web.inputs import (
    REASON_CHARACTERS,
    Input,
    decode,
    given_reason,
    identifier,
    identifier_field,
    instant,
    line,
    query,
)
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire


class Wish(Input):
    """An intent by its name."""

    action: str
    account_id: str
    server_id: str | None = None
    reason: str = ""


class Hold(Input):
    """More time: for one account, or without `accountId` for everybody; until an instant, or until it is ended."""

    kind: str
    account_id: str | None = None
    until: datetime | None = None
    reason: str = ""


class Exemption(Input):
    """Until when an account is never pressed for money; null ends it."""

    until: datetime | None
    reason: str = ""


class Settlement(Input):
    """Why a lost dispute is settled."""

    reason: str


class Event(Input):
    """A person's command to the ladders, such as `abuse_reported`."""

    event: str
    reason: str = ""


class Release(Input):
    """How many accounts may pass the brake in the window that begins now; without it, as many as the policy says."""

    allowance: int | None = None
    reason: str = ""


@post("/intents", opt={"takes": Wish}, status_code=202, sync_to_thread=True)
def ask_for_intent(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Ask for an intent. It is checked again before it is carried out, as any other; what destroys data is refused."""
    wish = decode(Wish, body)
    account_id = UUID(identifier_field(wish.account_id, "accountId"))
    server_id = UUID(identifier_field(wish.server_id, "serverId")) if wish.server_id is not None else None
    action, reason = line(wish.action, "action"), given_reason(wish.reason)
    asked = admin_deeds.ask(services, request.state.caller, action, account_id, server_id, reason=reason)
    return {"intentIds": [str(each.intent_id) for each in asked], "status": "asked" if asked else "dropped"}


@get("/holds", sync_to_thread=True)
def list_holds(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List the holds in effect; with `?accountId=`, those that this account has."""
    about = query(request, "accountId", "")
    with services.database.begin() as conn:
        found = holds.active(conn, UUID(identifier_field(about, "accountId")) if about else None)
    return [
        {"holdId": str(hold.id)}
        | {
            camel(name): on_the_wire(getattr(hold, name))
            for name in ("account_id", "kind", "until", "by", "reason", "created_at")
        }
        for hold in found
    ]


@post("/holds", opt={"takes": Hold}, status_code=201, sync_to_thread=True)
def set_hold(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Give more time. Dates that were told and now move later are void, and told again once nothing holds."""
    wish = decode(Hold, body)
    account_id = UUID(identifier_field(wish.account_id, "accountId")) if wish.account_id is not None else None
    until = instant(wish.until, "until") if wish.until is not None else None
    hold_id = admin_deeds.set_hold(
        services, request.state.caller, line(wish.kind, "kind"), account_id, until, reason=given_reason(wish.reason)
    )
    return {"holdId": str(hold_id)}


@delete("/holds/{hold_id:str}", status_code=204, sync_to_thread=True)
def end_hold(request: HttpRequest, services: TheServices, hold_id: PathId) -> None:
    """End a hold before its time. Nobody is restricted by that at once: dates are told again, and leave their time."""
    admin_deeds.end_hold(services, request.state.caller, UUID(identifier(hold_id, "hold")))


@post("/accounts/{account_id:str}/exemption", opt={"takes": Exemption}, status_code=200, sync_to_thread=True)
def exempt_account(
    request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody
) -> dict[str, str | None]:
    """Exempt an account from being pressed for money, or end that."""
    wish = decode(Exemption, body)
    wanted = UUID(identifier(account_id, "account"))
    until = instant(wish.until, "until") if wish.until is not None else None
    admin_deeds.exempt(services, request.state.caller, wanted, until, given_reason(wish.reason))
    return {"accountId": str(wanted), "exemptUntil": on_the_wire(until)}


@post("/accounts/{account_id:str}/commands", opt={"takes": Event}, status_code=202, sync_to_thread=True)
def command_account(request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody) -> dict[str, Any]:
    """Send a person's event to the account's ladders. One that moves nothing now is refused, with the reason."""
    wish = decode(Event, body)
    event, reason = line(wish.event, "event"), given_reason(wish.reason)
    wanted = UUID(identifier(account_id, "account"))
    recorded = admin_deeds.command(services, request.state.caller, wanted, event, reason)
    return {"accountId": str(wanted), "states": dict(recorded.settlement.snapshot.states)}


@post("/disputes/{dispute_id:str}/settle", opt={"takes": Settlement}, status_code=200, sync_to_thread=True)
def settle_dispute(
    request: HttpRequest, services: TheServices, dispute_id: PathId, body: RawBody
) -> dict[str, str | bool]:
    """Count a lost dispute as settled: it was paid elsewhere, or is not asked for any more."""
    wish = decode(Settlement, body)
    named = line(dispute_id, "disputeId")
    admin_deeds.settle_dispute(services, request.state.caller, named, line(wish.reason, "reason", REASON_CHARACTERS))
    return {"disputeId": named, "settled": True}


@get("/brakes", sync_to_thread=True)
def list_brakes(services: TheServices) -> list[dict[str, Any]]:
    """Show every brake: whether it has tripped, and how many slots of the present window are taken."""
    with services.database.begin() as conn:
        found = brakes.states(conn, policies.in_force(conn), clock.now(conn))
    names = ("name", "latched_at", "released_at", "released_by", "slots_taken")
    return [{camel(name): on_the_wire(getattr(brake, name)) for name in names} for brake in found]


@post("/brakes/{name:str}/release", opt={"takes": Release}, status_code=200, sync_to_thread=True)
def release_brake(request: HttpRequest, services: TheServices, name: PathId, body: RawBody) -> dict[str, Any]:
    """Let a tripped brake go, after a look at whom it holds."""
    wish = decode(Release, body) if body.strip() else Release()
    admin_deeds.release_brake(services, request.state.caller, name, wish.allowance, given_reason(wish.reason))
    return {"name": name, "released": True}


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    ask_for_intent,
    list_holds,
    set_hold,
    end_hold,
    exempt_account,
    command_account,
    settle_dispute,
    list_brakes,
    release_brake,
)
