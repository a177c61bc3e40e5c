"""Settings of the bearer tokens that other portals sign: by a secret that both know, or by keys that they publish."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from storage.errors import SettingWrong

ISSUER = "FORBEAR_JWT_ISSUER"
AUDIENCE = "FORBEAR_JWT_AUDIENCE"
SHARED = "FORBEAR_JWT_SECRET"
KEYS = "FORBEAR_JWT_KEYS"
CLAIM = "FORBEAR_JWT_CLAIM"
NAMES = (ISSUER, AUDIENCE, SHARED, KEYS, CLAIM)
SHORTEST_SECRET = 32  # bytes: as long as the hash, as RFC 7518 asks
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """How tokens of another portal are verified. Exactly one of `secret` and `keys` is set."""

    issuer: str
    audience: str
    secret: str = field(repr=False, default="")
    """Signs with HS256."""
    keys: str = ""
    """Address or file of a JSON Web Key Set; its keys sign with RS256, ES256 or EdDSA."""
    claim: str = "sub"
    """Which claim names the customer: by our id, or, where it is `email`, by a verified address."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self | None:
        """Read the environment; None: no other portal signs tokens. Raises SettingWrong naming the variable."""
        given = {name: env.get(name, "").strip() for name in NAMES}
        if not any(given.values()):
            return None
        if bool(given[SHARED]) == bool(given[KEYS]):
            raise SettingWrong(KEYS, f"and {SHARED} are two ways; set exactly one of them")
        for name in (ISSUER, AUDIENCE):
            if not given[name]:
                raise SettingWrong(name, "is not set; without it tokens for other services would be good")
        if given[SHARED] and len(given[SHARED].encode()) < SHORTEST_SECRET:
            raise SettingWrong(SHARED, f"is shorter than {SHORTEST_SECRET} bytes, and could be guessed")
        _check_address(given[KEYS])
        return cls(given[ISSUER], given[AUDIENCE], given[SHARED], given[KEYS], given[CLAIM] or "sub")


def _check_address(keys: str) -> None:
    """Raise SettingWrong for keys that whoever sits on the way could change."""
    parts = urlsplit(keys)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise SettingWrong(KEYS, f"is `{keys}`; keys that come without TLS could be anybody's, use https")
