"""A letter's text in its parts, so that it can be shown as more than lines: paragraphs, what is set apart, links.

The layout is read off the policy's words before anything is filled in, so no customer's name makes a link or a heading.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Literal

BlockKind = Literal["words", "apart", "link"]

LINKS = frozenset({"{pay_url}", "{confirm_url}", "{portal_url}", "{billing_url}"})  # alone on a line
SHORT_CHARACTERS = 60  # a line that ends sooner was ended on purpose, not by the width of a page


@dataclass(frozen=True, slots=True)
class Block:
    """One part: `words`, each line a break that was meant; `apart`, indented in the text; `link`, the address alone."""

    kind: BlockKind
    lines: tuple[str, ...]
    names: str = ""
    """Of a link: the field that the address is."""


def blocks_of(template: str, filled: str) -> tuple[Block, ...]:
    """Return the parts of a text that was filled in line by line."""
    pairs = list(zip(template.splitlines(), filled.splitlines(), strict=True))
    found = []
    for (kind, _), lines in groupby(_numbered(pairs), key=lambda each: each[0]):
        if kind == "blank":
            continue
        group = [pair for _, pair in lines]
        if kind == "link":
            found += [Block("link", (line.strip(),), as_written.strip(" {}")) for as_written, line in group]
        else:
            found.append(Block("apart" if kind == "apart" else "words", tuple(_joined(group))))
    return tuple(found)


def _numbered(pairs: list[tuple[str, str]]) -> list[tuple[tuple[str, int], tuple[str, str]]]:
    """Mark each line with its kind, and with how many blank ones stand above it."""
    blanks, marked = 0, []
    for pair in pairs:
        written = pair[0]
        if not written.strip():
            kind, blanks = "blank", blanks + 1
        else:
            kind = "link" if written.strip() in LINKS else "apart" if written.startswith("    ") else "words"
        marked.append(((kind, blanks), pair))
    return marked


def _joined(group: list[tuple[str, str]]) -> list[str]:
    lines: list[str] = []
    goes_on = False
    for written, line in group:
        if goes_on:
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.strip())
        goes_on = len(written) >= SHORT_CHARACTERS
    return lines
