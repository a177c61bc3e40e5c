"""Bearer tokens that another portal signed (JWT): verified by pinned algorithms, and whose customer each names.

They make customers and never admins. What is required beside the signature: issuer, audience, an end within a day.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sqlalchemy import Connection

from storage import accounts
from storage.errors import UnknownCustomer
from storage.settings_jwt import JwtSettings
from web.portal_keys import PortalKeys

if TYPE_CHECKING:
    from jwt import PyJWK

LEEWAY_SECONDS: Final = 30  # two machines' clocks
LONGEST_SECONDS: Final = 86_400  # a token cannot be taken back, so none lives longer
LONGEST_KEY_ID: Final = 200


class TokenRefused(Exception):
    """The token is not good; says why, in words for whoever builds the other portal."""


class PortalTokens:
    """Reads tokens of one portal. Use from any thread."""

    def __init__(self, settings: JwtSettings) -> None:
        self._settings = settings
        self._keys = PortalKeys(settings.keys) if settings.keys else None

    def customer(self, conn: Connection, claims: Mapping[str, Any]) -> UUID:
        """Return the customer that verified claims name. Raises TokenRefused."""
        value = claims.get(self._settings.claim)
        if self._settings.claim == "email":
            if claims.get("email_verified") is not True or not isinstance(value, str):
                raise TokenRefused("it names no verified mail address")
            found = accounts.customers_by_email(conn, value)
            if len(found) != 1:
                raise TokenRefused("no customer here, or more than one, has its mail address")
            return found[0]
        try:
            customer_id = UUID(str(value))
        except ValueError:
            raise TokenRefused(f"its `{self._settings.claim}` is no customer's id") from None
        try:
            return accounts.customer(conn, customer_id).id
        except UnknownCustomer:
            raise TokenRefused(f"no customer here has the id in its `{self._settings.claim}`") from None

    def claims(self, token: str) -> Mapping[str, Any]:
        """Return what a token claims once signature and all that is required hold. Raises TokenRefused, KeysAway."""
        import jwt

        key, algorithms = self._key(token)
        required = ["exp", "iss", "aud", self._settings.claim]
        try:
            found: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(algorithms),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": required},
            )
        except jwt.ExpiredSignatureError:
            raise TokenRefused("it has expired") from None
        except jwt.ImmatureSignatureError:
            raise TokenRefused("it is not good yet") from None
        except jwt.InvalidIssuerError:
            raise TokenRefused("another issuer made it") from None
        except jwt.InvalidAudienceError:
            raise TokenRefused("it is made for another audience") from None
        except jwt.MissingRequiredClaimError as error:
            raise TokenRefused(f"it lacks `{error.claim}`") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError):
            raise TokenRefused("its signature does not hold, or it cannot be read") from None
        if int(found["exp"]) > time.time() + LONGEST_SECONDS:
            raise TokenRefused("it lives for longer than a day")
        return found

    def _key(self, token: str) -> tuple[PyJWK | str, tuple[str, ...]]:
        """Return what verifies a token, and by which algorithms alone. Raises TokenRefused, KeysAway."""
        import jwt

        if self._keys is None:
            return self._settings.secret, ("HS256",)
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
        except (jwt.PyJWTError, ValueError, TypeError):
            raise TokenRefused("it cannot be read") from None
        if not isinstance(key_id, str) or len(key_id) > LONGEST_KEY_ID:
            raise TokenRefused("it names no key (`kid`)")
        key = self._keys.find(key_id)
        if key is None:
            raise TokenRefused("its key (`kid`) is not published")
        return key, (key.algorithm_name,)


def is_signed(token: str) -> bool:
    """Tell whether a token looks like one that another portal signed; none of ours holds a dot."""
    return token.count(".") == 2
