"""Careful reading of values that came from outside: each may be missing, null, of a wrong type, huge or malicious.

A reader returns None for what is absent and raises `Unreadable` for what is there and makes no sense.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from storage.errors import StorageError

ID_LENGTH = 255  # Stripe: identifiers have up to 255 characters
LATEST_SECONDS = 32_503_680_000  # the year 3000: a number beyond is milliseconds, or a mistake
LARGEST_CENTS = 2**62  # fits PostgreSQL's bigint, also summed once

# PostgreSQL stores neither NUL nor a lone surrogate; other control characters have no place in an identifier or status.
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028-\u202e\u2066-\u2069]")


class Unreadable(StorageError):
    """A field is there but is not what Stripe documents."""

    def __init__(self, field: str, expected: str, found: object) -> None:
        self.field = field
        self.expected = expected
        self.found = found
        super().__init__(f"`{field}` should be {expected}, found {described(found)}")


def described(value: object) -> str:
    """Name a JSON value shortly, without control characters and whatever its size."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "`" + UNPRINTABLE.sub("?", value[:60]) + ("…`" if len(value) > 60 else "`")
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    return f"`{value}`"


def identifier(source: Mapping[str, Any], key: str, field: str | None = None) -> str | None:
    """Return a bounded text without control characters. Raises Unreadable."""
    value = source.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= ID_LENGTH or UNPRINTABLE.search(value):
        raise Unreadable(field or key, f"a text of at most {ID_LENGTH} characters", value)
    return value


def identifier_or_none(source: Mapping[str, Any], key: str) -> str | None:
    """Return a bounded text, or None where it cannot be read: for what merely informs."""
    try:
        return identifier(source, key)
    except Unreadable:
        return None


def reference(source: Mapping[str, Any], key: str, field: str | None = None) -> str | None:
    """Return the id of another object, given as its id or expanded. Raises Unreadable."""
    value = source.get(key)
    if isinstance(value, Mapping):
        return identifier(value, "id", f"{field or key}.id")
    return identifier(source, key, field)


def integer(source: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number that a bigint holds. Raises Unreadable."""
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > LARGEST_CENTS:
        raise Unreadable(key, "a whole number", value)
    return value


def instant(source: Mapping[str, Any], key: str) -> datetime | None:
    """Return seconds since 1970 as an instant. Raises Unreadable."""
    value = source.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < LATEST_SECONDS:
        raise Unreadable(key, "seconds since 1970", value)
    return datetime.fromtimestamp(value, UTC)


def instant_or_none(source: Mapping[str, Any], key: str) -> datetime | None:
    """Return an instant, or None where it cannot be read: for what merely informs."""
    try:
        return instant(source, key)
    except Unreadable:
        return None


def inner(source: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the object at a path, or an empty one where the path ends early."""
    value: Any = source
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def elements(source: Mapping[str, Any], *keys: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list at a path, or none."""
    value = inner(source, *keys[:-1]).get(keys[-1])
    return [element for element in value if isinstance(element, Mapping)] if isinstance(value, list) else []


def claimed_ids(*sources: tuple[Mapping[str, Any], str]) -> tuple[uuid.UUID, ...]:
    """Return those values that are ids of ours, in order. Others put their own ids in metadata: that is no fault."""
    found: dict[uuid.UUID, None] = {}
    for source, key in sources:
        value = source.get(key)
        if isinstance(value, str) and len(value) in (32, 36):
            try:
                found[uuid.UUID(value)] = None
            except ValueError:
                continue
    return tuple(found)


def https_url(source: Mapping[str, Any], key: str) -> str | None:
    """Return an address that may be shown to a customer as a link, or None."""
    value = source.get(key)
    if not isinstance(value, str) or not value.startswith("https://") or len(value) > 2048:
        return None
    return None if UNPRINTABLE.search(value) or any(mark in value for mark in " <>\"'\\^`{}|") else value


@dataclass(frozen=True, slots=True)
class About:
    """Whom an event says it is about. `claims` are ids of ours, of an account or a customer, in order of trust."""

    customer_id: str | None = None
    subscription_id: str | None = None
    claims: tuple[uuid.UUID, ...] = ()
    charge_id: str | None = None


NOBODY: Final = About()


def claims_of(
    *documents: Mapping[str, Any], extra: tuple[tuple[Mapping[str, Any], str], ...] = ()
) -> tuple[uuid.UUID, ...]:
    """Return ids of ours in the metadata of objects: accounts, then what `extra` names, then customers."""
    metadata = [inner(document, "metadata") for document in documents]
    accounts = tuple((source, key) for source in metadata for key in ("accountId", "account_id"))
    users = tuple((source, key) for source in metadata for key in ("userId", "user_id"))
    return claimed_ids(*accounts, *extra, *users)


def name_or_none(value: object) -> str | None:
    """Return a text that merely informs, or None where it cannot be read."""
    try:
        return identifier({"name": value}, "name")
    except Unreadable:
        return None
