"""`forbear policy prove`: hold a policy against what it promises about itself."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from engine.commands import SHIPPED, colored, shown_folder, told_faults

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.model import Value
    from engine.prove.counterexample import Told
    from engine.prove.judge import Judgement

EXAMPLES = """\b
Examples:
  forbear policy prove                                every guarantee of the policy that ships
  forbear policy prove ./policy --only payment_wins   one of yours
  forbear policy prove --format github                as annotations of a pull request
"""
_BOLD, _RED, _GREEN, _YELLOW, _DIM, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[2m", "\x1b[0m"


@click.command(epilog=EXAMPLES)
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--only", metavar="NAME", multiple=True, help="Prove only this guarantee; may be given several times.")
@click.option("--max-states", type=click.IntRange(1), default=200_000, show_default=True, help="Give up beyond these.")
@click.option("--save", metavar="FOLDER", type=click.Path(path_type=Path), help="Write broken timelines there.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "github"]), default="text", show_default=True,
    help="For people, for programs, or for a pull request.",
)  # fmt: skip
def prove(folder: Path | None, only: tuple[str, ...], max_states: int, save: Path | None, form: str) -> None:
    """Explore every state and time of the policy in DIR, and hold its guarantees.yaml against them.

    A broken guarantee is shown with the shortest timeline that breaks it. Exit status: 0 all hold, 1 one is broken or
    not proven, 2 there is nothing to prove.
    """
    from engine.faults import PolicyFaults, PolicyUnreadable
    from engine.load import load_policy
    from engine.prove.judge import Verdict, judge

    try:
        policy = load_policy(folder if folder is not None else SHIPPED, os.environ)
    except PolicyFaults as faults:
        click.echo(told_faults(faults, form, shown_folder(folder)))
        raise SystemExit(2) from None
    except PolicyUnreadable as nothing:
        raise click.UsageError(str(nothing)) from None
    unknown = set(only) - {guarantee.name for guarantee in policy.guarantees}
    if unknown:
        names = ", ".join(guarantee.name for guarantee in policy.guarantees) or "none"
        raise click.UsageError(f"there is no guarantee `{min(unknown)}`; the policy has: {names}")
    chosen = [guarantee for guarantee in policy.guarantees if not only or guarantee.name in only]
    if not chosen:
        raise click.UsageError("the policy promises nothing about itself: write a guarantees.yaml")
    began = time.perf_counter()
    judgements = [judge(policy, guarantee, max_states) for guarantee in chosen]
    seconds = time.perf_counter() - began
    where = shown_folder(folder)
    if save is not None:
        _save(judgements, save)
    click.echo(
        _as_json(judgements) if form == "json" else _as_text(judgements, where, seconds, save, github=form == "github")
    )
    if any(judgement.verdict is not Verdict.HOLDS for judgement in judgements):
        raise SystemExit(1)


def _as_text(judgements: Sequence[Judgement], folder: str, seconds: float, save: Path | None, *, github: bool) -> str:
    if github:
        return "\n".join(_annotation(judgement, folder) for judgement in judgements)
    widest = max(len(judgement.guarantee.name) for judgement in judgements)
    lines = []
    for judgement in judgements:
        lines += _told(judgement, folder, widest, save)
    assumed = dict.fromkeys(each for judgement in judgements for each in judgement.assumes)
    if assumed:
        lines += ["", "what is reached in the end is so provided that:", *(f"  - {each}" for each in assumed), ""]
    held = sum(judgement.verdict == "holds" for judgement in judgements)
    states = sum(judgement.states for judgement in judgements)
    lines.append(f"{held} of {len(judgements)} guarantees hold; {states} states explored in {seconds:.2f} s")
    return "\n".join(lines)


def _told(judgement: Judgement, folder: str, widest: int, save: Path | None) -> list[str]:
    color = colored()
    shades = {"holds": _GREEN, "broken": _RED, "not proven": _YELLOW} if color else {}
    shade, plain = shades.get(judgement.verdict, ""), _PLAIN if color else ""
    note = f"  {judgement.why}" if judgement.why and judgement.verdict == "holds" else ""
    name, states = judgement.guarantee.name, judgement.states
    lines = [f"{shade}{judgement.verdict:<10}{plain}  {name:<{widest}}  {states:>7} states{note}".rstrip()]
    if judgement.verdict == "holds":
        return lines
    lines += ["", f"  {judgement.guarantee.says}", f"  {judgement.why}"]
    if judgement.where is not None:
        lines.append(f"  at {folder}/{judgement.where}" if not judgement.steps else "")
    if judgement.steps:
        lines += _timeline(judgement, folder)
        lines += ["", f"  {_replayed(judgement.guarantee.name, folder, save)}"]
    return [*lines, ""]


def _replayed(name: str, folder: str, save: Path | None) -> str:
    """Return how to see the real decisions end in the same place."""
    place = quote(folder)
    if save is not None:
        return f"replay it: forbear policy simulate {place} --timeline {quote(str(save / f'{name}.yaml'))}"
    return f"to replay it, write it down first: forbear policy prove {place} --only {name} --save FOLDER"


def _save(judgements: Sequence[Judgement], folder: Path) -> None:
    """Write each counterexample as a timeline that `forbear policy simulate` plays."""
    from engine.timeline_text import write_timeline

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for judgement in judgements:
            if judgement.timeline is not None:
                text = write_timeline(judgement.timeline, judgement.guarantee.says)
                (folder / f"{judgement.guarantee.name}.yaml").write_text(text, "utf-8")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise click.UsageError(f"the timelines cannot be written to `{folder}`: {reason}") from error


def _timeline(judgement: Judgement, folder: str) -> list[str]:
    steps = judgement.steps
    rows = [(_when(step.at_seconds), _what(step), _where(step), f"{folder}/{step.move.place}") for step in steps]
    widths = [max(len(row[at]) for row in rows) for at in range(3)]
    lines = [f"    {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:<{widths[2]}}  {row[3]}" for row in rows]
    last: dict[str, Value] = {}
    for at, step in reversed(list(enumerate(steps))):
        known = _known(step)
        if known and known != last:
            lines.insert(at + 1, f"    {'':<{widths[0]}}    {_facts(known)}")
    return lines


def _when(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    return f"day {days}, {rest // 3600:02}:{rest % 3600 // 60:02}" + (f":{rest % 60:02}" if rest % 60 else "")


def _what(step: Told) -> str:
    names = " ".join(step.move.names)
    if step.move.kind == "deliver":
        return f"{names} is delivered"
    if step.move.kind == "wait":
        return "and so it stays"
    if step.move.kind == "void":
        return f"a hold voids {names}"
    if step.move.kind == "reissue":
        return f"{names} is issued again"
    return names + (f", by {step.move.actor} person" if step.move.actor else "")


def _where(step: Told) -> str:
    return " ".join(f"{machine}.{state}" for machine, state in step.states.items())


def _known(step: Told) -> dict[str, Value]:
    known: dict[str, Value] = dict(step.evidence)
    known.update({anchor: f"{-at // 3600} h before" if at < 0 else _when(at) for anchor, at in step.since.items()})
    return known


def _facts(known: dict[str, Value]) -> str:
    return ", ".join(f"{name} {'null' if value is None else str(value).lower()}" for name, value in known.items())


def _annotation(judgement: Judgement, folder: str) -> str:
    place = judgement.guarantee.place
    level = {"holds": "notice", "not proven": "warning"}.get(judgement.verdict, "error")
    why = f": {judgement.why}" if judgement.why else ""
    name = judgement.guarantee.name
    return f"::{level} file={folder}/{place.file},line={place.line}::{name} {judgement.verdict}{why}"


def _as_json(judgements: Sequence[Judgement]) -> str:
    told = []
    for judgement in judgements:
        entry: dict[str, object] = {
            "guarantee": judgement.guarantee.name,
            "says": judgement.guarantee.says,
            "verdict": str(judgement.verdict),
            "states": judgement.states,
            "why": judgement.why or None,
            "assumes": list(judgement.assumes),
            "place": str(judgement.where or judgement.guarantee.place),
        }
        if judgement.steps:
            entry["timeline"] = [
                {
                    "atSeconds": step.at_seconds,
                    "kind": step.move.kind,
                    "names": step.move.names,
                    "place": step.move.place,
                    "states": step.states,
                    "also": [name for name, _ in step.also],
                    "facts": {name: value if value is None else str(value) for name, value in _known(step).items()},
                }
                for step in judgement.steps
            ]
        told.append(entry)
    return json.dumps({"ok": all(j.verdict == "holds" for j in judgements), "guarantees": told}, indent=2)
