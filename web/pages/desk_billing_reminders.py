"""Letters about invoices at the desk: all that were asked for, and settling those of which nobody knows the end."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from storage import clock, policies
from storage.invoicing import reminders_review
from storage.ledger_invoices import InvoiceMoved
from web.auth import Caller
from web.inputs import identifier
from web.pages.billing_words import download
from web.pages.desk_billing import PAGE, SHOWN, billing
from web.pages.desk_words import deed, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices

PLACE = f"{PAGE}/reminders"


@get(PLACE, guards=[admins_only], sync_to_thread=True)
def show_reminders(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what waits for a person, then the newest letters."""
    with services.database.begin() as conn:
        now = clock.now(conn)
        stuck = reminders_review.listed(conn, stuck=True, limit=SHOWN)
        letters = reminders_review.listed(conn, limit=SHOWN)
    return billing(request, "desk_billing_reminders.html", now, stuck=stuck, letters=letters, shown=SHOWN)


@get(f"{PLACE}/{{letter_id:str}}/pdf", guards=[admins_only], sync_to_thread=True)
def download_reminder(services: TheServices, letter_id: PathId) -> Response[bytes]:
    """Download a reminder as it was, or may have been, sent."""
    wanted = UUID(identifier(letter_id, "letter"))
    with services.database.begin() as conn:
        found = reminders_review.paper_of(conn, wanted)
    return download(*found)


@post(f"{PLACE}/{{letter_id:str}}/resolve", guards=[admins_only])
async def resolve(request: HttpRequest, services: TheServices, letter_id: PathId) -> Response[Any]:
    """Settle a letter, after a look at what really happened."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(letter_id, "letter"))

    def work() -> str:
        reason, outcome = reason_of(form), form.get("outcome")
        if outcome not in {"delivered", "again"}:
            raise bad_input("Say what happened: it left, or it did not.", field="outcome")

        def write(conn: Connection) -> InvoiceMoved | None:
            more: dict[str, Any] = {"by": caller.actor, "reason": reason, "world": services.world}
            how: Literal["delivered", "again"] = "delivered" if outcome == "delivered" else "again"
            return reminders_review.resolve(conn, policies.in_force(conn), wanted, how, **more)

        moved = services.database.transact("the letter", write)
        if moved is not None:
            services.wake(moved.intents)
        return "It counts as delivered." if outcome == "delivered" else "It is sent again."

    return await services.in_thread(deed, request, PLACE, work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_reminders, download_reminder, resolve)
