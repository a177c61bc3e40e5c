"""What a policy promises about itself, as `guarantees.yaml` writes it. `engine.prove` tells whether it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from engine.model import Guard, Place

HappeningKind = Literal["do", "enter", "rule", "event", "delivered", "climb"]
ANY_NOTICE = "any notice"
WORDS: Mapping[HappeningKind, tuple[str, str]] = {
    "do": ("is asked for", "was asked for"),
    "enter": ("is entered", "was entered"),
    "rule": ("fires", "fired"),
    "event": ("is sent", "was sent"),
    "delivered": ("is delivered", "was delivered"),
    "climb": ("climbs", "climbed"),
}
KINDS_OF_INTENT = ("destructive", "starts_servers", ANY_NOTICE)  # `do` may name one of these instead of an intent


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that a move can do: ask for an intent, enter a state, fire a rule, deliver a notice, climb."""

    kind: HappeningKind
    name: str
    place: Place

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def now(self) -> str:
        """The happening as a sentence in the present."""
        return f"`{self.name}` {WORDS[self.kind][0]}"

    @property
    def past(self) -> str:
        """The happening as a sentence in the past."""
        return f"`{self.name}` {WORDS[self.kind][1]}"


@dataclass(frozen=True, slots=True)
class Before:
    """What must have happened in the running episode, by whom, and how long before."""

    happening: Happening
    at_least_seconds: int = 0
    other_than: int | None = None  # the entry whose sender may not have sent this one


@dataclass(frozen=True, slots=True)
class Never:
    """`happening` never happens: not at all, not while a condition holds, or not without what must come before.

    `elapsed` names stamps that must have passed; `given` must hold of the evidence at that moment.
    """

    name: str
    says: str
    place: Place
    happening: Happening
    while_: Guard | None = None
    without: tuple[Before, ...] = ()
    elapsed: tuple[str, ...] = ()
    given: Guard | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """While servers are in these billing states, actions are denied, intents unwanted, a running one is shut down."""

    name: str
    says: str
    place: Place
    servers: tuple[str, ...]
    denies: tuple[str, ...]  # gate actions, whoever asks
    unwanted: tuple[str, ...]  # intents
    running: str  # what repairs do about one that runs


@dataclass(frozen=True, slots=True)
class LeadsTo:
    """From every state of the machine, whatever else is so, the condition leads to a state at once, by relief alone."""

    name: str
    says: str
    place: Place
    when: Guard
    to: tuple[str, str]  # machine and state
    never: tuple[Happening, ...] = ()  # of kind `do`


@dataclass(frozen=True, slots=True)
class OneRung:
    """Each rule of pressure of these machines climbs exactly one rung, or sets a mark."""

    name: str
    says: str
    place: Place
    machines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtMostOnce:
    """Rules ask for each such notice at most once in an episode; only a voided one is issued again."""

    name: str
    says: str
    place: Place
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reaches:
    """While the condition stays, the machine gets as high as this state in the end: nothing is stuck for ever.

    It takes what `engine.prove.progress` assumes: permits, holds, the post and time do their part in the end.
    """

    name: str
    says: str
    place: Place
    when: Guard
    to: tuple[str, str]  # machine and state


@dataclass(frozen=True, slots=True)
class Slots:
    """A brake lets so many of each population through in each period, and no others."""

    name: str
    says: str
    place: Place
    brake: str  # of permits or of repairs
    per_seconds: int
    lets: tuple[tuple[int, int], ...]  # (population, how many of it)


@dataclass(frozen=True, slots=True)
class Exactly:
    """These names and no others have a property of `engine.register`, and with these values where it has values."""

    name: str
    says: str
    place: Place
    properties: tuple[tuple[str, tuple[tuple[str, str | int | timedelta], ...]], ...]


Guarantee = Never | Stopped | LeadsTo | OneRung | AtMostOnce | Reaches | Slots | Exactly
