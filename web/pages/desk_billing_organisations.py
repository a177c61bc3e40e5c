"""Organisations at the desk: how each is billed, what a month costs it before it is issued, and issuing that."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.invoicing.invoice import Invoice
from jobs.invoices.creditor import creditor_of, previewer_of
from jobs.invoices.words import amount_text
from storage import accounts, clock
from storage.invoicing import invoices, invoices_audit, organisations
from storage.invoicing.invoices_issue import Billing
from web.auth import Caller
from web.inputs import bounded_query, identifier, provider_id, zone_name
from web.pages.billing_words import ADDRESS, address_fields, address_of, month_named, preview_paper
from web.pages.desk_billing import PAGE, SHOWN, billing
from web.pages.desk_words import deed, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input, conflict
from web.services import HttpRequest, PathId, Services, TheServices

PLACE = f"{PAGE}/organisations"
COUNTRY = re.compile("[A-Z]{2}")
SWITCHES = ("pay_by_invoice", "auto_invoices", "auto_reminders")


@get(PLACE, guards=[admins_only], sync_to_thread=True)
def show_organisations(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show organisations, those that pay by invoice first."""
    asked = bounded_query(request, "q", 100)
    with services.database.begin() as conn:
        now = clock.now(conn)
        found = organisations.search(conn, asked, limit=SHOWN)
    return billing(request, "desk_billing_organisations.html", now, organisations=found, asked=asked, shown=SHOWN)


@get(f"{PLACE}/{{customer_id:str}}", guards=[admins_only], sync_to_thread=True)
def show_organisation(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[Any]:
    """Show how an organisation is billed, and its invoices."""
    wanted = UUID(identifier(customer_id, "organisation"))
    with services.database.begin() as conn:
        now = clock.now(conn)
        organisation = organisations.get(conn, wanted)
        given = {
            "organisation": organisation,
            "invoices": invoices.listed(conn, customer_id=wanted, limit=SHOWN),
            "methods": organisations.payment_methods(conn, wanted),
            "accounts": accounts.accounts_of(conn, wanted),
        }
    more = {"form": address_fields(organisation), "address": ADDRESS, "last_month": _last_month(now.date())}
    return billing(request, "desk_billing_organisation.html", now, **given, **more, shown=SHOWN)


@post(f"{PLACE}/{{customer_id:str}}", guards=[admins_only])
async def change_organisation(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[Any]:
    """Change how an organisation is billed. Issued invoices stay as they are."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(customer_id, "organisation"))

    def work() -> str:
        reason, wish = reason_of(form), _wish(form)

        def write(conn: Connection) -> list[str]:
            before = organisations.get(conn, wanted)
            changed = sorted(name for name, value in wish.items() if getattr(before, name) != value)
            said: dict[str, Any] = {"by": caller.actor, "reason": reason, "facts": {"changed": ", ".join(changed)}}
            invoices_audit.note_organisation(conn, wanted, "change_billing", **said)
            organisations.change(conn, wanted, wish)
            return changed

        changed = services.database.transact("the organisation", write)
        return f"Changed: {', '.join(changed).replace('_', ' ')}." if changed else "Nothing was different."

    return await services.in_thread(deed, request, f"{PLACE}/{customer_id}", work)


# ---- one month -------------------------------------------------------------------------------------------------------


@get(f"{PLACE}/{{customer_id:str}}/preview", guards=[admins_only], sync_to_thread=True)
def show_preview(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[Any]:
    """Show what a month costs an organisation, and whether it can be issued."""
    wanted = UUID(identifier(customer_id, "organisation"))
    with services.database.begin() as conn:
        now = clock.now(conn)
        month = month_named(bounded_query(request, "month", 10) or _last_month(now.date()))
        given = {
            "organisation": organisations.get(conn, wanted),
            "invoice": _preview(conn, services, wanted, month),
            "issued": invoices.of_month(conn, wanted, month[0]),
        }
    earlier, later = (month[0] - timedelta(days=1)), (month[1] + timedelta(days=1))
    more = {"month": f"{month[0]:%Y-%m}", "earlier": f"{earlier:%Y-%m}", "later": f"{later:%Y-%m}"}
    can_issue = services.settings.invoice_file is not None
    return billing(request, "desk_billing_preview.html", now, **given, **more, can_issue=can_issue)


@get(f"{PLACE}/{{customer_id:str}}/preview/pdf", guards=[admins_only], sync_to_thread=True)
def download_preview(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[bytes]:
    """Download what a month's invoice would look like."""
    wanted = UUID(identifier(customer_id, "organisation"))
    month = month_named(bounded_query(request, "month", 10))
    with services.database.begin() as conn:
        preview = _preview(conn, services, wanted, month)
    return preview_paper(preview, services.settings)


@post(f"{PLACE}/{{customer_id:str}}/issue", guards=[admins_only])
async def issue(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[Any]:
    """Issue the invoice of a month that is over."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(customer_id, "organisation"))
    given = form.get("month", "")

    def work() -> str:
        month, _ = month_named(given)
        maker = Billing(creditor_of(services.settings))

        made = services.database.transact("the invoice", lambda conn: maker.issue(conn, wanted, month, by=caller.actor))
        if made is None:
            raise conflict("NOTHING_TO_INVOICE", f"{month:%Y-%m} holds nothing to pay for. No number was used.")
        return f"{made.number} is issued: {made.currency} {amount_text(made.total)}. It goes out by mail."

    return await services.in_thread(deed, request, f"{PLACE}/{customer_id}", work)


def _preview(conn: Connection, services: Services, customer_id: UUID, month: tuple[date, date]) -> Invoice:
    billed = Billing(previewer_of(services.settings))
    return billed.preview(conn, organisations.get(conn, customer_id), *month)


def _last_month(today: date) -> str:
    return (today.replace(day=1) - timedelta(days=1)).strftime("%Y-%m")


def _wish(form: Mapping[str, str]) -> dict[str, Any]:
    """Read the whole form. Raises the 400."""
    country, days = form.get("country", "").strip().upper(), form.get("payment_days", "").strip()
    if not COUNTRY.fullmatch(country):
        raise bad_input("The country is two letters such as CH.", field="country")
    if days and not (days.isascii() and days.isdigit() and len(days) <= 3 and int(days) <= 365):
        raise bad_input("The days to pay are a whole number from 0 to 365, or left empty.", field="payment_days")
    stripe_id = form.get("stripe_customer_id", "").strip()
    switches = {name: form.get(name) == "1" for name in SWITCHES}
    zone = zone_name(form.get("zone", "").strip())
    return {
        **address_of(form),
        **switches,
        "country": country,
        "stripe_customer_id": provider_id(stripe_id, "stripe_customer_id") if stripe_id else None,
        "zone": zone,
        "payment_days": int(days) if days else None,
    }


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    show_organisations,
    show_organisation,
    change_organisation,
    show_preview,
    download_preview,
    issue,
)
