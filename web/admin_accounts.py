"""For administrators: customers and accounts, made and looked at."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

from litestar import get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import RawBody

from storage import accounts, audit, edge, policies
from storage.accounts import AccountView
from storage.gather import World
from web.auth import Caller
from web.inputs import (
    Input,
    decode,
    email_address,
    identifier,
    identifier_field,
    language_tag,
    line,
    page_size,
    provider_id,
    query,
    zone_name,
)
from web.services import HttpRequest, PathId, TheServices
from web.wire import camel, on_the_wire

# Shown under other names, or not for other programs.
HIDDEN = frozenset({"id", "servers"})


class NewCustomer(Input):
    """A person or organisation that will sign in. `zone` is the time zone that dates are told in, `language` that of
    letters, such as `de` or `pt-BR`: English is read where the policy has no text in it.
    """

    email: str
    name: str
    zone: str = "UTC"
    language: str = "en"


class NewAccount(Input):
    """One billing relationship of a customer."""

    customer_id: str
    stripe_customer_id: str
    plan: str
    stripe_subscription_id: str | None = None


@post("/customers", opt={"takes": NewCustomer}, status_code=201, sync_to_thread=True)
def create_customer(services: TheServices, body: RawBody) -> dict[str, str]:
    """Make a customer. The token is shown this once; only its hash is kept."""
    wish = decode(NewCustomer, body)
    email, name, zone = email_address(wish.email), line(wish.name, "name"), zone_name(wish.zone)
    with services.database.begin() as conn:
        made = accounts.create_customer(conn, email, name, zone, language_tag(wish.language))
    return {"customerId": str(made.id), "token": made.token}


@post("/accounts", opt={"takes": NewAccount}, status_code=201, sync_to_thread=True)
def create_account(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Make an account. What Stripe has said of it before is applied at once."""
    wish = decode(NewAccount, body)
    caller: Caller = request.state.caller
    customer_id = identifier_field(wish.customer_id, "customerId")
    stripe_customer_id = provider_id(wish.stripe_customer_id, "stripeCustomerId")
    subscription = wish.stripe_subscription_id
    if subscription is not None:
        provider_id(subscription, "stripeSubscriptionId")

    with services.database.begin() as conn:
        made = accounts.create_account(
            conn,
            policies.in_force(conn),
            UUID(customer_id),
            stripe_customer_id=stripe_customer_id,
            plan=line(wish.plan, "plan"),
            stripe_subscription_id=subscription,
            actor=caller.actor,
            world=World.of(services.settings),
        )
    return {"accountId": str(made)}


@get("/accounts", sync_to_thread=True)
def list_accounts(request: HttpRequest, services: TheServices) -> list[dict[str, Any]]:
    """List accounts a page at a time: `?limit=`, and `?after=` the last id of the page before."""
    after = query(request, "after", "")
    limit = page_size(request)
    with services.database.begin() as conn:
        found = accounts.accounts(conn, after=UUID(identifier_field(after, "after")) if after else None, limit=limit)
    return [shown(each) for each in found]


@get("/accounts/{account_id:str}", sync_to_thread=True)
def show_account(services: TheServices, account_id: PathId) -> dict[str, Any]:
    """Show everything durable of an account, and its servers with what leads to each."""
    with services.database.begin() as conn:
        view = accounts.account_view(conn, UUID(identifier(account_id, "account")))
        found = shown(view)
        edges = edge.of_account(conn, view.id)
    for server in found["servers"]:
        known = edges.get(UUID(server["serverId"]))
        server["edge"] = None if known is None else {
            "label": known.label,
            "publishedAt": on_the_wire(known.published_at),
            "state": known.state,
        }  # fmt: skip
    return found


@get("/accounts/{account_id:str}/events", sync_to_thread=True)
def list_events(services: TheServices, account_id: PathId) -> list[dict[str, Any]]:
    """Show the account's whole audit, oldest first."""
    wanted = UUID(identifier(account_id, "account"))
    with services.database.begin() as conn:
        accounts.account_view(conn, wanted)
        return audit.read(conn, wanted)


def shown(view: AccountView) -> dict[str, Any]:
    """Write an account for the wire."""
    names = (field.name for field in dataclasses.fields(view) if field.name not in HIDDEN)
    durable = {camel(name): on_the_wire(getattr(view, name)) for name in names}
    servers = [
        {
            "serverId": str(server.id),
            "name": server.name,
            "kind": server.kind,
            "desired": server.desired,
            # The host knows no such server: for whoever asks whether it runs, that is not known.
            "observed": "unknown" if server.observed == "missing" else server.observed,
            "lifecycle": server.lifecycle,
            "serverBillingState": server.server_billing_state,
        }
        for server in view.servers
    ]
    return {"accountId": str(view.id), **durable, "servers": servers}


HANDLERS: tuple[HTTPRouteHandler, ...] = (create_customer, create_account, list_accounts, show_account, list_events)
