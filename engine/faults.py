"""Faults of a policy's text: what is wrong, where, and how it may be put right.

Three kinds: it cannot be read (P1xx), has the wrong shape (S2xx) or the wrong meaning (M3xx).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from engine.model import Place

TOKEN = re.compile(r"\"[^\"]*\"|'[^']*'|[^\s,\[\]{}:#]+(?::[^\s,\[\]{}]+)*|\S")


class FaultKind(StrEnum):
    """At which of the three questions the policy fails."""

    PARSE = "cannot be read"
    SHAPE = "wrong shape"
    MEANING = "wrong meaning"


_KINDS = {"P": FaultKind.PARSE, "S": FaultKind.SHAPE, "M": FaultKind.MEANING}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. `code` is stable; columns count from 1 and `end_column` is one past the last underlined one."""

    code: str
    place: Place
    end_column: int
    message: str
    hint: str = ""

    @property
    def kind(self) -> FaultKind:
        """The kind, as the code's letter tells it."""
        return _KINDS[self.code[0]]


class PolicyFaults(Exception):
    """A policy has faults; `sources` holds the lines of each file, to show them."""

    def __init__(self, faults: Iterable[Fault], sources: Mapping[str, tuple[str, ...]]) -> None:
        self.faults = tuple(faults)
        self.sources = sources
        first = self.faults[0]
        more = f" (and {len(self.faults) - 1} more)" if len(self.faults) > 1 else ""
        at = f"{first.place.file}:{first.place.line}:{first.place.column}"
        super().__init__(f"{at}: {first.code} {first.message}{more}; `forbear policy check` shows all")


class PolicyUnreadable(Exception):
    """There is no policy to look at."""

    def __init__(self, folder: str, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"`{folder}` {reason}")


# A policy with these decides, and hardly as its author meant. They are refused before it comes into force; once it is,
# a version of ours that judges more strictly must not take it away from running processes. Nor must one that calls a
# letter otherwise, or begins to ask for its text: until a policy is deployed that has it, that letter waits.
JUDGEMENTS = frozenset({"M323", "M324", "M325", "M326", "M327", "M328", "M353", "M370", "M387", "M388"})


class Faults:
    """Collects faults while a policy is read. The same fault at the same place is kept once."""

    def __init__(self, *, judging: bool = True) -> None:
        self.judging = judging  # False: only what keeps a policy from deciding is a fault
        self.sources: dict[str, tuple[str, ...]] = {}
        self._found: dict[tuple[str, Place, str], Fault] = {}

    def __len__(self) -> int:
        return len(self._found)

    def add(self, code: str, place: Place, message: str, hint: str = "", *, end_column: int | None = None) -> None:
        """Note a fault; without `end_column` the word at the place is underlined."""
        if code in JUDGEMENTS and not self.judging:
            return
        end = end_column if end_column is not None and end_column > place.column else self._word_end(place)
        self._found.setdefault((code, place, message), Fault(code, place, end, message, hint))

    def in_order(self) -> tuple[Fault, ...]:
        """Return all faults by file, line and column."""
        return tuple(sorted(self._found.values(), key=lambda f: (f.place.file, f.place.line, f.place.column, f.code)))

    def raise_if_any(self) -> None:
        """Raise PolicyFaults when there is one."""
        if self._found:
            raise PolicyFaults(self.in_order(), self.sources)

    def _word_end(self, place: Place) -> int:
        lines = self.sources.get(place.file, ())
        if not 1 <= place.line <= len(lines):
            return place.column + 1
        word = TOKEN.match(lines[place.line - 1], place.column - 1)
        return word.end() + 1 if word else place.column + 1


def closest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that was probably meant."""
    from difflib import get_close_matches

    matches = get_close_matches(name[:80], list(known), n=1, cutoff=0.7)
    return matches[0] if matches else None


def meant(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """Return a hint: the probable name, or else the known ones when they are few."""
    names = sorted(known)
    if (found := closest(name, names)) is not None:
        return f"did you mean `{found}`?"
    if otherwise:
        return otherwise
    return f"known here: {listed(names)}" if names and len(names) <= 12 else ""


def listed(names: Iterable[str]) -> str:
    """Return names in backticks, in a row."""
    return ", ".join(f"`{shown(name)}`" for name in names)


def shown(value: object, limit: int = 60) -> str:
    """Return a value as a message may quote it: on one line, short, without anything that a terminal obeys."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return text if len(text) <= limit else text[: limit - 1] + "…"
