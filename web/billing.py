"""Subscribing, changing the plan and managing payment, as an API: each answers with the address to go on at.

Paying is never gated: whoever is suspended must be able to.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Router, get, post
from litestar.params import RawBody

from jobs.stripe.checkout import Cashier
from storage import accounts, policies
from storage.errors import UnknownAccount
from web.auth import Caller, signed_in
from web.inputs import Input, decode, identifier_field
from web.problems import Problem, nothing_here
from web.services import HttpRequest, Services, TheServices


class PlanWish(Input):
    """A plan for an account."""

    account_id: str
    plan: str


class AccountNamed(Input):
    """One of the caller's accounts."""

    account_id: str


@get("/api/billing/plans", sync_to_thread=True)
def list_plans(services: TheServices) -> list[dict[str, Any]]:
    """List the plans that can be chosen, and how many servers each allows."""
    with services.database.begin() as conn:
        plans = policies.in_force(conn).standing.plans.values()
    return [{"plan": plan.name, "servers": plan.servers} for plan in plans if plan.prices]


@post("/api/billing/checkout", opt={"takes": PlanWish}, status_code=200, sync_to_thread=True)
def begin_checkout(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Lead to the page on which the account subscribes."""
    wish = decode(PlanWish, body)
    return {"url": cashier_of(request, services, wish.account_id).checkout(wish.plan)}


@post("/api/billing/plan", opt={"takes": PlanWish}, status_code=202, sync_to_thread=True)
def change_plan(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Change the running subscription; it counts once Stripe has told of it."""
    wish = decode(PlanWish, body)
    cashier_of(request, services, wish.account_id).change(wish.plan)
    return {"plan": wish.plan}


@post("/api/billing/portal", opt={"takes": AccountNamed}, status_code=200, sync_to_thread=True)
def open_portal(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Lead to the pages on which cards and invoices are looked after."""
    return {"url": cashier_of(request, services, decode(AccountNamed, body).account_id).portal()}


def cashier_of(request: HttpRequest, services: Services, account_id: str) -> Cashier:
    """Return who takes payment for an account of the caller's. Raises the 404 of anybody else's, an admin's 403."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise Problem(
            403, "CUSTOMERS_ONLY", "An administrator has nothing to pay; a customer subscribes by themselves."
        )
    known = UUID(identifier_field(account_id, "accountId"))
    with services.database.begin() as conn:
        try:
            owner = accounts.account_view(conn, known).customer_id
        except UnknownAccount:
            raise nothing_here("account") from None
    if str(owner) != caller.customer_id:
        raise nothing_here("account")
    return Cashier(services.settings, services.database, known, caller.actor)


router = Router(
    "/", route_handlers=[list_plans, begin_checkout, change_plan, open_portal], guards=[signed_in], tags=["billing"]
)
