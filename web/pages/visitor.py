"""Who visits a page: a cookie that only we can read, the login behind it, and the proof that a form is ours."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from litestar.datastructures import Cookie
from litestar.handlers import BaseRouteHandler

from storage import logins
from storage.logins import Login
from web.auth import Caller, caller_of
from web.problems import Problem
from web.sessions import NOT_OURS, Connection, cookie_name, cookie_of, is_proved, is_secure, proof_of

if TYPE_CHECKING:
    from web.services import Services

COOKIE_BYTES = 32


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
        return proof_of(self.cookie)

    @property
    def caller(self) -> Caller:
        """Whoever has signed in, as gates and audit know them. Raises SignInFirst."""
        if self.login is None:
            raise SignInFirst
        return caller_of(self.login)


def recognized(connection: Connection, services: Services) -> Visitor:
    """Return who visits. Reads the database."""
    cookie = cookie_of(connection, services)
    if not cookie:
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


def owner_of(request: Connection) -> UUID:
    """Return the customer who visits. Raises the 404: an admin has no such page."""
    caller: Caller = request.state.caller
    if caller.customer_id is None:
        raise Problem(404, "NOT_FOUND", "There is nothing at this address.")
    return UUID(caller.customer_id)


def prove(connection: Connection, given: str) -> None:
    """Let only forms of ours pass. Raises the 403."""
    visitor: Visitor = connection.state.visitor
    services: Services = connection.app.state.services
    if visitor.is_new or not is_proved(connection, services, visitor.cookie, given):
        raise Problem(403, "FORM_NOT_OURS", NOT_OURS)


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
