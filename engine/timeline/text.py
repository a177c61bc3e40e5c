"""Timelines as text: read with the place of every value, written so that the same timeline is read again.

An instant is written as `now`, `now - 5d`, an offset from the start such as `3d12h`, or as itself, in ISO 8601.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import cast

from engine.calendar import zone_of
from engine.durations import LONGEST, UNITS, YEARS
from engine.faults import Faults, meant, shown
from engine.model import Fact, FactType, Origin, Policy, Value
from engine.snapshot import Command, Hold
from engine.source import Node
from engine.timeline.invoices import InvoiceWord
from engine.timeline.items import START, Item, Post, Sending, Timeline

OFFSET = re.compile(r"(?:(?:0|[1-9][0-9]{0,5})[smhd])+")
RELATIVE = re.compile(r"now(?: *([+-]) *(\S+))?")
INSTANT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)")
ANSWERS: Mapping[str, bool | None] = {"yes": True, "no": False, "unknown": None}
NOTHING = "none"


def parse_offset(text: str) -> timedelta | None:
    """Return the time that `3d12h` writes; None when it writes none, or too much."""
    if not OFFSET.fullmatch(text):
        return None
    parts = re.findall(r"([0-9]+)([smhd])", text)
    total = timedelta()
    for count, unit in parts:
        total += timedelta(**{UNITS[unit]: int(count)})
        if total > LONGEST:
            return None
    return total


def write_offset(offset: timedelta) -> str:
    """Return the offset as people read it: days, hours, minutes and seconds, as far as there are any."""
    seconds = round(offset.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return sign + ("".join(parts) or "0h")


def parse_instant(text: str, start: datetime, now: datetime | None = None) -> datetime | None:
    """Return the instant that the text writes, in UTC; None when it writes none."""
    try:
        if (offset := parse_offset(text)) is not None:
            return start + offset
        if now is not None and (relative := RELATIVE.fullmatch(text)):
            if relative[1] is None:
                return now
            offset = parse_offset(relative[2])
            return None if offset is None else now + offset if relative[1] == "+" else now - offset
        if INSTANT.fullmatch(text):
            found = datetime.fromisoformat(text).astimezone(UTC)
            return found if found.year in YEARS else None
    except (ValueError, OverflowError):
        return None
    return None


class TimelineReader:
    """Reads what happens on a timeline, and notes every name and value that the policy does not have."""

    def __init__(self, policy: Policy, faults: Faults) -> None:
        self.policy = policy
        self.faults = faults
        self.start = START
        self.servers: tuple[str, ...] = ("s1",)
        self.invoices: set[str] = set()
        self.account_facts = {
            name: fact
            for name, fact in policy.facts.items()
            if not any(name in machine.facts for machine in policy.machines.values() if machine.of != "account")
        }
        self.evidence = {
            name: fact
            for name, fact in self.account_facts.items()
            if fact.origin in {Origin.STANDING, Origin.ADMIN, Origin.SETTINGS}
        }

    def read(self, root: Node) -> Timeline:
        """Return the timeline of a file whose shape has been checked."""
        if (start := root.get("start")) is not None:
            found = parse_instant(start.text, START) if INSTANT.fullmatch(start.text) else None
            if found is None:
                self.fault("M401", start, f"`{shown(start.text)}` is no instant", "write it as `2026-03-01T08:00Z`")
            self.start = found or START
        zone = root.get("zone")
        if zone is not None and zone_of(zone.text) is None:
            self.fault("M401", zone, f"there is no time zone `{shown(zone.text)}`", "write it as `Europe/Zurich`")
        begins = {}
        if (servers := root.get("servers")) is not None:
            self.servers = tuple(servers.entries) or tuple(each.text for each in servers.items)
            begins = self._lifecycles(servers)
        given = self.values(root.get("given"), self.evidence, self.start)
        items = tuple(self._items(root.get("timeline")))
        return Timeline(self.start, zone.text if zone is not None else "UTC", items, self.servers, begins, given)

    def _lifecycles(self, node: Node) -> dict[str, str]:
        states = [state for m in self.policy.machines.values() if m.of == "server" for state in m.ladder]
        known = [
            (name, value) for name, _, value in node.pairs() if self.known("M304", value, "server's state", states)
        ]
        return {name: value.text for name, value in known if value.text != "running"}

    def fault(self, code: str, node: Node, message: str, hint: str = "") -> None:
        """Note a fault at a value."""
        self.faults.add(code, node.place, message, hint, end_column=node.end_column)

    def when(self, node: Node, now: datetime | None = None) -> datetime | None:
        """Return the instant of a value; note a fault when it is none."""
        found = parse_instant(node.text, self.start, now)
        if found is None:
            hint = "write an offset such as `3d12h`, or an instant such as `2026-03-01T08:00Z`"
            self.fault("M401", node, f"`{shown(node.text)}` is no time", hint)
        return found

    def known(self, code: str, node: Node, sort: str, names: Iterable[str], name: str | None = None) -> bool:
        """Tell whether a name is one of the policy's; note a fault when it is not."""
        wanted = name if name is not None else node.text
        listed = list(names)
        if wanted in listed:
            return True
        self.fault(code, node, f"the policy has no {sort} `{shown(wanted)}`", meant(wanted, listed))
        return False

    def values(self, node: Node | None, facts: Mapping[str, Fact], now: datetime) -> dict[str, Value]:
        """Return facts and their values."""
        found: dict[str, Value] = {}
        for name, key, value in node.pairs() if node is not None else ():
            if name in self.account_facts and name not in facts:
                fact = self.account_facts[name]
                self.fault("M402", key, f"`{name}` is written by the engine, from {fact.origin.value}", "set evidence")
            elif self.known("M301", key, "fact", facts):
                found[name] = self._value(facts[name], value, now)
        return found

    def _value(self, fact: Fact, node: Node, now: datetime) -> Value:
        if node.value is None or (node.text == NOTHING and NOTHING not in fact.values):
            return None
        if fact.type is FactType.INSTANT:
            return self.when(node, now)
        value = node.value
        fits = {
            FactType.BOOL: isinstance(value, bool),
            FactType.INT: isinstance(value, int) and not isinstance(value, bool) and value >= (fact.minimum or 0),
        }.get(fact.type, value in fact.values)
        if not fits:
            self.fault("M332", node, f"`{fact.name}` is never `{shown(node.text)}`", meant(node.text, fact.values))
        return value

    def _items(self, timeline: Node | None) -> Iterator[Item]:
        last = timedelta()
        for node in timeline.items if timeline is not None else ():
            at = node.get("at")
            if at is None or node.kind != "map":
                continue
            now = self.when(at) or self.start + last
            if now - self.start < last:
                self.fault("M403", at, "this happens before the item above it", "put items in order of time")
                now = self.start + last
            last = now - self.start
            yield self._item(node, now)

    def _item(self, node: Node, now: datetime) -> Item:
        post, host = node.get("notices"), node.get("host")
        return Item(
            now - self.start,
            self.values(node.get("set"), self.evidence, now),
            self._command(node),
            self._holds(node.get("hold"), now),
            self._permits(node.get("permit")),
            cast("Post", post.text) if post is not None else None,
            self._sends(node.get("notice")),
            self.by_server(node.get("server"), self._check_event),
            self.by_server(node.get("observe"), self._check_observed),
            host.text == "obeys" if host is not None else None,
            node.place,
            self._invoices(node.get("invoice")),
            by.text if (by := node.get("by")) is not None and node.get("event") is None else None,
        )

    def _command(self, node: Node) -> Command | None:
        event = node.get("event")
        if event is None:
            return None
        rules = [rule for m in self.policy.account_machines for rule in m.rules if rule.event is not None]
        self.known("M312", event, "event", {str(rule.event) for rule in rules})
        role, who = node.get("by"), node.get("who")
        by = next((rule.by for rule in rules if rule.event == event.text and rule.by is not None), "customer")
        name = role.text if role is not None else by
        return Command(event.text, name, who.text if who is not None else name)

    def _holds(self, node: Node | None, now: datetime) -> dict[str, Hold | None]:
        kinds = {kind for permit in self.policy.permits.values() for kind in permit.holds}
        found: dict[str, Hold | None] = {}
        for kind, key, value in node.pairs() if node is not None else ():
            self.known("M306", key, "hold", kinds)
            if value.text in {"open", "ended"}:
                found[kind] = Hold(kind, None) if value.text == "open" else None
                continue
            until = parse_instant(value.text.removeprefix("until").strip(), self.start, now)
            if until is None:
                self.fault("M401", value, f"`{shown(value.text)}` is no time", "write `until 200h`")
            found[kind] = Hold(kind, until)
        return found

    def _permits(self, node: Node | None) -> dict[str, bool | None]:
        found: dict[str, bool | None] = {}
        for name, key, value in node.pairs() if node is not None else ():
            if self.known("M306", key, "permit", self.policy.permits):
                found[name] = ANSWERS[value.text]
        return found

    def _sends(self, node: Node | None) -> dict[str, Sending]:
        notices = [name for name, intent in self.policy.intents.items() if intent.kind.value == "notice"]
        entries = node.pairs() if node is not None else ()
        return {
            name: cast("Sending", value.text)
            for name, key, value in entries
            if self.known("M305", key, "notice", notices)
        }

    def _invoices(self, node: Node | None) -> dict[str, InvoiceWord]:
        """Return what becomes of each invoice; the first word on one is that it is issued."""
        found: dict[str, InvoiceWord] = {}
        for name, key, value in node.pairs() if node is not None else ():
            if not any(machine.of == "invoice" for machine in self.policy.machines.values()):
                self.fault("M404", key, "the policy has no machine of invoices", "add one `of: invoice`")
            elif value.text == "issued":
                self.invoices.add(name)
            elif name not in self.invoices:
                self.fault("M404", key, f"invoice `{shown(name)}` was not issued before", "write `issued` first")
            found[name] = cast("InvoiceWord", value.text)
        return found

    def _check_event(self, node: Node) -> None:
        machines = self.policy.machines.values()
        moves = [rule for m in machines if m.of == "server" or m.each_server for rule in m.rules]
        self.known("M312", node, "event of a server", sorted({rule.event for rule in moves if rule.event is not None}))

    def _check_observed(self, node: Node) -> None:
        fact = self.policy.facts.get("observed")
        self.known("M330", node, "observation", fact.values if fact is not None else ("running", "stopped", "unknown"))

    def by_server(self, node: Node | None, check: Callable[[Node], object] | None = None) -> dict[str, str]:
        """Return a word for each server: one for all, or one each."""
        if node is None:
            return {}
        if node.kind == "scalar":
            if check is not None:
                check(node)
            return dict.fromkeys(self.servers, node.text)
        found = {}
        for name, key, value in node.pairs():
            if self.known("M404", key, "server in this timeline", self.servers):
                if check is not None:
                    check(value)
                found[name] = value.text
        return found


def write_timeline(timeline: Timeline, title: str = "") -> str:
    """Return the timeline as YAML that `TimelineReader` reads. Where it began from a snapshot is not written."""
    start = timeline.start
    lines = [f"scenario: {_quoted(title)}"] if title else []
    lines += [f"start: {written_instant(start)}", f"zone: {timeline.zone}"]
    if timeline.servers != ("s1",) or timeline.begins:
        lines.append(f"servers: [{', '.join(timeline.servers)}]")
    if timeline.begins:
        lines[-1] = f"servers: {_map({name: timeline.begins.get(name, 'running') for name in timeline.servers})}"
    if timeline.given:
        lines.append(f"given: {_map({name: _value(value, start) for name, value in timeline.given.items()})}")
    lines.append("timeline:")
    for item in timeline.items:
        parts = [f"at: {write_offset(item.at)}"] + [f"{key}: {value}" for key, value in _parts(item, start)]
        lines.append(f"  - {{{', '.join(parts)}}}")
    return "\n".join(lines) + "\n"


def written_instant(at: datetime) -> str:
    """Return the instant in UTC, without seconds where there are none."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%MZ" if at.second == 0 else "%Y-%m-%dT%H:%M:%SZ")


def _parts(item: Item, start: datetime) -> Iterator[tuple[str, str]]:
    now = start + item.at
    if item.set:
        yield "set", _map({name: _value(value, start, now) for name, value in item.set.items()})
    if item.holds:
        ends = {kind: "ended" if hold is None else "open" for kind, hold in item.holds.items()}
        for kind, hold in item.holds.items():
            if hold is not None and hold.until is not None:
                ends[kind] = f"until {_value(hold.until, start)}"
        yield "hold", _map(ends)
    if item.command is not None:
        yield "event", item.command.event
        yield "by", item.command.role
        if item.command.actor != item.command.role:
            yield "who", item.command.actor
    if item.permits:
        words = {answer: word for word, answer in ANSWERS.items()}
        yield "permit", _map({name: words[answer] for name, answer in item.permits.items()})
    if item.post is not None:
        yield "notices", item.post
    for key, each in (
        ("notice", item.send),
        ("server", item.servers),
        ("observe", item.observe),
        ("invoice", item.invoices),
    ):
        if each:
            yield key, _map(each)
    if item.by is not None and item.command is None:
        yield "by", item.by
    if item.obeys is not None:
        yield "host", "obeys" if item.obeys else "silent"


def _map(entries: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{name}: {value}" for name, value in entries.items()) + "}"


def _value(value: Value, start: datetime, now: datetime | None = None) -> str:
    if isinstance(value, datetime):
        if value == now:
            return "now"
        if now is not None and value < now:
            return f"now - {write_offset(now - value)}"
        return write_offset(value - start) if value >= start else written_instant(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
