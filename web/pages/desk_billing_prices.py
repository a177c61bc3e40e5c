"""Prices at the desk: what holds today, of the platform and of each skill, and every change with its first day."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler

from jobs.invoices.creditor import price_zone_of
from storage import clock
from storage.invoicing import prices
from web.auth import Caller
from web.inputs import line
from web.pages.billing_words import amount_of, day_of
from web.pages.desk_billing import PAGE, billing
from web.pages.desk_words import deed, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input
from web.services import HttpRequest, TheServices

PLACE = f"{PAGE}/prices"
SKILL_CHARACTERS = 60
LABELS = {
    "monthly_fee": ("Monthly fee", "a tenant"),
    "setup_fee": ("Setup fee", "a tenant, once"),
    "per_message_price": ("Price of a message", "each"),
    "model_spend_factor": ("Factor on model spend", "times what it cost"),
    "vat_rate_chli": ("VAT in Switzerland and Liechtenstein", "per cent"),
}


@get(PLACE, guards=[admins_only], sync_to_thread=True)
def show_prices(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show what holds today, and every change."""
    zone = price_zone_of(services.settings)
    with services.database.begin() as conn:
        now = clock.now(conn)
        held = {"current": prices.current(conn, zone=zone), "skills": prices.skills(conn, zone=zone)}
        given = {**held, "history": prices.history(conn), "zone": zone}
    return billing(request, "desk_billing_prices.html", now, **given, labels=LABELS, fields=prices.FIELDS)


@post(PLACE, guards=[admins_only])
async def change_prices(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Change prices from a day on; a field that is left empty stays. Days on issued invoices keep theirs."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        read = {name: _price(form, name, LABELS[name][0]) for name in prices.FIELDS}
        wish = {name: price for name, price in read.items() if price is not None}
        if not wish:
            raise bad_input("No price was named.")
        reason = reason_of(form)
        valid_from = day_of(form, "valid_from", "The first day")
        more: dict[str, Any] = {"valid_from": valid_from, "zone": price_zone_of(services.settings)}
        with services.database.begin() as conn:
            since = prices.change(conn, wish, by=caller.actor, reason=reason, **more)
        return f"Changed from {since} on: {', '.join(LABELS[name][0].lower() for name in wish)}."

    return await services.in_thread(deed, request, PLACE, work)


@post(f"{PLACE}/skills", guards=[admins_only])
async def change_skill_price(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Set what a day of a skill costs, from a day on."""
    form = await form_of(request)
    caller: Caller = request.state.caller

    def work() -> str:
        skill = line(form.get("skill", ""), "skill", SKILL_CHARACTERS)
        price = _price(form, "daily_price", "The price of a day")
        if price is None:
            raise bad_input("Say what a day costs, 0 for nothing.")
        reason = reason_of(form)
        valid_from = day_of(form, "valid_from", "The first day")
        with services.database.begin() as conn:
            more: dict[str, Any] = {"by": caller.actor, "valid_from": valid_from, "reason": reason}
            more["zone"] = price_zone_of(services.settings)
            since = prices.change_skill(conn, skill, price, **more)
        return f"A day of {skill} costs {price} from {since} on."

    return await services.in_thread(deed, request, PLACE, work)


def _price(form: Any, name: str, label: str) -> Decimal | None:
    return amount_of(form, name, label, prices.AMOUNT_DIGITS.get(name, prices.UNIT_DIGITS))


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_prices, change_prices, change_skill_price)
