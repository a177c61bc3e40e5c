"""What a proof found, in words: text for people at any width, JSON for programs, annotations for a pull request."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from shlex import quote

from engine.model import Value
from engine.prove.counterexample import Told
from engine.prove.judge import Judgement, Verdict
from engine.timeline.text import write_offset

SHADES = {Verdict.HOLDS: "\x1b[32m", Verdict.BROKEN: "\x1b[31m", Verdict.NOT_PROVEN: "\x1b[33m"}
BOLD, DIM, PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"
SAVED = Path("counterexamples")  # where the commands that are shown write to when nobody said where
WIDEST = 118


@dataclass(frozen=True, slots=True)
class Page:
    """How text is to be written: the policy's folder as it was typed, the width of the terminal, colour or not."""

    folder: str
    width: int
    color: bool
    save: Path | None = None

    def shade(self, shade: str, text: str) -> str:
        """Return the text in this shade."""
        return f"{shade}{text}{PLAIN}" if self.color else text

    def wrapped(self, text: str, indent: str) -> list[str]:
        """Return the text in lines that fit."""
        width = min(self.width, WIDEST)
        return textwrap.wrap(
            text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
        )


def as_text(judgements: Sequence[Judgement], page: Page, seconds: float) -> str:
    """Return all verdicts, each that does not hold with its timeline, and a summary."""
    widest = max(len(judgement.guarantee.name) for judgement in judgements)
    lines: list[str] = []
    for judgement in judgements:
        lines += _told(judgement, page, widest)
    assumed = dict.fromkeys(each for judgement in judgements for each in judgement.assumes)
    if assumed:
        lines += [*([""] if lines[-1] else []), "what is reached in the end is so provided that"]
        lines += [line for each in assumed for line in page.wrapped(each, "    ")]
        lines.append("")
    counts = {verdict: sum(j.verdict is verdict for j in judgements) for verdict in Verdict}
    others = [f"{counts[v]} {v}" for v in (Verdict.BROKEN, Verdict.NOT_PROVEN) if counts[v]]
    held = "; ".join([f"{counts[Verdict.HOLDS]} of {len(judgements)} guarantees hold", *others])
    states = sum(judgement.states for judgement in judgements)
    lines.append(f"{held}; {states} states explored in {seconds:.2f} s")
    return "\n".join(lines)


def _told(judgement: Judgement, page: Page, widest: int) -> list[str]:
    guarantee, verdict = judgement.guarantee, judgement.verdict
    note = f"  {judgement.why}" if judgement.why and verdict is Verdict.HOLDS else ""
    head = page.shade(SHADES[verdict], f"{verdict:<10}")
    lines = [f"{head}  {guarantee.name:<{widest}}  {judgement.states:>7} states{note}".rstrip()]
    if verdict is Verdict.HOLDS:
        return lines
    lines += ["", *page.wrapped(guarantee.says, "  ")]
    lines += [page.shade(BOLD, line) for line in page.wrapped(judgement.why, "  ")]
    if judgement.steps:
        lines += ["", *_timeline(judgement, page), *_replay(guarantee.name, page, verdict)]
    elif judgement.where is not None:
        lines.append(f"  at {page.folder}/{judgement.where}")
    return [*lines, ""]


def _replay(name: str, page: Page, verdict: Verdict) -> Iterator[str]:
    """Yield how to see the real decisions end in the same place."""
    if verdict is not Verdict.BROKEN:
        return
    place, saved = quote(page.folder), page.save or SAVED
    commands = [f"forbear policy simulate {place} --timeline {quote(str(saved / f'{name}.yaml'))}"]
    if page.save is None:
        commands.insert(0, f"forbear policy prove {place} --only {name} --save {saved}")
    yield from ["", "  replay it:", *(f"    {command}" for command in commands)]


def _timeline(judgement: Judgement, page: Page) -> Iterator[str]:
    known: dict[str, str] = {}
    states = {machine.name: machine.initial for machine in judgement.space.machines} if judgement.space else {}
    widest = max(len(_when(step.at_seconds)) for step in judgement.steps)
    indent = " " * (2 + widest + 2)
    last = ""
    for step in judgement.steps:
        when = _when(step.at_seconds)
        moved = [f"{name}.{state}" for name, state in step.states.items() if states.get(name, state) != state]
        states |= step.states
        left = when if when != last else ""
        last = when
        text = f"  {left:<{widest}}  {_what(step)}" + (f" → {', '.join(moved)}" if moved else "")
        place = f"{page.folder}/{step.move.place}"
        if len(text) + 2 + len(place) <= min(page.width, WIDEST):
            yield text + page.shade(DIM, f"{place:>{min(page.width, WIDEST) - len(text)}}")
        else:
            yield from [text, page.shade(DIM, f"{indent}{place}")]
        new = {name: value for name, value in _facts(step).items() if known.get(name) != value}
        known |= new
        if new:
            yield from page.wrapped("knowing " + ", ".join(f"{n} {v}" for n, v in new.items()), indent)
        for name, where in step.also:
            yield f"{indent}and at once {name}" + (page.shade(DIM, f"  {page.folder}/{where}") if where else "")


def _when(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"day {days}, {rest // 3600:02}:{rest % 3600 // 60:02}" + (f":{rest % 60:02}" if rest % 60 else "")


def _what(step: Told) -> str:
    names = " and ".join(step.move.names)
    words = {
        "deliver": f"{names} is delivered",
        "void": f"the promise of {names} is void",
        "reissue": f"{names} is issued again",
        "wait": "from here on everybody does their part, and it stays so",
        "learn": f"{names} fires" if names else "no relief fires",
    }
    by = f", by {step.move.actor} person" if step.move.actor else ""
    return words.get(step.move.kind, names + by)


def _facts(step: Told) -> dict[str, str]:
    """Return the evidence of a step as people read it, instants as far from the first step."""
    found = {}
    for name, value in step.evidence.items():
        if name in step.since:
            away = write_offset(timedelta(seconds=abs(step.since[name])))
            found[name] = (
                "day 0, 00:00"
                if not step.since[name]
                else away + (" before day 0" if step.since[name] < 0 else " after day 0")
            )
        else:
            found[name] = _word(value)
    return found


def _word(value: Value) -> str:
    if value is None:
        return "null"
    return "long ago" if isinstance(value, datetime) else str(value).lower()


def as_annotations(judgements: Sequence[Judgement], page: Page) -> str:
    """Return a line for each guarantee that a pull request shows at the place where it is promised."""
    return "\n".join(_annotation(judgement, page) for judgement in judgements)


def _annotation(judgement: Judgement, page: Page) -> str:
    place, name = judgement.guarantee.place, judgement.guarantee.name
    level = {Verdict.HOLDS: "notice", Verdict.NOT_PROVEN: "warning"}.get(judgement.verdict, "error")
    why = f": {judgement.why}" if judgement.why else ""
    wide = Page(page.folder, WIDEST, color=False)
    told = [f"{name} {judgement.verdict}{why}", *(_timeline(judgement, wide) if judgement.steps else ())]
    message = "\n".join(told).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    return f"::{level} file={page.folder}/{place.file},line={place.line}::{message}"


def as_json(judgements: Sequence[Judgement]) -> str:
    """Return everything that was found."""
    told = []
    for judgement in judgements:
        entry: dict[str, object] = {
            "guarantee": judgement.guarantee.name,
            "says": judgement.guarantee.says,
            "promisedAt": str(judgement.guarantee.place),
            "verdict": str(judgement.verdict),
            "states": judgement.states,
            "why": judgement.why or None,
            "assumes": list(judgement.assumes),
            "place": str(judgement.where or judgement.guarantee.place),
        }
        if judgement.steps:
            entry["timeline"] = [_step(step) for step in judgement.steps]
        told.append(entry)
    ok = all(judgement.verdict is Verdict.HOLDS for judgement in judgements)
    return json.dumps({"ok": ok, "guarantees": told}, indent=2)


def _step(step: Told) -> Mapping[str, object]:
    facts = {name: None if word == "null" else word for name, word in _facts(step).items()}
    return {
        "atSeconds": step.at_seconds,
        "kind": step.move.kind,
        "names": step.move.names,
        "also": [name for name, _ in step.also],
        "by": step.move.actor,
        "place": step.move.place,
        "states": step.states,
        "facts": facts,
    }
