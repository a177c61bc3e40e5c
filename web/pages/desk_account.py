"""One account at the desk: where it stands, what is next, its servers, what happened, the evidence, and why."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from sqlalchemy import Connection

from engine.explain import explain
from engine.languages import written_amount
from engine.model import Policy
from storage import accounts, audit_verify, clock, desk, edge, gather, holds, intents, policies
from storage.accounts import AccountView
from web import account_deletion
from web.inputs import bounded_query, identifier
from web.pages.desk import moved
from web.pages.desk_actions import causes, hold_kinds
from web.pages.desk_deletion import deletion_shown
from web.pages.desk_words import coming
from web.pages.desk_words import desk as show
from web.pages.visitor import admins_only
from web.services import HttpRequest, PathId, TheServices

RESENDABLE = frozenset({"open", "unknown", "failed"})
SHOWN_EVENTS = 25
SHOWN_INTENTS = 25
AUDIT_PAGE = 200


@get("/admin/accounts/{account_id:str}", guards=[admins_only], sync_to_thread=True)
def show_account(request: HttpRequest, services: TheServices, account_id: PathId) -> Response[Any]:
    """Show an account and everything that may be done about it."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        view = accounts.account_view(conn, UUID(identifier(account_id, "account")))
        snapshot = gather.snapshots(conn, policy, [view.id], services.world)[view.id]
        asked = intents.listed(conn, account_id=view.id, limit=SHOWN_INTENTS)
        evidence = desk.evidence(conn, view.id)
        lost = policy.standing.lost_dispute_statuses
        given = {
            **_head(conn, policy, view),
            "causes": causes(policy, view),
            "hold_kinds": hold_kinds(policy, "extension"),
            "resendable": sorted({each.intent for each in asked if each.is_notice and each.status in RESENDABLE}),
            "amount": written_amount,
            "next": coming(policy, snapshot, now),
            "edges": edge.of_account(conn, view.id),
            "evidence": evidence,
            "settleable": [each for each in evidence.disputes if each["status"] in lost and each["settled_at"] is None],
            "holds": holds.active(conn, view.id),
            "intents": asked,
            "deletion": deletion_shown(
                account_deletion.stands(conn, policy, view.id, services.world, request.state.caller)
            ),
            "timeline": desk.happened(conn, view.id, limit=SHOWN_EVENTS),
        }
    return show(request, "desk_account.html", now, **given)


@get("/admin/accounts/{account_id:str}/audit", guards=[admins_only], sync_to_thread=True)
def show_audit(request: HttpRequest, services: TheServices, account_id: PathId) -> Response[Any]:
    """Show everything that happened to an account, and whether any row of it was touched since."""
    words = bounded_query(request, "from", 9)
    start = int(words) if words.isascii() and words.isdigit() else 0
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        view = accounts.account_view(conn, UUID(identifier(account_id, "account")))
        so_far = audit_verify.Verified()
        breaks = list(audit_verify.breaks(conn, view.id, so_far))
        rows = desk.happened(conn, view.id, limit=AUDIT_PAGE + 1, offset=start)
        given = _head(conn, policy, view)
    return show(
        request,
        "desk_audit.html",
        now,
        **given,
        breaks=breaks[:AUDIT_PAGE],
        verified=so_far,
        rows=rows[:AUDIT_PAGE],
        older=start + AUDIT_PAGE if len(rows) > AUDIT_PAGE else None,
    )


@get("/admin/accounts/{account_id:str}/why", guards=[admins_only], sync_to_thread=True)
def show_why(request: HttpRequest, services: TheServices, account_id: PathId) -> Response[Any]:
    """Show every rule that could move an account, comparison by comparison, and what would change that."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
        view = accounts.account_view(conn, UUID(identifier(account_id, "account")))
        snapshot = gather.snapshots(conn, policy, [view.id], services.world)[view.id]
        given = _head(conn, policy, view)
    return show(request, "desk_why.html", now, **given, explained=explain(policy, snapshot, now))


def _head(conn: Connection, policy: Policy, view: AccountView) -> dict[str, Any]:
    """Return what stands above each of an account's pages."""
    return {
        "view": view,
        "customer": accounts.customer(conn, view.customer_id),
        "rungs": moved(policy, view.states),
        "policy": policy,
    }


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_account, show_audit, show_why)
