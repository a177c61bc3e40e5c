"""The deletion of an account at the desk: what was decided by whom, what comes before anything goes, and the forms."""

from __future__ import annotations

from uuid import UUID

from litestar.handlers import HTTPRouteHandler

from web import account_deletion
from web.account_deletion import Deletion
from web.auth import Caller
from web.inputs import line
from web.pages.desk_actions import Form, account_form
from web.pages.desk_words import reason_of
from web.services import Services


def deletion_shown(deletion: Deletion | None) -> Deletion | None:
    """Return what the desk shows; None while nobody could ask for a deletion, which is nearly always."""
    if deletion is None:
        return None
    begun = deletion.rung != "none"
    return deletion if begun or deletion.why_not_request is None or deletion.may_withdraw else None


def _request(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    account_deletion.request(services, caller, account_id, _name(form), reason_of(form))
    return "Asked for. Nothing happens until another admin has approved it."


def _approve(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    account_deletion.approve(services, caller, account_id, _name(form), reason_of(form))
    return "Approved. The last notice is on its way; the cooling-off time begins with its delivery."


def _withdraw(services: Services, caller: Caller, account_id: UUID, form: Form) -> str:
    account_deletion.withdraw(services, caller, account_id, reason_of(form))
    return "The deletion has ended. Whatever is still there stays."


def _name(form: Form) -> str:
    return line(form.get("name", ""), "name")


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    account_form("deletion/request", _request),
    account_form("deletion/approve", _approve),
    account_form("deletion/withdraw", _withdraw),
)
