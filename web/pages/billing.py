"""A customer's invoices: what is due first and how to pay it, all papers as PDF, payments, and where invoices go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from storage import accounts
from storage.invoicing import invoices, invoices_open, organisations, reminders_review
from web.inputs import bounded_query, identifier
from web.pages.billing_words import ADDRESS, address_fields, address_of, download, paper, words
from web.pages.forms import form_of
from web.pages.render import go_to, page
from web.pages.visitor import owner_of, people_only
from web.problems import Problem, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices

PAGE = "/billing"
SHOWN = 50
NUMBER_CHARACTERS = 60


@get(PAGE, guards=[people_only], sync_to_thread=True)
def show_billing(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what is due, all invoices and payments, and the address that invoices are made out to."""
    return _page(request, services, owner_of(request))


def _page(
    request: HttpRequest,
    services: Services,
    owner: UUID,
    *,
    form: Mapping[str, str] | None = None,
    fault: str = "",
    status: int = 200,
) -> Response[Any]:
    after = bounded_query(request, "after", 40)
    with services.database.begin() as conn:
        organisation = organisations.get(conn, owner)
        given = {
            "organisation": organisation,
            "zone": accounts.customer(conn, owner).zone,
            "due": invoices_open.of_customer(conn, owner),
            "invoices": invoices.listed(
                conn, customer_id=owner, after=UUID(identifier(after, "invoice")) if after else None, limit=SHOWN
            ),
            "payments": invoices_open.payments_of(conn, owner, SHOWN),
            "reminders": reminders_review.sent_to(conn, owner, SHOWN),
            "methods": organisations.payment_methods(conn, owner),
        }
    fields = address_fields(organisation) | {name: form.get(name, "") for name in ADDRESS if form is not None}
    more = {"form": fields, "fault": fault, "saved": bounded_query(request, "saved", 1) == "1", "shown": SHOWN}
    return page(request, "billing.html", status=status, **words(), **given, **more)


@post("/billing/address", guards=[people_only])
async def change_address(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Change where invoices go. The country decides on the tax: it stays as it is here."""
    form = await form_of(request)
    owner = owner_of(request)

    def work() -> Response[Any]:
        try:
            wish = address_of(form)
        except Problem as problem:
            return _page(request, services, owner, form=form, fault=problem.detail, status=problem.status)
        with services.database.begin() as conn:
            organisations.change(conn, owner, wish)
        return go_to(f"{PAGE}?saved=1#address")

    return await services.in_thread(work)


@get("/billing/{number:str}/pdf", guards=[people_only], sync_to_thread=True)
def download_invoice(request: HttpRequest, services: TheServices, number: PathId) -> Response[bytes]:
    """Download one of one's own invoices or credit notes."""
    owner = owner_of(request)
    with services.database.begin() as conn:
        found = invoices.get(conn, number_in_path(number), customer_id=owner)
    return paper(found, services)


@get("/billing/reminders/{letter_id:str}/pdf", guards=[people_only], sync_to_thread=True)
def download_reminder(request: HttpRequest, services: TheServices, letter_id: PathId) -> Response[bytes]:
    """Download a reminder as one was sent it."""
    owner, wanted = owner_of(request), UUID(identifier(letter_id, "reminder"))
    with services.database.begin() as conn:
        found = reminders_review.paper_of(conn, wanted, customer_id=owner)
    return download(*found)


def number_in_path(given: str) -> str:
    """Return what may be an invoice's number. Raises the 404."""
    if not given.isprintable() or len(given) > NUMBER_CHARACTERS:
        raise nothing_here("invoice")
    return given


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_billing, change_address, download_invoice, download_reminder)
