"""What a command line says about one account, as a timeline.

Times are `+72h`, `+3d12h` from the start, or instants such as `2026-03-01T08:00Z`; the earliest instant is the start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.durations import LONGEST
from engine.faults import meant
from engine.model import FactType, Policy, Value
from engine.snapshot import Command, Hold
from engine.timeline.items import START, Item, Timeline, good_standing
from engine.timeline.text import ANSWERS, INSTANT, parse_instant, parse_offset


class NotUnderstood(Exception):
    """A word of the command line has no meaning; the message says which and what would have."""


@dataclass(frozen=True, slots=True)
class Said:
    """The options as they were typed, each as often as it was given."""

    fail: Sequence[str] = ()
    pay: Sequence[str] = ()
    cancel: Sequence[str] = ()
    renew: Sequence[str] = ()
    hold: Sequence[str] = ()
    exempt: Sequence[str] = ()
    event: Sequence[str] = ()
    set: Sequence[str] = ()
    permit: Sequence[str] = ()
    notices: Sequence[str] = ()
    server: Sequence[str] = ()
    start: str | None = None
    zone: str = "UTC"
    servers: Sequence[str] = ("s1",)


def timeline_of(policy: Policy, said: Said) -> Timeline:
    """Return the timeline that the options describe. Raises NotUnderstood."""
    reader = _Reader(policy, said)
    items = sorted(reader.items(), key=lambda item: item.at)
    if not items:
        raise NotUnderstood("nothing happens: say what, for example `--fail +0h`, or name a file with `--timeline`")
    return Timeline(reader.start, said.zone, tuple(_counted(items, reader.start)), tuple(said.servers))


class _Reader:
    def __init__(self, policy: Policy, said: Said) -> None:
        self.policy = policy
        self.said = said
        self.start = self._start()

    def _start(self) -> datetime:
        if self.said.start is not None:
            return self._absolute(self.said.start)
        words = [*self.said.fail, *self.said.pay, *self.said.cancel, *self.said.renew]
        words += [part for each in self.said.hold for part in each.partition(":")[2].split("..")]
        words += [part for each in self.said.exempt for part in each.split("..")]
        pairs = [*self.said.event, *self.said.set, *self.said.permit, *self.said.notices, *self.said.server]
        words += [each.rpartition("@")[2] for each in pairs]
        return min((self._absolute(word) for word in words if INSTANT.fullmatch(word)), default=START)

    def _absolute(self, text: str) -> datetime:
        found = parse_instant(text, START) if INSTANT.fullmatch(text) else None
        if found is None:
            raise NotUnderstood(f"`{text}` is no instant; write it as `2026-03-01T08:00Z`")
        return found

    def offset(self, text: str) -> timedelta:
        """Return the time since the start."""
        offset = parse_offset(text.removeprefix("+"))
        if offset is None and INSTANT.fullmatch(text):
            offset = self._absolute(text) - self.start
        if offset is None:
            raise NotUnderstood(f"`{text}` is no time; write `+72h`, `+3d12h` or `2026-03-01T08:00Z`")
        if not timedelta(0) <= offset <= LONGEST:
            raise NotUnderstood(f"`{text}` lies before the start, or more than ten years after it")
        return offset

    def items(self) -> Iterable[Item]:
        """Yield an item for each option, in no order; `_counted` adds up invoices afterwards."""
        said = self.said
        yield from (Item(self.offset(text), set={"overdue_invoices": 1}) for text in said.fail)
        yield from (Item(self.offset(text), set={"overdue_invoices": 0, "past_due_since": None}) for text in said.pay)
        for text in said.cancel:
            at = self.offset(text)
            ended: dict[str, Value] = {"subscription": "canceled", "subscription_ended_at": self.start + at}
            yield Item(at, set={**ended, "has_active_plan": False})
        for text in said.renew:
            renewed: dict[str, Value] = {"subscription": "active", "subscription_ended_at": None}
            yield Item(self.offset(text), set={**renewed, "has_active_plan": True})
        for text in said.hold:
            yield from self._hold(text)
        for text in said.exempt:
            begin, _, end = text.partition("..")
            self._in_order(text, begin, end)
            yield Item(self.offset(begin), set={"exempt": True})
            if end:
                yield Item(self.offset(end), set={"exempt": False})
        yield from map(self._event, said.event)
        yield from map(self._set, said.set)
        yield from map(self._permit, said.permit)
        for text in said.notices:
            post, at = self._at(text, "notices", ("auto", "failed", "unknown", "delayed"))
            yield Item(at, post=post)  # type: ignore[arg-type]
        events = sorted({r.event for m in self.policy.machines.values() for r in m.moves if r.event is not None})
        for text in said.server:
            event, at = self._at(text, "server event", events)
            yield Item(at, servers=dict.fromkeys(said.servers, event))

    def _hold(self, text: str) -> Iterable[Item]:
        kind, colon, span = text.partition(":")
        kinds = sorted({kind for permit in self.policy.permits.values() for kind in permit.holds})
        self._one_of("hold", kind, kinds)
        begin, dots, end = span.partition("..")
        if not colon or not dots:
            raise NotUnderstood(f"`{text}` is no hold; write `{kind}:+100h..+200h`, or `{kind}:+100h..` without an end")
        self._in_order(text, begin, end)
        until = self.start + self.offset(end) if end else None
        yield Item(self.offset(begin), holds={kind: Hold(kind, until)})

    def _in_order(self, text: str, begin: str, end: str) -> None:
        if end and self.offset(end) <= self.offset(begin):
            raise NotUnderstood(f"`{text}` ends before it begins")

    def _event(self, text: str) -> Item:
        rules = [rule for m in self.policy.account_machines for rule in m.rules if rule.event is not None]
        event, at = self._at(text, "event", sorted({str(rule.event) for rule in rules}))
        role = next((rule.by for rule in rules if rule.event == event and rule.by is not None), "customer")
        return Item(at, command=Command(event, role, role))

    def _set(self, text: str) -> Item:
        pair, _, when = text.rpartition("@")
        name, equals, word = pair.partition("=")
        if not when or not equals:
            raise NotUnderstood(f"`{text}` is no change; write `fact=value@+72h`")
        at = self.offset(when)
        self._one_of("evidence", name, good_standing(self.policy))
        fact = self.policy.facts[name]
        value: Value = {"true": True, "false": False, "none": None, "null": None}.get(word, word)
        if fact.values and word in fact.values:
            value = word
        elif fact.type is FactType.INT and re.fullmatch(r"\d{1,6}", word):
            value = int(word)
        elif fact.type is FactType.INSTANT and value is not None:
            value = parse_instant(word.removeprefix("+"), self.start, self.start + at)
        fits = {
            FactType.BOOL: isinstance(value, bool),
            FactType.INT: isinstance(value, int),
            FactType.INSTANT: value is not None or word in {"none", "null"},
        }
        if not fits.get(fact.type, value in fact.values):
            raise NotUnderstood(f"`{name}` is never `{word}`" + (f": {', '.join(fact.values)}" if fact.values else ""))
        return Item(at, set={name: value})

    def _permit(self, text: str) -> Item:
        pair, at = self._at(text, "permit", None)
        name, _, answer = pair.partition("=")
        self._one_of("permit", name, self.policy.permits)
        self._one_of("answer", answer, ANSWERS)
        return Item(at, permits={name: ANSWERS[answer]})

    def _at(self, text: str, what: str, known: Iterable[str] | None) -> tuple[str, timedelta]:
        word, sign, when = text.rpartition("@")
        if not sign:
            raise NotUnderstood(f"`{text}` does not say when; write `{text}@+72h`")
        if known is not None:
            self._one_of(what, word, known)
        return word, self.offset(when)

    def _one_of(self, what: str, word: str, known: Iterable[str]) -> None:
        listed = list(known)
        if word not in listed:
            raise NotUnderstood(f"the policy has no {what} `{word}`; {meant(word, listed) or ', '.join(listed)}")


def _counted(items: Sequence[Item], start: datetime) -> Iterable[Item]:
    """Yield the items with invoices added up: a second failure is a second invoice, and the oldest date counts."""
    invoices = 0
    for item in items:
        count = item.set.get("overdue_invoices")
        if count == 0:
            invoices = 0
            yield item
        elif count == 1 and len(item.set) == 1 and item.set.keys() == {"overdue_invoices"}:
            invoices += 1
            changes: dict[str, Value] = {"overdue_invoices": invoices}
            yield replace(item, set=changes | ({"past_due_since": start + item.at} if invoices == 1 else {}))
        else:
            yield item
