"""Notices in words: which fields a text may name, and how they are written for one customer. Sending is done elsewhere.

A text holds `{name}` and nothing cleverer: no attributes, no indexes, no formats. `{{` and `}}` stand for braces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from engine.calendar import zone_of
from engine.errors import NoticeIncomplete
from engine.model import Policy
from engine.model_words import StateText

FieldKind = Literal["text", "instant", "list"]
FieldValue = str | int | datetime | Sequence[str] | None

# Every field that a text may name, and how its value is written: an instant in the customer's zone, a list in a row.
FIELDS: Mapping[str, FieldKind] = {
    "customer_name": "text",
    "account_id": "text",
    "plan": "text",
    "servers": "list",  # names of all servers of the account
    "stopped_servers": "list",  # those that were observed stopped
    "stopping_servers": "list",  # those that were not yet
    "past_due_since": "instant",
    "suspend_at": "instant",  # what a notice promises for a suspension
    "stop_at": "instant",  # what a notice promises for stopping servers of an ended subscription
    "suspended_at": "instant",
    "retention_until": "instant",
    "subscription_ended_at": "instant",
    "hold_until": "instant",
    "promise_at": "instant",  # the date that this notice promises, whatever for
    "amount_due": "text",
    "pay_url": "text",
    "portal_url": "text",
    "support_email": "text",
}

SUBJECT_CHARACTERS = 200  # mail programs cut longer subjects at places of their own choosing
VALUE_CHARACTERS = 2_000
LISTED = 50  # names in a list before the rest is only counted
NOT_KNOWN = "not known yet"  # on a page, which must show something
NONE_OF_THEM = "none"

_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)  # fmt: skip
_SPACES = frozenset({"Zl", "Zp", "Zs", "Cc"})  # separators and control characters: one plain space
_DROPPED = frozenset({"Cf", "Cs"})  # direction marks, invisible characters, halves of characters


def fields_of(text: str) -> tuple[str, ...]:
    """Return the names in braces, each once, in the order of reading, whether they are declared or not."""
    return tuple(dict.fromkeys(match[1] for match in _FIELD.finditer(text) if match[1] is not None))


def render(policy: Policy, intent: str, fields: Mapping[str, FieldValue], zone: str = "UTC") -> tuple[str, str]:
    """Return the subject and text of a notice, written for one customer; `zone` is theirs, by its IANA name.

    The subject is one line whatever the values hold. Raises NoticeIncomplete when a named field has no value, KeyError
    when the policy has no text for the intent.
    """
    notice = policy.notices[intent]
    missing = [name for name in fields_of(notice.subject + notice.text) if fields.get(name) is None]
    if missing:
        raise NoticeIncomplete(intent, tuple(missing))
    subject = plain(_filled(notice.subject, fields, zone), SUBJECT_CHARACTERS)
    return subject, _filled(notice.text, fields, zone)


def state_text(
    policy: Policy, machine: str, state: str, fields: Mapping[str, FieldValue], zone: str = "UTC"
) -> StateText:
    """Return what a customer reads while the machine is in this state; a missing value is shown as not known."""
    text = policy.state_texts[machine, state]
    return StateText(
        machine,
        state,
        plain(_filled(text.title, fields, zone), SUBJECT_CHARACTERS),
        _filled(text.message, fields, zone),
        _filled(text.next_step, fields, zone) if text.next_step is not None else None,
        text.place,
    )


def written_instant(instant: datetime, zone: str) -> str:
    """Write an instant for a person in this zone, the zone named; an unknown zone is written in UTC."""
    place = zone_of(zone)
    local = instant.astimezone(place or UTC)
    minutes = round((local.utcoffset() or timedelta(0)).total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60}" + (f":{abs(minutes) % 60:02}" if minutes % 60 else "")
    named = f"{zone}, UTC{offset}" if place is not None and zone != "UTC" else "UTC"
    day = f"{_DAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}"
    return f"{day}, {local.hour:02}:{local.minute:02} ({named})"


def plain(value: str, characters: int = VALUE_CHARACTERS) -> str:
    """Return the value on one line, without control characters, direction marks or what else cannot be seen."""
    kept: list[str] = []
    for character in unicodedata.normalize("NFC", value):
        category = unicodedata.category(character)
        if category in _SPACES:
            kept.append(" ")
        elif category not in _DROPPED:
            kept.append(character)
    line = " ".join("".join(kept).split())
    return line if len(line) <= characters else line[: characters - 1].rstrip() + "…"


def _filled(text: str, fields: Mapping[str, FieldValue], zone: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        return match[0][0] if name is None else _written(fields.get(name), zone)

    return _FIELD.sub(value, text)


def _written(value: FieldValue, zone: str) -> str:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, datetime):
        return written_instant(value, zone)
    if isinstance(value, str | int):
        return plain(str(value))
    names = [plain(name, 100) for name in value]
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or NONE_OF_THEM) + more
