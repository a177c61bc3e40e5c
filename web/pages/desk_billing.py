"""Billing at the desk: what is open, what is overdue, which letters are stuck, and a month's invoices for everybody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from jobs.invoices.creditor import creditor_of
from jobs.invoices.run import ended_somewhere
from storage import clock
from storage.invoicing import invoice_orders, invoices, invoices_open, reminders_review
from web.auth import Caller
from web.inputs import bounded_query, identifier
from web.pages.billing_words import month_named, words
from web.pages.desk_words import deed, desk
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.services import HttpRequest, TheServices

PAGE = "/admin/billing"
SHOWN = 50
PLACES = (
    (PAGE, "Overview"),
    (f"{PAGE}/organisations", "Organisations"),
    (f"{PAGE}/prices", "Prices"),
    (f"{PAGE}/reminders", "Reminders"),
    (f"{PAGE}/import", "Bank import"),
)


def billing(request: HttpRequest, template: str, now: datetime, **given: Any) -> Response[str]:
    """Return a page of billing at the desk."""
    return desk(request, template, now, billing_places=PLACES, **words(), **given)


@get(PAGE, guards=[admins_only], sync_to_thread=True)
def show_billing(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what is overdue first, then the newest papers, and what waits for a person."""
    after = bounded_query(request, "after", 40)
    with services.database.begin() as conn:
        now = clock.now(conn)
        given = {
            "sums": invoices_open.sums(conn),
            "overdue": [] if after else invoices_open.overdue(conn, limit=SHOWN),
            "invoices": invoices.listed(conn, after=UUID(identifier(after, "invoice")) if after else None, limit=SHOWN),
            "progress": invoice_orders.newest(conn),
            "stuck": reminders_review.count_stuck(conn),
        }
    last = (now.date().replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    can_issue = services.settings.invoice_file is not None
    return billing(request, "desk_billing.html", now, **given, last_month=last, shown=SHOWN, can_issue=can_issue)


@post(f"{PAGE}/generate", guards=[admins_only])
async def generate(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Order a month's invoice for everybody who pays by invoice and has none yet; the controller issues them."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        month, _ = month_named(form.get("month", ""))
        creditor_of(services.settings)  # the controller reads the same file: who orders is told now what is wrong
        with services.database.begin() as conn:
            ended_somewhere(conn, month)
            _, is_new = invoice_orders.ask(conn, month, by=caller.actor)
        if not is_new:
            return f"{month:%Y-%m} is on order already; below is how far it is."
        return f"{month:%Y-%m} is ordered for everybody; below is how far it is."

    return await services.in_thread(deed, request, PAGE, work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_billing, generate)
