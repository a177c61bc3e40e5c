"""For administrators: what waits for a person, and what to read along.

Events that found no account, notices whose end is unknown, repairs and what became of them, alerts.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody
from sqlalchemy import select

from storage import alerts, intents, repairs
from storage.tables import stripe_events
from web import admin_deeds
from web.admin_operations import REASON_CHARACTERS, Reason
from web.inputs import Input, decode, given_reason, identifier, identifier_field, line, page_size, query
from web.problems import bad_input
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire

EVENT_STATUSES = ("parked", "quarantined", "ignored", "applied")
INTENT_STATUSES = ("unknown", "failed", "open", "started", "done", "dropped")
SHOWN_OF_AN_INTENT = (
    "account_id",
    "server_id",
    "machine",
    "episode",
    "round",
    "intent",
    "kind",
    "status",
    "tries",
    "outcome",
    "promise_at",
    "actor",
    "created_at",
    "started_at",
    "finished_at",
)


class Resolution(Input):
    """What a person found out: it was `delivered` (or done) after all, or it is to be tried `again`."""

    outcome: Literal["delivered", "again"]
    reason: str = ""


def _status(request: HttpRequest, known: tuple[str, ...]) -> list[str]:
    words = query(request, "status", ",".join(known[:2])).split(",")
    if wrong := [word for word in words if word not in known]:
        raise bad_input(f"`status` is {', '.join(known)}, not `{wrong[0][:40]}`.", field="status")
    return words


@get("/stripe-events", sync_to_thread=True)
def list_stripe_events(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List events that were parked (no account yet) or quarantined (not understood), newest first."""
    columns = ("id", "type", "status", "reason", "account_id", "livemode", "api_version", "created_at", "received_at")
    find = (
        select(*(stripe_events.c[name] for name in columns))
        .where(stripe_events.c.status.in_(_status(request, EVENT_STATUSES)))
        .order_by(stripe_events.c.received_at.desc(), stripe_events.c.id)
        .limit(page_size(request))
    )
    with services.database.begin() as conn:
        rows = conn.execute(find).mappings().all()
    return [{camel(name): on_the_wire(row[name]) for name in columns} for row in rows]


@post("/stripe-events/{event_id:str}/replay", opt={"takes": Reason}, status_code=200, sync_to_thread=True)
def replay_event(request: HttpRequest, services: TheServices, event_id: PathId, body: RawBody) -> dict[str, str | None]:
    """Take a parked or quarantined event again. One whose account is still not known stays parked."""
    reason = line(decode(Reason, body).reason, "reason", REASON_CHARACTERS)
    taken = admin_deeds.replay_event(services, request.state.caller, event_id, reason)
    return {"id": event_id, "status": taken.status, "reason": taken.reason}


@post("/stripe-events/{event_id:str}/dismiss", opt={"takes": Reason}, status_code=200, sync_to_thread=True)
def dismiss_event(request: HttpRequest, services: TheServices, event_id: PathId, body: RawBody) -> dict[str, str]:
    """Set a parked or quarantined event aside for good. It stays in the log."""
    admin_deeds.dismiss_event(
        services, request.state.caller, event_id, line(decode(Reason, body).reason, "reason", REASON_CHARACTERS)
    )
    return {"id": event_id, "status": "ignored"}


@get("/intents", sync_to_thread=True)
def list_intents(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List intents that wait for a person: `unknown` may have left, `failed` was given up. `?status=` lists others."""
    with services.database.begin() as conn:
        rows = intents.listed(conn, statuses=_status(request, INTENT_STATUSES), limit=page_size(request))
    return [
        {"intentId": str(row.id)} | {camel(name): on_the_wire(getattr(row, name)) for name in SHOWN_OF_AN_INTENT}
        for row in rows
    ]


@post("/intents/{intent_id:str}/resolve", opt={"takes": Resolution}, status_code=200, sync_to_thread=True)
def resolve_intent(request: HttpRequest, services: TheServices, intent_id: PathId, body: RawBody) -> dict[str, str]:
    """Settle what is unknown or failed, after a look at what really happened."""
    wish = decode(Resolution, body)
    wanted, outcome = UUID(identifier(intent_id, "intent")), wish.outcome
    reason = given_reason(wish.reason)
    admin_deeds.resolve(services, request.state.caller, wanted, outcome, reason)
    return {"intentId": str(wanted), "outcome": outcome}


@get("/repairs", sync_to_thread=True)
def list_repairs(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List repairs and what became of each, newest first; `?serverId=` and `?outcome=` list only some."""
    server = query(request, "serverId", "")
    outcomes = [word for word in query(request, "outcome", "").split(",") if word]
    if wrong := [word for word in outcomes if word not in repairs.OUTCOMES]:
        raise bad_input(f"`outcome` is {', '.join(repairs.OUTCOMES)}, not `{wrong[0][:40]}`.", field="outcome")
    with services.database.begin() as conn:
        found = repairs.listed(
            conn,
            server_id=UUID(identifier_field(server, "serverId")) if server else None,
            outcomes=outcomes,
            limit=page_size(request),
        )
    return [
        {"id": each.id, "accountId": str(each.account_id)}
        | {camel(field.name): on_the_wire(getattr(each.event, field.name)) for field in dataclasses.fields(each.event)}
        for each in found
    ]


@get("/alerts", sync_to_thread=True)
def list_alerts(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List the newest alerts, whether or not they could be sent."""
    names = ("id", "kind", "text", "account_id", "created_at")
    with services.database.begin() as conn:
        found = alerts.latest(conn, page_size(request))
    return [{camel(name): on_the_wire(getattr(alert, name)) for name in names} for alert in found]


HANDLERS: tuple[HTTPRouteHandler, ...] = (
    list_stripe_events,
    replay_event,
    dismiss_event,
    list_intents,
    resolve_intent,
    list_repairs,
    list_alerts,
)
