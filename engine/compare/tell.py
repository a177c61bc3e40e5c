"""Tells the changes between two policies: for a terminal, for programs, as annotations, or as a comment."""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from itertools import groupby

from engine.compare.policies import Change, Effect
from engine.render import escaped

HEADINGS = {
    "machines": "Rungs and machines",
    "transitions": "Transitions",
    "timers": "Timers",
    "servers": "What rungs do to servers",
    "gates": "Gates",
    "guarantees": "Guarantees",
    "notices": "Notices",
    "states": "What customers read",
    "standing": "Evidence",
}
NOTHING = "no difference in meaning"
_SHADES = {
    Effect.STRICTER: "\x1b[31m", Effect.REMOVED: "\x1b[31m", Effect.LENIENT: "\x1b[32m", Effect.ADDED: "\x1b[36m",
    Effect.MOVED: "\x1b[33m", Effect.CHANGED: "\x1b[33m",
}  # fmt: skip
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
# What a pull request shows of one change; the whole is in the files.
MOST_WORDS = 400
MOST_COMMENT = 60_000  # GitHub refuses a comment of more than 65536 characters


def summary(changes: Sequence[Change]) -> str:
    """Return how many changes there are of each kind, in one line."""
    if not changes:
        return NOTHING
    counts = [(effect, sum(change.effect is effect for change in changes)) for effect in Effect]
    told = ", ".join(f"{count} {effect}" for effect, count in counts if count)
    return f"{len(changes)} change{'' if len(changes) == 1 else 's'}: {told}"


def as_text(changes: Sequence[Change], *, color: bool) -> str:
    """Return the changes as aligned lines, area by area."""
    if not changes:
        return NOTHING
    widest = max(len(change.subject) for change in changes)
    longest = max(12, *(len(change.words) for change in changes))
    lines: list[str] = []
    for heading, group in _areas(changes):
        lines += [f"{_BOLD}{heading}{_PLAIN}" if color else heading]
        for change in group:
            shade, plain = (_SHADES[change.effect], _PLAIN) if color else ("", "")
            long = "\n" in change.before + change.after
            said = "" if long else _arrow(change)
            place = f"  ({'old ' if change.in_old else ''}{change.place})" if change.place is not None else ""
            line = f"  {shade}{change.words:<{longest}}{plain}  {change.subject:<{widest}}  {said}{place}"
            lines.append(line.rstrip())
            if long:
                lines += [f"      {line}" for line in _texts(change)]
            if change.example:
                lines.append(f"      {_DIM if color else ''}{change.example}{plain}")
        lines.append("")
    return "\n".join([*lines, summary(changes)])


def as_json(changes: Sequence[Change], old: str, new: str) -> str:
    """Return the changes for programs. old, new: the policies' digests."""
    told = [
        {
            "area": change.area,
            "subject": change.subject,
            "effect": str(change.effect),
            "leans": None if change.leans is None else str(change.leans),
            "before": change.before or None,
            "after": change.after or None,
            "example": change.example or None,
            "place": str(change.place) if change.place is not None else None,
            "side": "old" if change.in_old else "new",
        }
        for change in changes
    ]
    return json.dumps({"same": not told, "old": old, "new": new, "changes": told}, indent=2, ensure_ascii=False)


def as_github(changes: Sequence[Change], folder: str) -> str:
    """Return the changes as workflow commands that annotate the new files, one a line."""
    lines = []
    for change in changes:
        harms = (change.leans or change.effect) in {Effect.STRICTER, Effect.REMOVED}
        level = "warning" if harms else "notice"
        given = {"title": f"{change.words}: {change.subject}"}
        if change.place is not None and not change.in_old:
            given = {"file": f"{folder.rstrip('/')}/{change.place.file}", "line": str(change.place.line)} | given
        properties = ",".join(f"{name}={escaped(value, ',:')}" for name, value in given.items())
        words = _arrow(change) + (f"\n{change.example}" if change.example else "")
        lines.append(f"::{level} {properties}::{escaped(words or change.subject)}")
    return "\n".join(lines) or f"::notice::{NOTHING}"


def as_markdown(changes: Sequence[Change]) -> str:
    """Return the changes as a comment of a pull request: what matters most in sight, examples beside each change."""
    if not changes:
        return f"### Policy: {NOTHING}\n"
    lines = [f"### Policy: {summary(changes)}", ""]
    for heading, group in _areas(changes):
        lines += [f"#### {heading}", "", "| | What | Before | After | For example |", "|---|---|---|---|---|"]
        texts: list[str] = []
        for change in group:
            before, after = _cell(change.before), _cell(change.after)
            if "\n" in change.before + change.after:
                before, after = "", "see below"
                texts += _folded(change)
            row = [f"**{change.words}**", f"`{_cell(change.subject)}`", before, after, _cell(change.example)]
            lines.append(f"| {' | '.join(row)} |")
        lines += ["", *texts]
    told = "\n".join(lines).rstrip() + "\n"
    if len(told) > MOST_COMMENT:
        kept = told[:MOST_COMMENT].rpartition("\n")[0]
        told = f"{kept}\n\nThe rest is too long for a comment: run `forbear policy diff` to see it.\n"
    return told


def _areas(changes: Sequence[Change]) -> list[tuple[str, list[Change]]]:
    known = list(HEADINGS)
    ranked = sorted(changes, key=lambda c: (known.index(c.area) if c.area in known else len(known), c.area))
    return [
        (HEADINGS.get(area, area.capitalize()), list(group)) for area, group in groupby(ranked, key=lambda c: c.area)
    ]


def _arrow(change: Change) -> str:
    if change.before and change.after:
        return f"{change.before} -> {change.after}"
    return change.after or change.before


def _texts(change: Change) -> list[str]:
    """Return what differs in a text of several lines, line by line."""
    before, after = change.before.splitlines(), change.after.splitlines()
    return [line for line in difflib.unified_diff(before, after, lineterm="", n=1) if line[:3] not in {"---", "+++"}]


def _folded(change: Change) -> list[str]:
    shown = _texts(change)
    fence = "`" * max(3, 1 + max((len(line) - len(line.lstrip("+- `")) for line in shown), default=0))
    head = f"<details><summary>{_cell(change.subject)}</summary>"
    return [head, "", f"{fence}diff", *shown, fence, "", "</details>", ""]


def _cell(words: str) -> str:
    """Return words as they may stand in a cell of a table: on one line, with nothing that ends it or is markup."""
    line = " ".join(words.split())
    line = f"{line[:MOST_WORDS]}…" if len(line) > MOST_WORDS else line
    for char, safe in (("&", "&amp;"), ("<", "&lt;"), ("|", "\\|"), ("@", "@\u200b")):
        line = line.replace(char, safe)
    return line
