"""An explanation as text for people, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum

from engine.explain import Answer, Candidate, Compared, Explanation, Standing
from engine.model import Value
from engine.timeline.text import write_offset, written_instant

_CODES = {
    "red": "\x1b[31m",
    "green": "\x1b[32m",
    "yellow": "\x1b[33m",
    "bold": "\x1b[1m",
    "dim": "\x1b[2m",
    "plain": "\x1b[0m",
}
_VERDICTS = {
    "now": ("green", "acts now"), "later": ("yellow", "not yet"), "withheld": ("yellow", "due, and not permitted"),
    "not so": ("dim", "its condition does not hold"), "on event": ("yellow", "waits for a command"),
}  # fmt: skip


class Saying:
    """Writes an explanation."""

    def __init__(self, *, color: bool) -> None:
        self.paint: Mapping[str, str] = _CODES if color else dict.fromkeys(_CODES, "")

    def write(self, explained: Explanation) -> str:
        """Return the whole explanation."""
        snapshot, server = explained.snapshot, explained.server
        lines = [self._c("bold", f"Account {snapshot.account_id} at {written_instant(explained.now)}")]
        code = f", {server.code}" if server.code else ""
        lines.append(f"servers are {self._c('bold', server.state)}, by {server.machine or 'no machine'}{code}")
        for each in explained.alone:
            rungs = ", ".join(f"{machine}.{state}" for machine, state in each.states.items())
            by = f"by {each.server.machine}" + (f", {each.server.code}" if each.server.code else "")
            state = self._c("bold", each.server.state)
            lines.append(f"server {each.server_id} is on {rungs}, a rung of its own: {state}, {by}")
        ends = [
            (hold.kind, written_instant(hold.until) if hold.until else "somebody ends it") for hold in snapshot.holds
        ]
        lines += [f"held: {kind}, until {end}" for kind, end in ends]
        for standing in explained.standings:
            lines += ["", *self._standing(standing, explained.now)]
        if explained.answers:
            lines += ["", self._c("bold", "Actions")]
            lines += [line for answer in explained.answers for line in self._answer(answer)]
        lines += ["", self._c("bold", "What follows if nothing changes"), *self._ahead(explained)]
        lines += ["", self._c("bold", "What would move it at once")]
        lines += [f"  {change}" for change in explained.changes] or ["  nothing that a single change could"]
        return "\n".join(line.rstrip() for line in lines)

    def _standing(self, standing: Standing, now: datetime) -> Iterable[str]:
        yield f"{self._c('bold', standing.machine)} is {self._c('bold', standing.state)}, episode {standing.episode}"
        if standing.by:
            yield "  comes there by " + ", ".join(f"{rule} ({place})" for rule, place in standing.by)
        for candidate in standing.candidates:
            yield from self._candidate(candidate, now)

    def _candidate(self, each: Candidate, now: datetime) -> Iterable[str]:
        color, words = _VERDICTS[each.verdict]
        when = f": {self._when(each.at, now)}" if each.at is not None and each.verdict in {"later", "on event"} else ""
        event = f" on {each.event}" + (f" by {each.by}" if each.by else "") if each.event else ""
        head = f"  {each.kind.value} {each.rule} → {each.leads_to}{event}"
        yield f"{head}  {self._c(color, words + when)}  {self._c('dim', each.place)}"
        if each.compared:
            yield from self._compared(each.compared, "      ")
        for waited in each.waited:
            at = self._when(waited.at, now) if waited.at is not None else "has not happened"
            yield f"      {self._mark(waited.ok)} {waited.what}: {at}  {self._c('dim', waited.place)}"
        for permit, until in each.withheld:
            end = f"until {self._when(until, now)}" if until is not None else "until it changes"
            yield f"      {self._mark(False)} {permit} does not permit it, {end}"

    def _compared(self, compared: Iterable[Compared], indent: str) -> Iterable[str]:
        for each in compared:
            inner = indent + "  " * each.depth
            place = self._c("dim", each.place)
            if each.fact is None:
                yield f"{inner}{self._mark(each.ok)} {each.needed}  {place}"
            else:
                yield f"{inner}{self._mark(each.ok)} {each.fact} is {_value(each.value)}, needs {each.needed}  {place}"

    def _answer(self, answer: Answer) -> Iterable[str]:
        said = self._c("green", "allowed") if answer.verdict.allow else self._c("red", f"denied, {answer.verdict.code}")
        yield f"  {answer.action} by {answer.actor}: {said}"
        if not answer.cells and not answer.verdict.allow:
            yield f"      {answer.verdict.reason}"
        for cell in answer.cells:
            code = f", {cell.code}" if cell.code else ""
            yield f"      {self._mark(cell.allow)} {cell.what}{code}  {self._c('dim', cell.place)}"
            yield from self._compared(cell.compared, "          ")
        yield from (f"      → {flip}" for flip in answer.flips)

    def _ahead(self, explained: Explanation) -> Iterable[str]:
        for each in explained.ahead:
            rules = ", ".join(each.rules) or "notices"
            notices = f"; told: {', '.join(each.notices)}" if each.notices else ""
            yield f"  {self._when(each.at, explained.now)}  {rules}{notices}"
        if not explained.ahead:
            yield "  nothing"

    def _when(self, at: datetime, now: datetime) -> str:
        distance = (
            "now" if at == now else f"in {write_offset(at - now)}" if at > now else f"{write_offset(now - at)} ago"
        )
        return f"{written_instant(at)} ({distance})"

    def _mark(self, ok: bool) -> str:
        return self._c("green", "✓") if ok else self._c("red", "✗")

    def _c(self, name: str, text: str) -> str:
        return f"{self.paint[name]}{text}{self.paint['plain']}"


def _value(value: Value) -> str:
    if isinstance(value, datetime):
        return written_instant(value)
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def as_json(explained: Explanation) -> str:
    """Return the explanation as one JSON document, without the snapshot's own details."""
    told = {
        "account": explained.snapshot.account_id,
        "at": written_instant(explained.now),
        "servers": _plain(explained.server),
        "alone": _plain(explained.alone),
        "machines": _plain(explained.standings),
        "actions": _plain(explained.answers),
        "ahead": _plain(explained.ahead),
        "dueAt": _plain(explained.due_at),
        "wouldMove": list(explained.changes),
    }
    return json.dumps(told, indent=2, ensure_ascii=False)


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {_camel(each.name): _plain(getattr(value, each.name)) for each in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return written_instant(value)
    return value.value if isinstance(value, Enum) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
