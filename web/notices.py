"""How a customer is told of notices: the language of letters, and an address of theirs that is told beside mail."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from litestar import Router, delete, get, put
from litestar.params import RawBody
from sqlalchemy import Connection

from engine.languages import ENGLISH
from jobs.letters.public_address import AddressRefused, target_of
from storage import accounts, hooks, letters, policies
from web.auth import Caller, signed_in
from web.inputs import Input, decode, language_tag
from web.problems import Problem, bad_input, conflict
from web.services import HttpRequest, Services, TheServices
from web.wire import instant

CUSTOMERS_ONLY = "Only customers are sent notices; sign in as one."
SWITCHED_OFF = "Notices are sent by mail alone here."


class Spoken(Input):
    """The language of letters, such as `de`; English is read where there is no text in it."""

    language: str


class Pointed(Input):
    """An address that notices are posted to, beginning with `https://`."""

    url: str


@get("/", sync_to_thread=True)
def show_ways(request: HttpRequest, services: TheServices) -> dict[str, Any]:
    """Show how the caller is told, and how the last posts to their address went."""
    owner = owner_of(request)
    with services.database.begin() as conn:
        hook = hooks.hook_of(conn, owner)
        return {
            "language": accounts.customer(conn, owner).language,
            "languages": languages(conn),
            "hook": None if hook is None else {"url": hook.url, "changedAt": instant(hook.changed_at)},
            "posts": [
                {"notice": each.kind, "at": instant(each.created_at), "outcome": each.outcome}
                for each in hooks.latest(conn, owner)
            ],
        }


@put("/language", opt={"takes": Spoken}, status_code=200, sync_to_thread=True)
def set_language(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Choose the language of letters."""
    return {"language": speak(services, owner_of(request), decode(Spoken, body).language)}


@put("/hook", opt={"takes": Pointed}, status_code=200, sync_to_thread=True)
def set_hook(request: HttpRequest, services: TheServices, body: RawBody) -> dict[str, str]:
    """Have notices posted to an address too. The secret is shown this once; posts are signed with it."""
    wish = decode(Pointed, body)
    return {"url": wish.url, "secret": point(services, owner_of(request), wish.url)}


@delete("/hook", status_code=204, sync_to_thread=True)
def remove_hook(request: HttpRequest, services: TheServices) -> None:
    """Have notices sent by mail alone."""
    owner = owner_of(request)
    with services.database.begin() as conn:
        hooks.remove(conn, owner)


# ---- what pages and the API share ------------------------------------------------------------------------------------


def languages(conn: Connection) -> list[str]:
    """Return the languages that the policy in force has notices in."""
    return sorted({ENGLISH, *policies.in_force(conn).letter_words})


def speak(services: Services, owner: UUID, language: str) -> str:
    """Remember a customer's language, and return it. Raises the 400."""
    tag = language_tag(language)
    with services.database.begin() as conn:
        accounts.speak(conn, owner, tag)
    return tag


def point(services: Services, owner: UUID, url: str) -> str:
    """Give a customer an address, tell them by mail that they have it, and return its secret. Raises the 400 or 409."""
    allows = services.settings.customer_hooks
    if allows == "off":
        raise conflict("NO_HOOKS", SWITCHED_OFF)
    try:
        target_of(url, anywhere=allows == "any")
    except AddressRefused as refused:
        raise bad_input(f"`url` cannot be used: {refused.reason}.", field="url") from None
    with services.database.begin() as conn:
        secret = hooks.point(conn, owner, url)
        customer = accounts.customer(conn, owner)
        letters.write(
            conn,
            f"hook:{owner}:{secret[:16]}",
            to_name=customer.name,
            to_email=customer.email,
            subject="Your notices go to one more place",
            body="Hello,\n\nfrom now on your notices are also posted to this address:\n\n"
            f"    {url}\n\nWas this not you? Sign in, take the address away, and change your password.\n",
        )
    return secret


def owner_of(request: HttpRequest) -> UUID:
    """Return the customer who asks. Raises the 403."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise Problem(403, "CUSTOMERS_ONLY", CUSTOMERS_ONLY)
    return UUID(caller.customer_id)


router = Router(
    "/api/notices",
    route_handlers=[show_ways, set_language, set_hook, remove_hook],
    guards=[signed_in],
    tags=["account"],
)
