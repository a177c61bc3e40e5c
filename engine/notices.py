"""Notices in words: which fields a text may name, and how they are written for one customer. Sending is done elsewhere.

A text holds `{name}` and nothing cleverer: no attributes, no indexes, no formats. `{{` and `}}` stand for braces.
What a letter looks like is `engine.letter_blocks`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from engine.effects import CREDIT_NOTE
from engine.errors import NoticeIncomplete
from engine.languages import ENGLISH, written_day, written_instant
from engine.letter_blocks import Block, blocks_of
from engine.model import IntentKind, Policy
from engine.model_words import LetterWords, NoticeText, NoticeWords, StateText

FieldKind = Literal["text", "instant", "day", "list"]
FieldValue = str | int | datetime | date | Sequence[str] | None

# Every field that a notice may name, and how its value is written: an instant in the customer's zone, a list in a row.
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
    "trial_ends_at": "instant",
    "hold_until": "instant",
    "promise_at": "instant",  # the date that this notice promises, whatever for
    "amount_due": "text",
    "pay_url": "text",
    "confirm_url": "text",  # where a payment is confirmed that a bank asks about
    "portal_url": "text",
    "support_email": "text",
}

# Every field that a letter about one invoice of ours may name.
LETTER_FIELDS: Mapping[str, FieldKind] = {
    "customer_name": "text",
    "invoice_number": "text",
    "invoice_first_on": "day",  # the first day that it charges for, and the last
    "invoice_last_on": "day",
    "invoice_issued_on": "day",
    "invoice_due_on": "day",
    "invoice_total": "text",  # amounts with their currency
    "invoice_open": "text",  # what is still to be paid of it
    "billing_url": "text",  # where all invoices of the customer are
    "support_email": "text",
}

# And what the one about a credit note may name beside: `invoice_*` is the invoice that it takes back.
CREDIT_FIELDS: Mapping[str, FieldKind] = {
    "credit_number": "text",
    "credit_total": "text",
}

SUBJECT_CHARACTERS = 200  # mail programs cut longer subjects at places of their own choosing
VALUE_CHARACTERS = 2_000
LISTED = 50  # names in a list before the rest is only counted
NOT_KNOWN = "not known yet"  # on a page, which must show something
NONE_OF_THEM = "none"

_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPACES = frozenset({"Zl", "Zp", "Zs", "Cc"})  # separators and control characters: one plain space
_DROPPED = frozenset({"Cf", "Cs"})  # direction marks, invisible characters, halves of characters


def fields_of(text: str) -> tuple[str, ...]:
    """Return the names in braces, each once, in the order of reading, whether they are declared or not."""
    return tuple(dict.fromkeys(match[1] for match in _FIELD.finditer(text) if match[1] is not None))


@dataclass(frozen=True, slots=True)
class Written:
    """A notice as one customer reads it."""

    language: str
    subject: str
    text: str
    blocks: tuple[Block, ...]
    """The same text, in its parts."""
    reason: str | None
    next: str | None
    paper: str | None
    labels: LetterWords


def render(policy: Policy, intent: str, fields: Mapping[str, FieldValue], zone: str = "UTC") -> tuple[str, str]:
    """Return the subject and text of a notice in English; otherwise as `write`."""
    written = write(policy, intent, fields, zone)
    return written.subject, written.text


def write(
    policy: Policy, intent: str, fields: Mapping[str, FieldValue], zone: str = "UTC", language: str = ENGLISH
) -> Written:
    """Return a notice, written for one customer; `zone` is theirs, by its IANA name.

    A language without a text of this notice reads English. The subject is one line whatever the values hold. Raises
    NoticeIncomplete when a named field has no value, KeyError when the policy has no text for the intent.
    """
    notice = policy.notices[intent]
    language, words = words_in(notice, language)
    missing = [name for name in fields_of(words.whole) if fields.get(name) is None]
    if missing:
        raise NoticeIncomplete(intent, tuple(missing))
    labels = policy.letter_words.get(language) or LetterWords()

    def filled(text: str) -> str:
        return _filled(text, fields, zone, language, labels.none)

    return Written(
        language,
        plain(filled(words.subject), SUBJECT_CHARACTERS),
        text := filled(words.text),
        blocks_of(words.text, text),
        plain(filled(words.reason)) if words.reason else None,
        plain(filled(words.next)) if words.next else None,
        plain(filled(words.paper)) if words.paper else None,
        labels,
    )


def fields_for(intent: str, kind: IntentKind) -> Mapping[str, FieldKind]:
    """Return the fields that the text of an intent of this kind may name."""
    if intent == CREDIT_NOTE:
        return {**LETTER_FIELDS, **CREDIT_FIELDS}
    return LETTER_FIELDS if kind is IntentKind.LETTER else FIELDS


def words_in(notice: NoticeText, language: str) -> tuple[str, NoticeWords]:
    """Return a notice's words in a language, or in that without its country, or in English; and which it is."""
    for tag in (language, language.partition("-")[0]):
        if tag in notice.translations:
            return tag, notice.translations[tag]
    return ENGLISH, notice.words


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


def _filled(
    text: str, fields: Mapping[str, FieldValue], zone: str, language: str = ENGLISH, none: str = NONE_OF_THEM
) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1]
        return match[0][0] if name is None else _written(fields.get(name), zone, language, none)

    return _FIELD.sub(value, text)


def _written(value: FieldValue, zone: str, language: str, none: str) -> str:
    if value is None:
        return NOT_KNOWN
    if isinstance(value, datetime):
        return written_instant(value, zone, language)
    if isinstance(value, date):
        return written_day(value, language)
    if isinstance(value, str | int):
        return plain(str(value))
    names = [plain(name, 100) for name in value]
    rest = len(names) - LISTED
    more = "" if rest <= 0 else f" and {rest} more" if language == ENGLISH else f", … (+{rest})"
    return (", ".join(names[:LISTED]) or none) + more
