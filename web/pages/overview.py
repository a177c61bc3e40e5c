"""The first page of a customer: how each account stands, what happened, what comes next, and their servers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection, select

from engine.model import STOPPED_BILLING_STATES
from jobs.notices import amounts
from storage import accounts, clock, policies
from storage.accounts import AccountView
from storage.owed import owed_invoices
from storage.tables import accounts as rows
from web.announcements import everybody, planned
from web.auth import Caller
from web.pages.looks import SERVER_KINDS, UNDER_WAY, WORDS, heading
from web.pages.render import go_to, page
from web.pages.timeline import timeline
from web.pages.visitor import people_only
from web.services import HttpRequest, Services, TheServices
from web.told import Teller


def grade_of(view: AccountView, told: Mapping[str, Any]) -> str:
    """Return how an account looks: good, warn, bad or kept. told: what its customer is told of it."""
    if view.server_billing_state == "retained":
        return "kept"
    if view.server_billing_state in STOPPED_BILLING_STATES:
        return "bad"
    is_well = view.billing_status == "active" and view.server_billing_state == "allowed" and not told["nextStep"]
    return "good" if is_well else "warn"


def heading_of(view: AccountView, told: Mapping[str, Any]) -> str:
    """Return the state in the words that customers read everywhere."""
    return heading(view.billing_status, view.server_billing_state, view.server_billing_machine, told)


@get("/", guards=[people_only], sync_to_thread=True)
def show_overview(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show everything that a customer has, what is wrong with it first."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        return go_to("/admin")
    with services.database.begin() as conn:
        customer = accounts.customer(conn, UUID(caller.customer_id))
        policy, now = policies.in_force(conn), clock.now(conn)
        shown = [_account(conn, services, view) for view in accounts.accounts_of(conn, customer.id)]
        announced = planned(policy, now, customer.zone) + everybody(conn)
    return page(
        request,
        "overview.html",
        zone=customer.zone,
        customer=customer,
        accounts=shown,
        announced=announced[:3],
        kinds=SERVER_KINDS,
        looks=WORDS,
        waits=any(server.lifecycle in UNDER_WAY for account in shown for server in account["servers"]),
    )


def _account(conn: Connection, services: Services, view: AccountView) -> dict[str, Any]:
    policy, now = policies.in_force(conn), clock.now(conn)
    row = conn.execute(select(rows).where(rows.c.id == view.id)).mappings().one()
    told = Teller(conn, services.settings, policy).account(row)
    return {
        "view": view,
        "grade": grade_of(view, told),
        "heading": heading_of(view, told),
        "told": told,
        "owed": amounts(owed_invoices(conn, policy, view.id)) if told["payUrl"] else None,
        "timeline": timeline(conn, policy, view, told["nextStep"], world=services.world, now=now),
        "servers": view.servers,
    }


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_overview,)
