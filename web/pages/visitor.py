"""Who visits a page: a cookie that only we can read, the login behind it, and the proof that a form is ours.

The proof is made from the cookie, which no other site can read; so a form that another site sends has none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler

from storage import logins
from storage.logins import Login
from web.auth import Caller
from web.problems import Problem

if TYPE_CHECKING:
    from web.services import Services

COOKIE_BYTES = 32
LONGEST_COOKIE = 100
PROOF_FIELD = "proof"

Connection = ASGIConnection[Any, Any, Any, Any]


class SignInFirst(Exception):
    """The page is for people who have signed in."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whoever asks for a page. Without a login: somebody who has not signed in."""

    cookie: str
    is_new: bool
    """The browser does not have the cookie yet."""
    login: Login | None

    @property
    def proof(self) -> str:
        """What a form of ours carries."""
        return hmac.new(self.cookie.encode(), b"a form of ours", hashlib.sha256).hexdigest()

    @property
    def caller(self) -> Caller:
        """Whoever has signed in, as gates and audit know them. Raises SignInFirst."""
        if self.login is None:
            raise SignInFirst
        if self.login.role == "admin":
            return Caller("admin", name=self.login.email)
        return Caller("customer", str(self.login.customer_id))


def cookie_name(services: Services) -> str:
    """Return the cookie's name. On HTTPS the browser itself guards names that begin so."""
    return "__Host-forbear" if is_secure(services) else "forbear"


def is_secure(services: Services) -> bool:
    """Tell whether browsers reach us by HTTPS."""
    return services.settings.public_url.startswith("https://")


def recognized(connection: Connection, services: Services) -> Visitor:
    """Return who visits. Reads the database."""
    cookie = connection.cookies.get(cookie_name(services), "")
    if not cookie or len(cookie) > LONGEST_COOKIE or not cookie.isascii():
        return Visitor(secrets.token_urlsafe(COOKIE_BYTES), True, None)
    with services.database.begin() as conn:
        return Visitor(cookie, False, logins.in_session(conn, cookie))


async def anybody(connection: Connection, _: BaseRouteHandler) -> None:
    """Find out who visits; the handler finds it in `request.state.visitor`."""
    services: Services = connection.app.state.services
    connection.state.visitor = await services.in_thread(recognized, connection, services)


async def people_only(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let only people pass who have signed in; gates and audit know them as `request.state.caller`."""
    await anybody(connection, handler)
    connection.state.caller = connection.state.visitor.caller


async def admins_only(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let only admins pass. To anybody else there is no such page."""
    await people_only(connection, handler)
    if connection.state.caller.role != "admin":
        raise Problem(404, "NOT_FOUND", "There is nothing at this address.")


def prove(connection: Connection, given: str) -> None:
    """Let only forms of ours pass. Raises the 403."""
    visitor: Visitor = connection.state.visitor
    origin = connection.headers.get("origin")
    services: Services = connection.app.state.services
    own = {services.settings.public_url, f"{connection.url.scheme}://{connection.url.netloc}"}
    foreign = origin is not None and origin.rstrip("/") not in own
    if visitor.is_new or foreign or not hmac.compare_digest(given.encode(), visitor.proof.encode()):
        words = "This form is no longer good, or it was not ours. Open the page again and send it once more."
        raise Problem(403, "FORM_NOT_OURS", words)


def kept(services: Services, cookie: str) -> Cookie:
    """Return the cookie as the browser shall keep it. A session that nobody uses ends at the server."""
    return Cookie(
        key=cookie_name(services),
        value=cookie,
        path="/",
        httponly=True,
        secure=is_secure(services),
        samesite="lax",
        max_age=int(logins.LONGEST.total_seconds()),
    )
