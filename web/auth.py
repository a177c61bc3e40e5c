"""Who asks: a bearer token, or a session of our pages, makes a customer or an admin. Only failed tokens are counted."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from storage import accounts
from storage.logins import Login
from web.portal_keys import KeysAway
from web.portal_tokens import PortalTokens, TokenRefused, is_signed
from web.problems import Problem
from web.sessions import in_session

if TYPE_CHECKING:
    from web.services import Services

FAILURES_PER_MINUTE = 100
WINDOW_SECONDS = 60.0
ADDRESSES = 10_000
TOKEN = re.compile(r"[!-~]{1,4096}")  # signed ones are long

log = logging.getLogger("forbear.web")

Connection = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `customer_id` is None for an admin, who may act on every tenant's servers."""

    role: Literal["customer", "admin"]
    customer_id: str | None = None
    name: str = ""
    """An admin's address, when one has signed in; empty for whoever holds the admin token."""

    @property
    def actor(self) -> str:
        """How the audit names them."""
        if self.customer_id is not None:
            return f"customer:{self.customer_id}"
        return f"admin:{self.name}" if self.name else "admin"


def caller_of(login: Login) -> Caller:
    """Return whoever has signed in, as gates and audit know them."""
    return Caller("admin", name=login.email) if login.role == "admin" else Caller("customer", str(login.customer_id))


class FailureLimit:
    """Counts failed tokens by address over a sliding minute; remembers a bounded number of addresses."""

    def __init__(self, per_minute: int = FAILURES_PER_MINUTE) -> None:
        self.per_minute = per_minute
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str, now: float) -> float | None:
        """Note one failure. Returns how many seconds to wait once there are too many, None until then."""
        times = self._failures.setdefault(address, deque(maxlen=self.per_minute))
        self._failures.move_to_end(address)
        if len(self._failures) > ADDRESSES:
            self._failures.popitem(last=False)
        while times and times[0] <= now - WINDOW_SECONDS:
            times.popleft()
        if len(times) == self.per_minute:
            return times[0] + WINDOW_SECONDS - now
        times.append(now)
        return None


def bearer_token(connection: Connection) -> str:
    """Return the bearer token of a request. Raises the 401 that says how to send one."""
    values = connection.headers.getall("authorization", [])
    if not values:
        raise unauthorized("This address needs a bearer token in the `Authorization` header.")
    scheme, _, token = values[0].partition(" ")
    token = token.strip()
    if len(values) > 1 or scheme.lower() != "bearer" or not token:
        raise unauthorized("The `Authorization` header is not `Bearer` followed by a token.")
    if not TOKEN.fullmatch(token):
        raise refused(connection, "This token is not known.")
    return token


def identify(connection: Connection, services: Services) -> Caller:
    """Return who asks: by the token, or by the session of a page of ours. Reads the database.

    Raises the 401, the 403 of another site's page, or the 429 of somebody who keeps guessing.
    """
    if "authorization" not in connection.headers and (login := in_session(connection, services)) is not None:
        return caller_of(login)
    token = bearer_token(connection)
    if is_admin(token, services.settings.admin_token):
        return Caller("admin")
    if services.portal_tokens is not None and is_signed(token):
        return _of_portal(connection, services, services.portal_tokens, token)
    with services.database.begin() as conn:
        customer = accounts.customer_by_token(conn, token)
    if customer is None:
        raise refused(connection, "This token is not known.")
    return Caller("customer", str(customer.id))


def _of_portal(connection: Connection, services: Services, portal: PortalTokens, token: str) -> Caller:
    """Return the customer whom another portal's token names. Raises as `identify`, and the 503 of one without keys."""
    try:
        claims = portal.claims(token)
        with services.database.begin() as conn:
            return Caller("customer", str(portal.customer(conn, claims)))
    except TokenRefused as error:
        raise refused(connection, f"This token is not good: {error}.") from None
    except KeysAway as error:
        log.warning("no token of the other portal can be verified: %s", error)
        words = "The keys that verify this token cannot be had at the moment. Try again in a minute."
        raise Problem(503, "PORTAL_KEYS_AWAY", words, headers={"Retry-After": "60"}) from None


def is_admin(token: str, admin_token: str) -> bool:
    """Compare in a time that tells nothing about either. No admin token: nobody is an admin."""
    given, own = (hashlib.sha256(text.encode()).digest() for text in (token, admin_token))
    return hmac.compare_digest(given, own) and bool(admin_token)


def unauthorized(detail: str) -> Problem:
    """Nobody is signed in."""
    return Problem(401, "UNAUTHENTICATED", detail, headers={"WWW-Authenticate": 'Bearer realm="forbear"'})


def refused(connection: Connection, detail: str) -> Problem:
    """A token was wrong: 401, or 429 from an address that sent too many."""
    limit: FailureLimit = connection.app.state.services.failures
    address = connection.client.host if connection.client else "unknown"
    wait_seconds = limit.failed(address, time.monotonic())
    if wait_seconds is None:
        return unauthorized(detail)
    seconds = max(1, int(wait_seconds) + 1)
    words = f"Too many wrong tokens came from this address. Try again in {seconds} s."
    return Problem(429, "TOO_MANY_FAILED_TOKENS", words, headers={"Retry-After": str(seconds)})


async def signed_in(connection: Connection, _: BaseRouteHandler) -> None:
    """Let only customers and admins pass; the handler finds who it is in `request.state.caller`."""
    services: Services = connection.app.state.services
    connection.state.caller = await services.in_thread(identify, connection, services)


async def admins_only(connection: Connection, handler: BaseRouteHandler) -> None:
    """Let only admins pass."""
    await signed_in(connection, handler)
    if connection.state.caller.role != "admin":
        raise Problem(403, "ADMINS_ONLY", "This address is for administrators only.")
