"""The first page of a customer: how each account stands, what happened, what comes next, and their servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection, select

from engine.model import STOPPED_BILLING_STATES
from storage import accounts, audit, clock, policies
from storage.accounts import AccountView
from storage.tables import accounts as rows
from web.announcements import everybody, planned
from web.auth import Caller
from web.pages.render import go_to, page
from web.pages.visitor import people_only
from web.services import HttpRequest, Services, TheServices
from web.told import Teller

SHOWN_EVENTS = 12

# What of the audit a customer reads in the timeline; everything else is for the desk.
HAPPENED = {
    "late": "A payment failed",
    "warn": "We wrote to you about it",
    "warn_finally": "We wrote to you a last time before stopping your servers",
    "block_backups": "Backups were paused",
    "suspend": "Your servers were stopped",
    "retain": "Your data is kept for you",
    "warn_retention": "We wrote to you about how long your data is kept for certain",
    "paid_early": "Your payment arrived",
    "paid": "Your payment arrived, and everything was given back",
    "end": "Your subscription ended",
    "stop": "Your servers were stopped",
    "renewed": "Your subscription was renewed",
    "renewed_early": "Your subscription was renewed",
}


@dataclass(frozen=True, slots=True)
class Happening:
    """One line of an account's timeline."""

    at: datetime | None
    words: str
    is_next: bool = False


def grade_of(view: AccountView) -> str:
    """Return how an account looks: good, warn, bad or kept."""
    if view.server_billing_state == "retained":
        return "kept"
    if view.server_billing_state in STOPPED_BILLING_STATES:
        return "bad"
    return "good" if view.billing_status == "active" and view.server_billing_state == "allowed" else "warn"


def heading_of(view: AccountView) -> str:
    """Return the state in the words that customers read everywhere."""
    if view.server_billing_state in STOPPED_BILLING_STATES:
        return "Server suspended due to billing status"
    if view.server_billing_state == "backup_blocked":
        return "Backups disabled due to billing status"
    if view.billing_status in {"overdue_warning", "final_warning"}:
        return "Payment required"
    return "Account past due" if view.billing_status == "past_due" else "Everything is in order"


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
        request, "overview.html", zone=customer.zone, customer=customer, accounts=shown, announced=announced[:3]
    )


def _account(conn: Connection, services: Services, view: AccountView) -> dict[str, Any]:
    policy = policies.in_force(conn)
    row = conn.execute(select(rows).where(rows.c.id == view.id)).mappings().one()
    told = Teller(conn, services.settings, policy).account(row)
    return {
        "view": view,
        "grade": grade_of(view),
        "heading": heading_of(view),
        "told": told,
        "timeline": timeline(conn, view, told["nextStep"]),
        "servers": view.servers,
    }


def timeline(conn: Connection, view: AccountView, next_step: dict[str, Any] | None) -> list[Happening]:
    """Return what happened since the running trouble began, and what comes next."""
    if view.billing_status == "active" and view.server_billing_state == "allowed":
        return []
    found = [
        Happening(datetime.fromisoformat(row["at"]), HAPPENED[row["action"]])
        for row in audit.read(conn, view.id)[-200:]
        if row["kind"] == "transition" and row["action"] in HAPPENED
    ][-SHOWN_EVENTS:]
    if next_step is not None:
        at = next_step["at"]
        found.append(Happening(datetime.fromisoformat(at) if at else None, next_step["what"], is_next=True))
    return found


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_overview,)
