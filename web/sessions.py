"""What a browser brings: the session's cookie, where the page is from that asks, and the proof that it is one of ours.

The proof is made from the cookie, which no other site can read; so what another site sends has none.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Any

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType

from storage import logins
from storage.logins import Login
from web.problems import Problem

if TYPE_CHECKING:
    from web.services import Services

LONGEST_COOKIE = 100
PROOF_FIELD = "proof"
PROOF_HEADER = "x-forbear-proof"
LOOKS = frozenset({"GET", "HEAD"})
NOT_OURS = "This form is no longer good, or it was not ours. Open the page again and send it once more."

Connection = ASGIConnection[Any, Any, Any, Any]


def cookie_name(services: Services) -> str:
    """Return the cookie's name. On HTTPS the browser itself guards names that begin so."""
    return "__Host-forbear" if is_secure(services) else "forbear"


def is_secure(services: Services) -> bool:
    """Tell whether browsers reach us by HTTPS."""
    return services.settings.public_url.startswith("https://")


def cookie_of(connection: Connection, services: Services) -> str:
    """Return the session's cookie; empty: there is none that could be ours."""
    cookie = connection.cookies.get(cookie_name(services), "")
    return cookie if len(cookie) <= LONGEST_COOKIE and cookie.isascii() else ""


def proof_of(cookie: str) -> str:
    """Return what a form of ours carries."""
    return hmac.new(cookie.encode(), b"a form of ours", hashlib.sha256).hexdigest()


def is_proved(connection: Connection, services: Services, cookie: str, given: str) -> bool:
    """Tell whether a page of ours asks for a change: it knows the proof, and the browser names no other origin."""
    origin = connection.headers.get("origin")
    ours = origin is None or is_own(connection, services, origin)
    return ours and bool(cookie) and hmac.compare_digest(given.encode(), proof_of(cookie).encode())


def is_own(connection: Connection, services: Services, origin: str) -> bool:
    """Tell whether an origin is where browsers find us."""
    scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
    return origin.rstrip("/") in {services.settings.public_url, f"{scheme}://{connection.url.netloc}"}


def in_session(connection: Connection, services: Services) -> Login | None:
    """Return whose session asks the API; None: nobody's. Reads the database. Raises the 403 of another site's page.

    What only looks must come from a page of ours, as browsers say; what changes something must bring the proof.
    A stream counts as looking, and browsers always say where it is opened from.
    """
    cookie = cookie_of(connection, services)
    if not cookie:
        return None
    with services.database.begin() as conn:
        login = logins.in_session(conn, cookie)
    if login is not None and not _is_from_us(connection, services, cookie):
        raise Problem(403, "FORM_NOT_OURS", NOT_OURS)
    return login


def _is_from_us(connection: Connection, services: Services, cookie: str) -> bool:
    if connection.scope.get("method", "GET") not in LOOKS:
        return is_proved(connection, services, cookie, connection.headers.get(PROOF_HEADER, ""))
    origin = connection.headers.get("origin")
    if origin is not None:
        return is_own(connection, services, origin)
    return connection.scope["type"] == ScopeType.HTTP and connection.headers.get("sec-fetch-site") == "same-origin"
