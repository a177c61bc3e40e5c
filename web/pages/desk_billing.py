"""Billing at the desk: what is open, what is overdue, which letters are stuck, and a month's invoices for everybody."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from jobs.invoices import run as monthly
from jobs.invoices.creditor import creditor_of
from jobs.invoices.words import amount_text
from storage import clock, invoices, invoices_open, reminders_review
from web.auth import Caller
from web.inputs import bounded_query, identifier
from web.pages.billing_words import month_named, words
from web.pages.desk_words import deed, desk
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.services import HttpRequest, TheServices

PAGE = "/admin/billing"
SHOWN = 50
FAULTS_TOLD = 3
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
            "overdue": [] if after else invoices_open.listed(conn, overdue=True, limit=SHOWN),
            "invoices": invoices.listed(conn, after=UUID(identifier(after, "invoice")) if after else None, limit=SHOWN),
            "stuck": reminders_review.count_stuck(conn),
        }
    last = (now.date().replace(day=1) - timedelta(days=1)).strftime("%Y-%m")
    can_issue = services.settings.invoice_file is not None
    return billing(request, "desk_billing.html", now, **given, last_month=last, shown=SHOWN, can_issue=can_issue)


@post(f"{PAGE}/generate", guards=[admins_only])
async def generate(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Issue a month's invoice for everybody who pays by invoice and has none yet."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        month, _ = month_named(form.get("month", ""))
        report = monthly.run(services.database, creditor_of(services.settings), month, by=caller.actor)
        said = f"{month:%Y-%m}: {report.issued} issued, {amount_text(report.total)} together"
        if report.nothing:
            said += f"; {report.nothing} with nothing to pay for"
        if not report.failed:
            return f"{said}."
        why = "; ".join(reason for _, reason in report.faults[:FAULTS_TOLD])
        return f"{said}; {report.failed} FAILED, and the next run tries them again: {why}"[:480]

    return await services.in_thread(deed, request, PAGE, work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_billing, generate)
