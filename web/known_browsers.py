"""Browsers in which somebody has signed in before: each keeps a proof, and strangers who guess do not lock it out.

The proof is made with what is kept of the password, so nothing more is stored, and a new password ends every old proof.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import TYPE_CHECKING

from litestar.datastructures import Cookie

from storage.logins import Login
from web.sessions import Connection, is_secure

if TYPE_CHECKING:
    from web.services import Services

LIVES_SECONDS = 180 * 86_400
MOST = 3  # people who share a browser
ENTRY = re.compile(r"(\d{10})-([0-9a-f]{16})-([0-9a-f]{64})")


def cookie_name(services: Services) -> str:
    """Return the cookie's name. On HTTPS the browser itself guards names that begin so."""
    return "__Host-forbear-known" if is_secure(services) else "forbear-known"


def known(connection: Connection, services: Services, login: Login | None) -> str | None:
    """Return by what this browser is counted for this login; None: nobody has proved to be them in it."""
    if login is None or login.password_hash is None:
        return None
    for issued, nonce, mac in _entries(connection, services):
        is_young = time.time() - int(issued) < LIVES_SECONDS
        if is_young and hmac.compare_digest(mac, _mac(login.password_hash, login, issued, nonce)):
            return nonce
    return None


def remembered(connection: Connection, services: Services, login: Login, password_hash: str) -> Cookie:
    """Return the cookie with which this browser is known for this login from now on, and for those it was before."""
    issued, nonce = str(int(time.time())), secrets.token_hex(8)
    others = [entry for entry in _entries(connection, services) if entry[2] != _mac(password_hash, login, *entry[:2])]
    entries = [(issued, nonce, _mac(password_hash, login, issued, nonce)), *others][:MOST]
    return Cookie(
        key=cookie_name(services),
        value="~".join("-".join(entry) for entry in entries),
        path="/",
        httponly=True,
        secure=is_secure(services),
        samesite="lax",
        max_age=LIVES_SECONDS,
    )


def _entries(connection: Connection, services: Services) -> list[tuple[str, str, str]]:
    found = (ENTRY.fullmatch(each) for each in connection.cookies.get(cookie_name(services), "").split("~")[:MOST])
    return [(entry[1], entry[2], entry[3]) for entry in found if entry is not None]


def _mac(password_hash: str, login: Login, issued: str, nonce: str) -> str:
    words = f"a browser of {login.id} since {issued}: {nonce}"
    return hmac.new(password_hash.encode(), words.encode(), hashlib.sha256).hexdigest()
