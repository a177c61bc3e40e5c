"""A simulated account as text for people, and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Mapping

from engine.model import Policy
from engine.simulate.account import Change, Letter, Row, Story
from engine.snapshot import StepKind
from engine.timeline.text import write_offset, written_instant

WIDTH = 78  # of what stands beside the times
_CODES = {
    "red": "\x1b[31m", "green": "\x1b[32m", "yellow": "\x1b[33m", "blue": "\x1b[34m", "bold": "\x1b[1m",
    "dim": "\x1b[2m", "plain": "\x1b[0m",
}  # fmt: skip


class Telling:
    """Writes a story with the time on the left and what happens on the right."""

    def __init__(self, policy: Policy, *, color: bool, letters: bool = False) -> None:
        self.policy = policy
        self.letters = letters
        self.paint: Mapping[str, str] = _CODES if color else dict.fromkeys(_CODES, "")

    def write(self, story: Story) -> str:
        """Return the whole story."""
        lines = [
            self._color("bold", f"One account, in {story.timeline.zone}, from {written_instant(story.timeline.start)}")
        ]
        day = None
        for row in story.rows:
            lines.append("")
            said = list(self._said(row))
            date = "" if day == row.local.date() else f"{row.local:%a %d %b %Y}"
            left = f"{date:<15} {row.local:%H:%M}  {'+' + write_offset(row.offset):>9}"
            day = row.local.date()
            for number, line in enumerate(said or [self._color("dim", "nothing follows")]):
                head = left if number == 0 else ""
                lines.append(f"{self._color('dim', f'{head:<33}')} {line}")
        lines += ["", *self._end(story)]
        return "\n".join(line.rstrip() for line in lines)

    def _said(self, row: Row) -> Iterable[str]:
        for what in row.happened:
            yield f"● {self._color('bold', what)}"
        if row.refused is not None:
            yield f"  {self._color('red', 'refused')}: {row.refused}"
        for change in row.changes:
            yield from self._change(change)
        for letter in row.letters:
            yield from self._letter(letter, row)
        for move in row.moves:
            yield f"▪ {move}"
        yield from self._gates(row)
        for waiting in row.waiting:
            yield f"… {self._color('yellow', waiting)}"

    def _change(self, change: Change) -> Iterable[str]:
        why = self._color("dim", f"{change.because}, {change.place}")
        if change.kind is StepKind.TRANSITION:
            ladder = self.policy.machines[change.machine].ladder
            up = ladder.index(change.to) > ladder.index(change.from_)
            arrow, color = ("▲", "red") if up else ("▼", "green")
            moved = f"{change.machine}: {change.from_} → {self._color('bold', change.to)}"
            yield f"{self._color(color, arrow)} {moved}  {why}"
        elif change.kind is StepKind.MARK:
            rule = change.because.partition(".")[2].replace("_", " ")
            yield f"{self._color('red', '◆')} {change.machine}: {rule}  {why}"
        elif change.kind is StepKind.VOID:
            yield f"{self._color('green', '◇')} the date that {change.because} told no longer holds"
        else:
            yield f"{self._color('yellow', '◇')} {change.because} is issued again"

    def _letter(self, letter: Letter, row: Row) -> Iterable[str]:
        told = letter.subject or letter.intent
        state = "" if letter.outcome == "delivered" else f" {self._color('red', letter.outcome)}"
        yield f"{self._color('blue', '✉')}{state} {self._color('blue', told)}"
        if letter.problem is not None:
            yield f"  {self._color('red', letter.problem)}"
        if letter.promise_at is not None:
            until = letter.promise_at.astimezone(row.local.tzinfo)
            yield f"  promises that {letter.rule} does not come before {until:%a %d %b %Y %H:%M}"
        if self.letters and letter.text is not None:
            yield from (f"  │ {line}" for line in letter.text.rstrip().splitlines())

    def _gates(self, row: Row) -> Iterable[str]:
        for code in dict.fromkeys(code for _, code in row.blocked):
            names = ", ".join(action for action, of in row.blocked if of == code)
            yield from self._wrapped(self._color("red", "⊘"), f"{code}: {names}")
        if row.freed:
            yield from self._wrapped(self._color("green", "✓"), f"allowed again: {', '.join(row.freed)}")

    def _wrapped(self, mark: str, words: str) -> Iterable[str]:
        for number, line in enumerate(textwrap.wrap(words, WIDTH, break_long_words=False, break_on_hyphens=False)):
            yield f"{mark if number == 0 else ' '} {line}"

    def _end(self, story: Story) -> Iterable[str]:
        if not story.rows:
            return
        last = story.rows[-1]
        states = ", ".join(f"{machine} {state}" for machine, state in last.states.items())
        yield f"In the end: {states}; servers {last.server}."
        letters = [letter for row in story.rows for letter in row.letters if letter.outcome == "delivered"]
        yield f"{len(letters)} notices were delivered. " + (
            f"Next at {written_instant(last.due_at)}." if last.due_at else "Nothing more follows by itself."
        )

    def _color(self, name: str, text: str) -> str:
        return f"{self.paint[name]}{text}{self.paint['plain']}" if text else ""


def as_json(story: Story) -> str:
    """Return the story as one JSON document; instants are in UTC."""
    return json.dumps(
        {
            "start": written_instant(story.timeline.start),
            "zone": story.timeline.zone,
            "endsAt": written_instant(story.ends_at),
            "moments": [_moment(row) for row in story.rows],
        },
        indent=2,
        ensure_ascii=False,
    )


def _moment(row: Row) -> dict[str, object]:
    return {
        "at": written_instant(row.at),
        "offset": write_offset(row.offset),
        "happened": list(row.happened),
        "refused": row.refused,
        "steps": [
            {
                "kind": change.kind.value, "machine": change.machine, "because": change.because, "place": change.place,
                "from": change.from_, "to": change.to, "asked": list(change.asked),
            }
            for change in row.changes
        ],
        "notices": [
            {
                "intent": letter.intent, "round": letter.round, "outcome": letter.outcome, "subject": letter.subject,
                "text": letter.text, "promises": letter.rule,
                "promiseAt": written_instant(letter.promise_at) if letter.promise_at else None,
                "problem": letter.problem,
            }
            for letter in row.letters
        ],
        "servers": list(row.moves),
        "blocked": dict(row.blocked),
        "allowedAgain": list(row.freed),
        "states": dict(row.states),
        "serverState": row.server,
        "promised": {rule: written_instant(at) for rule, at in row.promised.items()},
        "waiting": list(row.waiting),
        "dueAt": written_instant(row.due_at) if row.due_at else None,
    }  # fmt: skip
