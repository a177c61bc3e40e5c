"""Passwords: hashed with argon2id, compared in the same time whether or not anybody has the address."""

from __future__ import annotations

import functools

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LEAST_CHARACTERS = 10
MOST_CHARACTERS = 200  # argon2 would work on a megabyte as gladly

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # what OWASP recommends at least


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    return _hasher.hash(password)


def is_right(password: str, password_hash: str | None) -> bool:
    """Tell whether this is the password. Without a hash it takes as long, and is not."""
    try:
        _hasher.verify(password_hash or _nobody(), password)
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def fault_of(password: str) -> str | None:
    """Return why a password cannot be chosen; None: it can."""
    if len(password) < LEAST_CHARACTERS:
        return f"Use at least {LEAST_CHARACTERS} characters; a few words are easy to remember."
    if len(password) > MOST_CHARACTERS:
        return f"Use at most {MOST_CHARACTERS} characters."
    return None


@functools.cache
def _nobody() -> str:
    return _hasher.hash("nobody has this password")
