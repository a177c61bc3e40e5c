"""Reads guarantees.yaml: what the policy promises about itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar, get_args

from engine.builders.draft import Draft, MachineDraft, each, entries, text_of
from engine.builders.guards import GuardReader
from engine.durations import parse_duration
from engine.faults import listed, shown
from engine.guarantees import (
    ANY_NOTICE,
    KINDS_OF_INTENT,
    AtMostOnce,
    Before,
    Exactly,
    Guarantee,
    Happening,
    HappeningKind,
    LeadsTo,
    Never,
    OneRung,
    Reaches,
    Slots,
    Stopped,
)
from engine.model import FactType, Guard, IntentKind
from engine.register import HAS, Entry, read_entry
from engine.source import Node

Part = TypeVar("Part")
HAPPENINGS: tuple[HappeningKind, ...] = get_args(HappeningKind)


class GuaranteeReader:
    """Turns the entries of guarantees.yaml into their typed forms."""

    def __init__(self, draft: Draft, guards: GuardReader) -> None:
        self.draft = draft
        self.guards = guards

    def read(self) -> tuple[Guarantee, ...]:
        """Return the guarantees as far as they could be read, in the order of the file."""
        found = [
            self._guarantee(name, key, node)
            for name, key, node in entries(self.draft.tree("guarantees"))
            if not node.hurt
        ]
        return tuple(guarantee for guarantee in found if guarantee is not None)

    def _guarantee(self, name: str, key: Node, node: Node) -> Guarantee | None:
        says = " ".join((text_of(node, "says") or "").split())
        if "while_servers" in node.entries:
            servers = tuple(item.text for item in each(node.get("while_servers")))
            denies = tuple(item.text for item in each(node.get("denies")) if self.draft.known("action", item))
            unwanted = tuple(item.text for item in each(node.get("unwanted")) if self.draft.known("intent", item))
            running = node.entries["running"][1]
            self.draft.known("intent", running)
            return Stopped(name, says, key.place, servers, denies, unwanted, running.text)
        if "climbs_one_rung" in node.entries:
            listed_machines = each(node.get("climbs_one_rung"))
            return OneRung(
                name, says, key.place, tuple(m.text for m in listed_machines if self.draft.known("machine", m))
            )
        if "at_most_once" in node.entries:
            return AtMostOnce(name, says, key.place, self._notices(node.entries["at_most_once"][1]))
        if "lets" in node.entries:
            return self._slots(name, says, key, node)
        if "exactly" in node.entries:
            return Exactly(name, says, key.place, _sorted(_properties(node.entries["exactly"][1])))
        if "leads_to" in node.entries:
            return self._leads_to(name, says, key, node)
        if "reaches" in node.entries:
            to, when = self.draft.rung(node.entries["reaches"][1]), self._guard(node.get("when"))
            return Reaches(name, says, key.place, when, to) if to is not None and when is not None else None
        return self._never(name, says, key, node)

    def _notices(self, node: Node) -> tuple[str, ...]:
        if node.kind == "scalar" and node.text == ANY_NOTICE:
            notices = (i for i in self.draft.intents.values() if i is not None and i.kind is IntentKind.NOTICE)
            return tuple(sorted(i.name for i in notices))
        return tuple(item.text for item in each(node) if self.draft.intent(item, kind=IntentKind.NOTICE) is not None)

    def _slots(self, name: str, says: str, key: Node, node: Node) -> Slots:
        brake, per = node.entries["brake"][1], parse_duration(text_of(node, "per") or "")
        lets = tuple(sorted((int(many), int(value.text)) for many, _, value in entries(node.get("lets"))))
        return Slots(name, says, key.place, brake.text, int(per.total_seconds()) if per is not None else 0, lets)

    def _leads_to(self, name: str, says: str, key: Node, node: Node) -> LeadsTo | None:
        to = self.draft.rung(node.entries["leads_to"][1])
        when = self._guard(node.get("when"))
        never = [self._happening(item) for item in each(node.get("never"))]
        if to is None or when is None:
            return None
        return LeadsTo(name, says, key.place, when, to, tuple(each_ for each_ in never if each_ is not None))

    def _never(self, name: str, says: str, key: Node, node: Node) -> Never | None:
        happening = self._happening(node.entries["never"][1])
        if happening is None:
            return None
        machine = happening.name.partition(".")[0] if happening.kind in {"enter", "rule", "climb"} else None
        without = [self._before(item, machine) for item in each(node.get("without"))]
        stamps = each(node.get("elapsed"))
        return Never(
            name=name,
            says=says,
            place=key.place,
            happening=happening,
            while_=self._guard(node.get("while")),
            without=tuple(before for before in without if before is not None),
            elapsed=tuple(stamp.text for stamp in stamps if self._is_instant(stamp)),
            given=self._guard(node.get("given")),
        )

    def _before(self, node: Node, machine: str | None) -> Before | None:
        happening = self._happening(node, also=("at_least", "other_than"))
        if happening is None:
            return None
        span, other = node.get("at_least"), node.get("other_than")
        seconds = 0
        if span is not None:
            owner = self._owner(span, machine)
            found = self.draft.span(owner, span) if owner is not None else None
            seconds = int(found[0].total_seconds()) if found is not None else 0
        first = other.value if other is not None and isinstance(other.value, int) else None
        return Before(happening, seconds, first)

    def _is_instant(self, stamp: Node) -> bool:
        fact = self.draft.facts.get(stamp.text) if self.draft.known("fact", stamp) else None
        if fact is not None and fact.type is not FactType.INSTANT:
            self.draft.fault("M333", stamp, f"`{stamp.text}` is no instant", "name a fact of type instant")
        return fact is not None and fact.type is FactType.INSTANT

    def _owner(self, span: Node, machine: str | None) -> MachineDraft | None:
        owner = self.draft.machines.get(machine or "billing")
        if owner is None:
            self.draft.known("machine", span, machine or "billing")
        return owner

    def _guard(self, node: Node | None) -> Guard | None:
        return self.guards.read(node, None) if node is not None else None

    def _happening(self, node: Node, also: tuple[str, ...] = ()) -> Happening | None:
        """Return `{kind: name}` once its name is known to be one."""
        keys = [name for name in node.entries if name not in also] if node.kind == "map" else []
        kind = next((each_ for each_ in HAPPENINGS if keys == [each_]), None)
        if kind is None:
            self.draft.fault("M395", node, "expected one happening", f"write one of {listed(HAPPENINGS)} and a name")
            return None
        value = node.entries[kind][1]
        return Happening(kind, value.text, value.place) if self._is_known(kind, value) else None

    def _is_known(self, kind: HappeningKind, node: Node) -> bool:
        if kind == "do":
            return node.text in KINDS_OF_INTENT or self.draft.known("intent", node)
        if kind == "delivered":
            return self.draft.intent(node, kind=IntentKind.NOTICE, whose=", which is not delivered") is not None
        if kind == "enter":
            if "." not in node.text:
                self.draft.fault("M395", node, f"`{shown(node.text)}` has no machine", "write `machine.rung`")
                return False
            return self.draft.rung(node) is not None
        return self.draft.known("machine" if kind == "climb" else kind, node)


def _sorted(pairs: Iterable[tuple[str, Part]]) -> tuple[tuple[str, Part], ...]:
    """Return the entries of a map by their names: the order in which it is written says nothing."""
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _properties(node: Node) -> Iterator[tuple[str, tuple[tuple[str, Entry], ...]]]:
    """Yield each property with its names: a list, or a map where it has values."""
    for name, _, value in entries(node):
        if value.kind == "map":
            yield name, _sorted((key, read_entry(entry.text)) for key, _, entry in entries(value))
        else:
            yield name, _sorted((item.text, HAS) for item in each(value))
