"""Which actions are allowed where, as the model has it. `engine.gates` judges by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.model import Guard, Place


@dataclass(frozen=True, slots=True)
class Also:
    """A further reason to deny an action; never a reason to allow one."""

    action: str
    deny: str
    when: Guard
    place: Place


@dataclass(frozen=True, slots=True)
class Gates:
    """The total matrix; a cell is True for allow. `codes` by (machine, state); a server's code comes with its state."""

    account: Mapping[str, Mapping[tuple[str, str], bool]]  # action -> (machine, state) -> allow
    server: Mapping[str, Mapping[str, bool]]  # action -> server billing state -> allow
    codes: Mapping[tuple[str, str], str]
    places: Mapping[str, Place]
    also: tuple[Also, ...] = ()
    may_also: Mapping[str, frozenset[str]] = field(default_factory=dict)  # actor -> actions allowed all the same
