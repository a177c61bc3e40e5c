"""What customers read, as the model has it: notices, states and windows of maintenance in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from engine.model import Place


@dataclass(frozen=True, slots=True)
class NoticeWords:
    """What a notice or a letter says in one language; fields are `{name}` of `engine.notices`."""

    subject: str
    text: str
    reason: str | None = None
    """Why it is written, in a line."""
    next: str | None = None
    """What happens next and when, in a line."""
    paper: str | None = None
    """Of a letter about an invoice: what the page is called that comes along for what is still to be paid."""

    @property
    def whole(self) -> str:
        """All of it."""
        return "\n".join((self.subject, self.text, self.reason or "", self.next or "", self.paper or ""))


@dataclass(frozen=True, slots=True)
class NoticeText:
    """A notice or letter in English words, and in others: by language, as `de` or `pt-BR`."""

    intent: str
    words: NoticeWords
    place: Place
    translations: Mapping[str, NoticeWords] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LetterWords:
    """What stands beside the facts below every notice, in one language."""

    reason: str = "Why we write"
    next: str = "What happens next"
    invoices: str = "Open invoices"
    pay: str = "Pay now"
    total: str = "Amount of the invoice"
    paid: str = "Paid so far"
    credited: str = "Credited"
    open: str = "Still to be paid"
    pay_to: str = "Pay to"
    reference: str = "With the reference"
    none: str = "none"
    """What is written for a list without entries."""


@dataclass(frozen=True, slots=True)
class StateText:
    """What a customer reads while a machine is in a state, and the next step that they can take."""

    machine: str
    state: str
    title: str
    message: str
    next_step: str | None
    place: Place


@dataclass(frozen=True, slots=True)
class Announcement:
    """What customers read of the windows of a calendar, so long before each. `{from}` and `{until}` are its ends."""

    calendar: str
    before: timedelta
    title: str
    text: str
    place: Place
