"""What waits for a person: requests, events and notices that went nowhere, orders that failed; repairs, alerts."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import text

from storage import alerts, clock, intents, letters_lost, operations, policies, repairs
from web import admin_deeds
from web.auth import Caller
from web.inputs import identifier
from web.pages import desk_requests
from web.pages.desk_words import deed, desk, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices

SHOWN = 100
EVENTS = text(
    "SELECT id, type, status, reason, account_id, stripe_customer_id, created_at, received_at FROM stripe_events "
    "WHERE status IN ('parked', 'quarantined') ORDER BY received_at DESC, id LIMIT :limit"
)


@get("/admin/review", guards=[admins_only], sync_to_thread=True)
def show_review(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show everything that waits for a person, newest first."""
    with services.database.begin() as conn:
        policy = policies.in_force(conn)
        given = {
            "requests": desk_requests.waiting(conn, SHOWN),
            "events": conn.execute(EVENTS, {"limit": SHOWN}).mappings().all(),
            "troubled": intents.listed(conn, statuses=("unknown", "failed"), limit=SHOWN),
            "operations": operations.listed(conn, ["failed"], SHOWN),
            "lost": letters_lost.lost(conn),
            "repairs": repairs.listed(conn, limit=25),
            "alerts": alerts.latest(conn, 25),
            "shown": SHOWN,
            "policy": policy,
        }
        now = clock.now(conn)
    return desk(request, "desk_review.html", now, **given)


@post("/admin/events/{event_id:str}/replay", guards=[admins_only])
async def replay(request: HttpRequest, services: TheServices, event_id: PathId) -> Response[Any]:
    """Take an event again."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        taken = admin_deeds.replay_event(services, caller, event_id, reason_of(form))
        return f"{event_id} is {taken.status}{f': {taken.reason}' if taken.reason else ''}."

    return await services.in_thread(deed, request, "/admin/review#events", work)


@post("/admin/events/{event_id:str}/dismiss", guards=[admins_only])
async def dismiss(request: HttpRequest, services: TheServices, event_id: PathId) -> Response[Any]:
    """Set an event aside for good."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        admin_deeds.dismiss_event(services, caller, event_id, reason_of(form))
        return f"{event_id} is set aside. It stays in the log."

    return await services.in_thread(deed, request, "/admin/review#events", work)


@post("/admin/intents/{intent_id:str}/resolve", guards=[admins_only])
async def resolve(request: HttpRequest, services: TheServices, intent_id: PathId) -> Response[Any]:
    """Settle a notice or effect whose end is unknown, or that failed."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(intent_id, "intent"))

    def work() -> str:
        if form.get("outcome") == "delivered":
            admin_deeds.resolve(services, caller, wanted, "delivered", reason_of(form))
            return "It counts as done."
        if form.get("outcome") == "again":
            admin_deeds.resolve(services, caller, wanted, "again", reason_of(form))
            return "It is on its way again."
        raise bad_input("Choose what you found out: it arrived, or it did not.", field="outcome")

    return await services.in_thread(deed, request, "/admin/review#notices", work)


@post("/admin/operations/{operation_id:str}/{how:str}", guards=[admins_only])
async def settle_operation(
    request: HttpRequest, services: TheServices, operation_id: PathId, how: PathId
) -> Response[Any]:
    """Let a failed operation go on, or clean up after it."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(operation_id, "operation"))

    def work() -> str:
        if how == "resume":
            found = admin_deeds.resume_operation(services, caller, wanted, reason_of(form))
        elif how == "cleanup":
            found = admin_deeds.clean_up_operation(services, caller, wanted, reason_of(form))
        else:
            raise bad_input("An operation goes on (`resume`), or is cleaned up after (`cleanup`).")
        return f"The {found.kind} operation is {found.state}, in {found.phase}."

    return await services.in_thread(deed, request, "/admin/review#operations", work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_review, replay, dismiss, resolve, settle_operation)
