"""What an organisation pays with, at the desk: ways to pay are added and removed, each with a reason."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from storage.invoicing import invoices_audit, organisations
from web.auth import Caller
from web.inputs import identifier, line, provider_id
from web.pages.desk_billing_organisations import PLACE
from web.pages.desk_words import deed, reason_of
from web.pages.forms import form_of
from web.pages.visitor import admins_only
from web.problems import bad_input, nothing_here
from web.services import HttpRequest, PathId, TheServices

KINDS = {"invoice": "invoice", "card": "card", "bank_debit": "bank debit"}
LABEL_CHARACTERS = 100


@post(f"{PLACE}/{{customer_id:str}}/methods", guards=[admins_only])
async def add_method(request: HttpRequest, services: TheServices, customer_id: PathId) -> Response[Any]:
    """Add a way in which an organisation pays; as the one used first, it takes the place of the one before."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted = UUID(identifier(customer_id, "organisation"))

    def work() -> str:
        kind, is_default = form.get("kind", ""), form.get("default") == "1"
        if kind not in KINDS:
            raise bad_input("Choose how it pays.", field="kind")
        label = line(form.get("label", ""), "label", LABEL_CHARACTERS)
        stripe_id = form.get("stripe_payment_method_id", "").strip() or None
        if stripe_id is not None:
            provider_id(stripe_id, "stripe_payment_method_id")
        reason = reason_of(form)
        facts = {"kind": kind, "label": label, "stripe_id": stripe_id, "default": is_default}

        def write(conn: Connection) -> None:
            organisations.get(conn, wanted)
            said: dict[str, Any] = {"by": caller.actor, "reason": reason, "facts": facts}
            invoices_audit.note_organisation(conn, wanted, "payment_method_added", **said)
            organisations.add_payment_method(conn, wanted, kind, label, stripe_id=stripe_id, default=is_default)

        services.database.transact("the payment method", write)
        return f"Added: {label}."

    return await services.in_thread(deed, request, f"{PLACE}/{customer_id}", work)


@post(f"{PLACE}/{{customer_id:str}}/methods/{{method_id:str}}/remove", guards=[admins_only])
async def remove_method(
    request: HttpRequest, services: TheServices, customer_id: PathId, method_id: PathId
) -> Response[Any]:
    """Remove a way in which an organisation pays."""
    form = await form_of(request)
    caller: Caller = request.state.caller
    wanted, method = UUID(identifier(customer_id, "organisation")), UUID(identifier(method_id, "payment method"))

    def work() -> str:
        reason = reason_of(form)

        def write(conn: Connection) -> str:
            there = {each.id: each for each in organisations.payment_methods(conn, wanted)}
            if method not in there:
                raise nothing_here("payment method")
            label = there[method].label
            said: dict[str, Any] = {"by": caller.actor, "reason": reason, "facts": {"label": label}}
            invoices_audit.note_organisation(conn, wanted, "payment_method_removed", **said)
            if not organisations.remove_payment_method(conn, wanted, method):
                raise nothing_here("payment method")
            return label

        return f"Removed: {services.database.transact('the payment method', write)}."

    return await services.in_thread(deed, request, f"{PLACE}/{customer_id}", work)


HANDLERS: tuple[HTTPRouteHandler, ...] = (add_method, remove_method)
