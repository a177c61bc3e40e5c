"""What pauses enforcement: holds, of one account or everybody, and brakes that have tripped."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import brakes, clock, holds, policies
from web import admin_deeds
from web.auth import Caller
from web.inputs import identifier, line
from web.pages.desk_actions import hold_kinds
from web.pages.desk_words import deed, desk, reason_of, short, until_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices

PAGE = "/admin/holds"


@get(PAGE, guards=[admins_only], sync_to_thread=True)
def show_holds(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show every hold in effect, and every brake."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        given = {
            "holds": holds.active(conn),
            "brakes": brakes.states(conn, policy, now),
            "kinds": hold_kinds(policy, "processor_outage"),
        }
    return desk(request, "desk_holds.html", now, **given)


@post(PAGE, guards=[admins_only])
async def hold_everybody(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Pause enforcement for everybody, such as while the payment processor is out."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        until = until_of(form, needed=False)
        admin_deeds.set_hold(services, caller, line(form.get("kind", ""), "kind"), None, until, reason=reason_of(form))
        return f"Nobody is pressed until {f'{short(until)} UTC' if until else 'somebody ends this'}."

    return await services.in_thread(deed, request, PAGE, work)


@post("/admin/holds/{hold_id:str}/end", guards=[admins_only])
async def end_hold(request: HttpRequest, services: TheServices, hold_id: PathId) -> Response[Any]:
    """End a hold before its time."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(hold_id, "hold"))

    def work() -> str:
        admin_deeds.end_hold(services, caller, wanted, reason_of(form))
        return "The hold has ended. Dates are told again, and leave their time."

    return await services.in_thread(deed, request, PAGE, work)


@post("/admin/brakes/{name:str}/release", guards=[admins_only])
async def release_brake(request: HttpRequest, services: TheServices, name: PathId) -> Response[Any]:
    """Let a tripped brake go."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        words = form.get("allowance", "").strip()
        if words and not (words.isascii() and words.isdigit() and len(words) < 8):
            raise bad_input("How many may pass is a whole number, or left empty.", field="allowance")
        admin_deeds.release_brake(services, caller, name, int(words) if words else None, reason_of(form))
        return f"{name} is released{f'; {words} may pass now' if words else ''}."

    return await services.in_thread(deed, request, PAGE, work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_holds, hold_everybody, end_hold, release_brake)
