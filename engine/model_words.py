"""What customers read, as the model has it: notices, states and windows of maintenance in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from engine.model import Place


@dataclass(frozen=True, slots=True)
class NoticeText:
    """A notice in words: `subject`, `text`; fields are `{name}` of `engine.notices.FIELDS`."""

    intent: str
    subject: str
    text: str
    place: Place


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
