"""Every notice as a customer would read it, written with made-up values: what is sent is `jobs.notices`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from engine.model import Policy
from engine.notices import FIELDS, FieldValue, fields_of, render
from storage import clock, policies
from storage.settings import Settings
from web.pages.desk_words import desk
from web.pages.visitor import admins_only
from web.services import HttpRequest, TheServices


@dataclass(frozen=True, slots=True)
class Preview:
    """One notice, written."""

    name: str
    subject: str
    text: str
    promises: str | None
    names: tuple[str, ...]
    """The fields that its words name: it waits while one is not known."""


@get("/admin/notices", guards=[admins_only], sync_to_thread=True)
def show_notices(request: HttpRequest, services: TheServices) -> Response[Any]:
    """Show every notice of the policy in force, written for a customer who does not exist."""
    with services.database.begin() as conn:
        policy, now = policies.in_force(conn), clock.now(conn)
    return desk(request, "desk_notices.html", now, previews=previews(policy, services.settings, now))


def previews(policy: Policy, settings: Settings, now: datetime) -> list[Preview]:
    """Write every notice of a policy."""
    values = made_up(settings, now)
    return [
        Preview(
            name,
            *render(policy, name, values),
            promises=policy.intents[name].promises if name in policy.intents else None,
            names=fields_of(notice.subject + notice.text),
        )
        for name, notice in policy.notices.items()
    ]


def made_up(settings: Settings, now: datetime) -> dict[str, FieldValue]:
    """Return a value for every field that a notice may name."""
    of_kind: dict[str, FieldValue] = {
        "text": "…",
        "instant": now + timedelta(days=7),
        "list": ["overworld", "creative"],
    }
    values = {name: of_kind[kind] for name, kind in FIELDS.items()}
    known: dict[str, FieldValue] = {
        "customer_name": "Ada Example",
        "account_id": "00000000-0000-4000-8000-000000000000",
        "plan": "game",
        "amount_due": "19.00 EUR",
        "pay_url": settings.pay_url or f"{settings.portal_url}/",
        "portal_url": settings.portal_url,
        "support_email": settings.support_email,
    }
    return values | known


HANDLERS: tuple[HTTPRouteHandler, ...] = (show_notices,)
