"""For administrators: what they may do about accounts. Everything is audited; nothing here destroys."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection

from engine.model import Policy, RuleKind
from engine.snapshot import Command
from storage import accounts, brakes, clock, holds, intents, ledger, policies
from storage.errors import DestructiveRefused
from web.auth import Caller
from web.inputs import Input, decode, identifier, identifier_field, instant, line, query
from web.problems import Problem, bad_input, conflict, nothing_here
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire

REASON_CHARACTERS = 500
# Their actions need to be told which backup they are about.
ELSEWHERE = {"create_backup": "POST /api/servers/{serverId}/backups"}


class Wish(Input):
    """An intent by its name."""

    action: str
    account_id: str
    server_id: str | None = None


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


class Event(Input):
    """A person's command to the ladders, such as `abuse_reported`."""

    event: str


class Release(Input):
    """How many accounts may pass the brake in the window that begins now; without it, as many as the policy says."""

    allowance: int | None = None


@post("/intents", opt={"takes": Wish}, status_code=202, sync_to_thread=True)
def ask_for_intent(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Ask for an intent. It is checked again before it is carried out, as any other; what destroys data is refused."""
    wish = decode(Wish, body)
    account_id = UUID(identifier_field(wish.account_id, "accountId"))
    server_id = UUID(identifier_field(wish.server_id, "serverId")) if wish.server_id is not None else None
    action = line(wish.action, "action")
    caller: Caller = request.state.caller
    if action in ELSEWHERE:
        raise conflict("ASK_ELSEWHERE", f"`{action}` is asked for with `{ELSEWHERE[action]}`.")

    def ask(conn: Connection) -> tuple[Any, ...] | DestructiveRefused:
        accounts.account_view(conn, account_id)  # one that does not exist is 404, not dropped
        policy = policies.in_force(conn)
        return intents.ask(conn, policy, action, account_id, server_id, actor=caller.actor, world=services.world)

    asked = services.database.transact(f"`{action}`", ask)
    if isinstance(asked, DestructiveRefused):
        raise asked
    services.wake(asked)
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
    reason = line(wish.reason, "reason", REASON_CHARACTERS) if wish.reason else ""
    kind = line(wish.kind, "kind")
    caller: Caller = request.state.caller

    def write(conn: Connection) -> tuple[UUID, tuple[Any, ...]]:
        policy = policies.in_force(conn)
        known = holds.kinds(policy)
        if kind not in known:
            raise bad_input(f"`kind` must be {' or '.join(f'`{each}`' for each in known)}.", field="kind")
        if until is not None and until <= clock.now(conn):
            raise bad_input("`until` is over already.", field="until")
        if account_id is not None:
            accounts.account_view(conn, account_id)
        more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
        return holds.set_hold(conn, policy, kind, account_id=account_id, until=until, **more)

    hold_id, asked = services.database.transact("the hold", write)
    services.wake(asked)
    return {"holdId": str(hold_id)}


@delete("/holds/{hold_id:str}", status_code=204, sync_to_thread=True)
def end_hold(request: HttpRequest, services: TheServices, hold_id: PathId) -> None:
    """End a hold before its time. Nobody is restricted by that at once: dates are told again, and leave their time."""
    caller: Caller = request.state.caller
    wanted = UUID(identifier(hold_id, "hold"))

    def write(conn: Connection) -> tuple[Any, ...]:
        return holds.end_hold(conn, policies.in_force(conn), wanted, by=caller.actor, world=services.world)

    services.wake(services.database.transact("the hold", write))


@post("/accounts/{account_id:str}/exemption", opt={"takes": Exemption}, status_code=200, sync_to_thread=True)
def exempt_account(
    request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody
) -> dict[str, str | None]:
    """Exempt an account from being pressed for money, or end that."""
    wish = decode(Exemption, body)
    wanted = UUID(identifier(account_id, "account"))
    until = instant(wish.until, "until") if wish.until is not None else None
    reason = line(wish.reason, "reason", REASON_CHARACTERS) if wish.reason else ""
    caller: Caller = request.state.caller

    def write(conn: Connection) -> tuple[Any, ...]:
        policy = policies.in_force(conn)
        return accounts.exempt(
            conn, policy, wanted, until, by=caller.actor, reason=reason, world=services.world
        ).intents

    services.wake(services.database.transact("the exemption", write))
    return {"accountId": str(wanted), "exemptUntil": on_the_wire(until)}


@post("/accounts/{account_id:str}/commands", opt={"takes": Event}, status_code=202, sync_to_thread=True)
def command_account(request: HttpRequest, services: TheServices, account_id: PathId, body: RawBody) -> dict[str, Any]:
    """Send a person's event to the account's ladders. One that moves nothing now is refused, with the reason."""
    event = line(decode(Event, body).event, "event")
    wanted = UUID(identifier(account_id, "account"))
    caller: Caller = request.state.caller

    def write(conn: Connection) -> ledger.Recorded:
        policy = policies.in_force(conn)
        if event not in (known := events_of(policy)):
            raise bad_input(f"`event` must be one of {', '.join(f'`{each}`' for each in known)}.", field="event")
        command = Command(event, "admin", caller.actor)
        return ledger.record(conn, policy, wanted, command=command, actor=caller.actor, world=services.world)

    recorded = services.database.transact(f"account `{wanted}`", write)
    services.wake(recorded.intents)
    return {"accountId": str(wanted), "states": dict(recorded.settlement.snapshot.states)}


def events_of(policy: Policy) -> list[str]:
    """Return the events that an admin may send to an account."""
    rules = (rule for machine in policy.account_machines for rule in machine.rules if rule.kind is not RuleKind.MOVE)
    return sorted({rule.event for rule in rules if rule.event is not None and rule.by == "admin"})


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
    allowance = (decode(Release, body) if body.strip() else Release()).allowance
    if allowance is not None and not 0 <= allowance <= 1_000_000:
        raise bad_input("`allowance` is a whole number from 0 to 1000000.", field="allowance")
    caller: Caller = request.state.caller

    def write(conn: Connection) -> bool:
        now = clock.now(conn)
        if name not in {brake.name for brake in brakes.states(conn, policies.in_force(conn), now)}:
            raise nothing_here("brake")
        return brakes.release(conn, name, caller.actor, now, allowance)

    if not services.database.transact("the brake", write):
        raise Problem(409, "BRAKE_NOT_TRIPPED", "This brake has not tripped.")
    return {"name": name, "released": True}


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    ask_for_intent,
    list_holds,
    set_hold,
    end_hold,
    exempt_account,
    command_account,
    list_brakes,
    release_brake,
)
