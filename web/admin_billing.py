"""For administrators: prices with their validity, and how each organisation is billed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

import msgspec
from litestar import delete, get, patch, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import Connection

from jobs.invoices.creditor import price_zone_of
from storage.invoicing import invoices_audit, organisations, prices
from storage.invoicing.organisations import Organisation
from storage.invoicing.prices import FIELDS
from web.auth import Caller
from web.billing_wire import plain
from web.inputs import (
    Input,
    day,
    decode,
    email_address,
    given_reason,
    identifier,
    identifier_field,
    line,
    page_size,
    provider_id,
    query,
    zone_name,
)
from web.problems import bad_input, nothing_here
from web.services import HttpRequest, PathId, Services, TheServices
from web.wire import camel, on_the_wire

COUNTRY = re.compile("[A-Z]{2}")
CURRENCY = re.compile("[A-Z]{3}")
Kind = Literal["invoice", "card", "bank_debit"]


class NewPrices(Input):
    """Prices that change from a day on, today unless it is named; what is not named stays."""

    monthly_fee: Decimal | None = None
    setup_fee: Decimal | None = None
    per_message_price: Decimal | None = None
    model_spend_factor: Decimal | None = None
    vat_rate_chli: Decimal | None = None
    currency: str | None = None
    valid_from: date | None = None
    reason: str = ""


class NewSkillPrice(Input):
    """What a day of a skill costs, from a day on."""

    daily_price: Decimal
    valid_from: date | None = None
    reason: str = ""


class BillingConfig(Input):
    """How an organisation is billed; what is not named stays, null clears."""

    pay_by_invoice: bool | msgspec.UnsetType = msgspec.UNSET
    stripe_customer_id: str | msgspec.UnsetType | None = msgspec.UNSET
    auto_invoices: bool | msgspec.UnsetType = msgspec.UNSET
    auto_reminders: bool | msgspec.UnsetType = msgspec.UNSET
    street: str | msgspec.UnsetType = msgspec.UNSET
    house_number: str | msgspec.UnsetType = msgspec.UNSET
    postal_code: str | msgspec.UnsetType = msgspec.UNSET
    town: str | msgspec.UnsetType = msgspec.UNSET
    country: str | msgspec.UnsetType = msgspec.UNSET
    zone: str | msgspec.UnsetType = msgspec.UNSET
    email: str | msgspec.UnsetType | None = msgspec.UNSET
    vat_id: str | msgspec.UnsetType | None = msgspec.UNSET
    payment_days: int | msgspec.UnsetType | None = msgspec.UNSET
    reason: str = ""


class NewPaymentMethod(Input):
    """A way in which an organisation pays."""

    kind: Kind
    label: str
    stripe_payment_method_id: str | None = None
    default: bool = False
    reason: str = ""


# ---- prices ----------------------------------------------------------------------------------------------------------


@get("/billing/prices", sync_to_thread=True)
def show_prices(services: TheServices) -> dict[str, Any]:
    """Show what holds today: of the platform, and of each skill by the day."""
    return _held(services)


@get("/billing/prices/history", sync_to_thread=True)
def list_prices(services: TheServices) -> list[dict[str, Any]]:
    """List every change of a price, newest first, with the day from which it holds."""
    with services.database.begin() as conn:
        return [plain(row) for row in prices.history(conn)]


@put("/billing/prices", opt={"takes": NewPrices}, sync_to_thread=True)
def change_prices(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, Any]:
    """Change prices from a day on. Days that are on an issued invoice keep theirs."""
    wish = decode(NewPrices, body)
    caller: Caller = request.state.caller
    named = {name: amount for name in FIELDS if (amount := getattr(wish, name)) is not None}
    if not named and wish.currency is None:
        raise bad_input("The body names no price.")
    if wish.currency is not None and not CURRENCY.fullmatch(wish.currency):
        raise bad_input("`currency` is three capital letters such as `CHF`.", field="currency")
    valid_from = None if wish.valid_from is None else day(wish.valid_from, "validFrom")
    with services.database.begin() as conn:
        more: dict[str, Any] = {"by": caller.actor, "valid_from": valid_from, "currency": wish.currency}
        more["zone"] = price_zone_of(services.settings)
        since = prices.change(conn, named, reason=given_reason(wish.reason), **more)
    return {**_held(services), "validFrom": since.isoformat()}


@put("/billing/prices/skills/{skill:str}", opt={"takes": NewSkillPrice}, sync_to_thread=True)
def change_skill_price(request: HttpRequest, services: TheServices, skill: PathId, body: RawBody) -> dict[str, Any]:
    """Set what a day of a skill costs, from a day on."""
    wish = decode(NewSkillPrice, body)
    name = line(skill, "skill", 60)
    valid_from = None if wish.valid_from is None else day(wish.valid_from, "validFrom")
    caller: Caller = request.state.caller
    with services.database.begin() as conn:
        more: dict[str, Any] = {"by": caller.actor, "valid_from": valid_from, "zone": price_zone_of(services.settings)}
        since = prices.change_skill(conn, name, wish.daily_price, reason=given_reason(wish.reason), **more)
    return {"skill": name, "dailyPrice": str(wish.daily_price), "validFrom": since.isoformat()}


# ---- organisations ---------------------------------------------------------------------------------------------------


@get("/billing/organisations", sync_to_thread=True)
def list_organisations(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List organisations and how each is billed, a page at a time: `?limit=`, and `?after=` the last id before."""
    after = query(request, "after", "")
    start = UUID(identifier_field(after, "after")) if after else None
    with services.database.begin() as conn:
        return [_organisation(each) for each in organisations.listed(conn, after=start, limit=page_size(request))]


@get("/billing/organisations/{customer_id:str}", sync_to_thread=True)
def show_organisation(services: TheServices, customer_id: PathId) -> dict[str, Any]:
    """Show how an organisation is billed, and what it pays with."""
    wanted = customer_of(customer_id)
    with services.database.begin() as conn:
        found = organisations.get(conn, wanted)
        methods = organisations.payment_methods(conn, wanted)
    names = ("kind", "label", "stripe_payment_method_id", "is_default", "created_at")
    shown = [
        {"paymentMethodId": str(each.id)} | {camel(name): on_the_wire(getattr(each, name)) for name in names}
        for each in methods
    ]
    return {**_organisation(found), "paymentMethods": shown}


@patch("/billing/organisations/{customer_id:str}", opt={"takes": BillingConfig}, sync_to_thread=True)
def change_organisation(
    request: HttpRequest, services: TheServices, customer_id: PathId, body: RawBody
) -> dict[str, Any]:
    """Change how an organisation is billed. Issued invoices stay as they are."""
    wish = decode(BillingConfig, body)
    given = {each: getattr(wish, each) for each in wish.__struct_fields__ if each != "reason"}
    change = {name: _bounded(name, value) for name, value in given.items() if value is not msgspec.UNSET}
    if not change:
        raise bad_input("The body names nothing to change.")
    wanted, reason = customer_of(customer_id), given_reason(wish.reason)
    with services.database.begin() as conn:
        _note(request, conn, wanted, "change_billing", reason, {"changed": ", ".join(sorted(change))})
        return _organisation(organisations.change(conn, wanted, change))


@post("/billing/organisations/{customer_id:str}/payment-methods", opt={"takes": NewPaymentMethod}, status_code=201,
      sync_to_thread=True)  # fmt: skip
def add_payment_method(
    request: HttpRequest, services: TheServices, customer_id: PathId, body: RawBody
) -> dict[str, str]:
    """Add a way in which an organisation pays."""
    wish = decode(NewPaymentMethod, body)
    label, stripe_id = line(wish.label, "label"), wish.stripe_payment_method_id
    if stripe_id is not None:
        provider_id(stripe_id, "stripePaymentMethodId")
    wanted, reason = customer_of(customer_id), given_reason(wish.reason)
    more: dict[str, Any] = {"stripe_id": stripe_id, "default": wish.default}
    with services.database.begin() as conn:
        _note(request, conn, wanted, "payment_method_added", reason, {"kind": wish.kind, "label": label, **more})
        made = organisations.add_payment_method(conn, wanted, wish.kind, label, **more)
    return {"paymentMethodId": str(made)}


@delete("/billing/organisations/{customer_id:str}/payment-methods/{method_id:str}", sync_to_thread=True)
def remove_payment_method(request: HttpRequest, services: TheServices, customer_id: PathId, method_id: PathId) -> None:
    """Remove a way in which an organisation pays: `?reason=` says why."""
    wanted, method = customer_of(customer_id), UUID(identifier(method_id, "payment method"))
    reason = given_reason(query(request, "reason", ""))
    with services.database.begin() as conn:
        _note(request, conn, wanted, "payment_method_removed", reason, {"method": str(method)})
        if not organisations.remove_payment_method(conn, wanted, method):
            raise nothing_here("payment method")


def _held(services: Services) -> dict[str, Any]:
    with services.database.begin() as conn:
        zone = price_zone_of(services.settings)
        platform, skills = prices.current(conn, zone=zone), prices.skills(conn, zone=zone)
    shown = {camel(name): str(getattr(platform, name)) for name in ("currency", *FIELDS)}
    return {**shown, "skills": {skill: str(price) for skill, price in skills.items()}}


def _note(
    request: HttpRequest, conn: Connection, customer_id: UUID, action: str, reason: str, facts: Mapping[str, Any]
) -> None:
    """Write down what the caller is about to do to how an organisation is billed. Raises UnknownCustomer."""
    organisations.get(conn, customer_id)
    caller: Caller = request.state.caller
    invoices_audit.note_organisation(conn, customer_id, action, by=caller.actor, reason=reason, facts=facts)


def _organisation(found: Organisation) -> dict[str, Any]:
    names = [name for name in Organisation.__slots__ if name != "customer_id"]
    return {"customerId": str(found.customer_id)} | {camel(name): getattr(found, name) for name in names}


def _bounded(name: str, value: Any) -> Any:
    """Check one field of a configuration. Raises the 400."""
    field = camel(name)
    if name == "country" and not COUNTRY.fullmatch(value):
        raise bad_input("`country` is two capital letters such as `CH`.", field="country")
    if name == "payment_days" and value is not None and not 0 <= value <= 365:
        raise bad_input("`paymentDays` is a whole number from 0 to 365.", field="paymentDays")
    if name == "zone":
        return zone_name(value)
    if name == "email" and value is not None:
        return email_address(value)
    if name == "stripe_customer_id" and value is not None:
        return provider_id(value, field)
    return line(value, field) if isinstance(value, str) and value else value


def customer_of(words: str) -> UUID:
    """Return the id of an organisation in a path."""
    return UUID(identifier(words, "organisation"))


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    show_prices,
    list_prices,
    change_prices,
    change_skill_price,
    list_organisations,
    show_organisation,
    change_organisation,
    add_payment_method,
    remove_payment_method,
)
