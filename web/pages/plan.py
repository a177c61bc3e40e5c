"""The page on which a customer subscribes, changes their plan and reaches Stripe's portal; and the way back from there.

What was paid counts once Stripe has told of it: the page to which people return waits for that, and says so.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection, select

from jobs.stripe.checkout import CHANGEABLE, LIVE
from storage import accounts, policies
from storage.accounts import AccountView
from storage.stripe.event_fields import ID_LENGTH
from storage.subscribed import payment_of, subscribed
from storage.tables import accounts as rows
from web.auth import Caller
from web.billing import cashier_of
from web.inputs import query
from web.pages.forms import form_of
from web.pages.overview import grade_of, heading_of
from web.pages.render import go_to, leave_to, page
from web.pages.visitor import people_only
from web.problems import nothing_here
from web.services import HttpRequest, Services, TheServices
from web.told import Teller

MOST_LOOKS = 40  # of the page that waits, two seconds apart


@get("/plan", guards=[people_only], sync_to_thread=True)
def show_plan(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show the plan of each account, and what else can be chosen."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        return go_to("/admin")
    with services.database.begin() as conn:
        customer = accounts.customer(conn, UUID(caller.customer_id))
        shown = [_account(conn, services, view) for view in accounts.accounts_of(conn, customer.id)]
        standing = policies.in_force(conn).standing
    can_pay, free = bool(services.settings.stripe_api_key), standing.free_servers
    plans = [plan for plan in standing.plans.values() if plan.prices]
    return page(request, "plan.html", zone=customer.zone, accounts=shown, plans=plans, can_pay=can_pay, free=free)


def _account(conn: Connection, services: Services, view: AccountView) -> dict[str, Any]:
    row = conn.execute(select(rows).where(rows.c.id == view.id)).mappings().one()
    told = Teller(conn, services.settings, policies.in_force(conn)).account(row)
    return {
        "view": view,
        "grade": grade_of(view, told),
        "heading": heading_of(view, told),
        "message": told["message"] if told["payUrl"] else "",
        "plan": view.plan if view.has_active_plan else None,
        "how": subscribed(conn, view.id),
        "is_live": view.subscription_status in LIVE,
        "is_changeable": view.subscription_status in CHANGEABLE,
    }


@post("/plan/subscribe", guards=[people_only])
async def subscribe(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Lead to Stripe's checkout."""
    form = await form_of(request)
    cashier = await services.in_thread(cashier_of, request, services, form.get("accountId", ""))
    return leave_to(await services.in_thread(cashier.checkout, form.get("plan", "")))


@post("/plan/change", guards=[people_only])
async def change(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Change the plan, and wait until Stripe has told of it."""
    form = await form_of(request)
    account_id, plan = form.get("accountId", ""), form.get("plan", "")
    cashier = await services.in_thread(cashier_of, request, services, account_id)
    await services.in_thread(cashier.change, plan)
    return go_to(f"/plan/return?{urlencode({'account': account_id, 'plan': plan})}")


@post("/plan/portal", guards=[people_only])
async def manage(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Lead to Stripe's portal."""
    form = await form_of(request)
    cashier = await services.in_thread(cashier_of, request, services, form.get("accountId", ""))
    return leave_to(await services.in_thread(cashier.portal))


@get("/plan/return", guards=[people_only], sync_to_thread=True)
def show_return(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Wait until Stripe has told of what was chosen, looking again by itself; say so meanwhile, and when it is done."""
    plan, account_id = query(request, "plan", "")[:100], query(request, "account", "")
    view = _mine(request, services, account_id)
    with services.database.begin() as conn:
        payment = payment_of(conn, view.id, query(request, "session", "")[:ID_LENGTH])
    if payment == "failed":
        return page(request, "plan_return.html", plan=plan, is_done=False, again="", payment=payment)
    if view.has_active_plan and view.plan == plan and view.subscription_status != "none":
        return page(request, "plan_return.html", plan=plan, is_done=True, again="", payment=payment)
    looked = query(request, "looked", "0")
    looks = int(looked) + 1 if looked.isascii() and looked.isdigit() and len(looked) < 4 else 1
    asked = {"account": account_id, "plan": plan, "session": query(request, "session", "")[:ID_LENGTH], "looked": looks}
    again = f"/plan/return?{urlencode(asked)}" if looks <= MOST_LOOKS else ""
    return page(request, "plan_return.html", plan=plan, is_done=False, again=again, payment=payment)


def _mine(request: HttpRequest, services: Services, account_id: str) -> AccountView:
    """Return one of the caller's accounts. Raises the 404."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise nothing_here("account")
    with services.database.begin() as conn:
        mine = accounts.accounts_of(conn, UUID(caller.customer_id))
    for view in mine:
        if str(view.id) == account_id:
            return view
    raise nothing_here("account")


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_plan, subscribe, change, manage, show_return)
