"""Predicates and guards: what must hold, and whether it can be asked of the facts that it names."""

from __future__ import annotations

from engine.builders.draft import Draft, MachineDraft, entries
from engine.builders.facts import value_fits
from engine.faults import listed, meant, shown
from engine.guards import facts_of
from engine.model import All, Any, Atom, FactType, Guard, Named, Not, Op, Origin, Runner, Value
from engine.source import Node

MOST_COMPARISONS = 500  # written out, in one predicate: a few short lines could otherwise stand for millions
MOST_NESTED = 32

_OPS: dict[FactType, tuple[str, ...]] = {
    FactType.BOOL: ("eq", "ne", "is_null"),
    FactType.INT: ("eq", "ne", "lt", "lte", "gt", "gte", "in", "between", "is_null"),
    FactType.INSTANT: ("is_null",),
    FactType.ENUM: ("eq", "ne", "in", "is_null"),
    FactType.STATE: ("eq", "ne", "in", "is_null"),
}


def build_predicates(draft: Draft) -> None:
    """Read every `predicates:` section; each may use others, in any order."""
    waiting: dict[str, tuple[MachineDraft | None, Node]] = {}
    standing = draft.section("standing", "predicates")
    names = draft.names["predicate"]
    for owner, section in [(None, standing), *((m, m.root.get("predicates")) for m in draft.machines.values())]:
        for name, key, node in entries(section):
            full = name if owner is None else f"{owner.name}.{name}"
            if owner is not None and name in (
                standing.entries if standing is not None and standing.kind == "map" else {}
            ):
                draft.fault("M321", key, f"predicate `{name}` means something else in standing.yaml", "rename one")
            if name in draft.facts:
                draft.fault("M321", key, f"`{name}` is a fact already", "rename the predicate: one name, one meaning")
            if names.declare(full, key, draft.faults):
                waiting[full] = (owner, node)
    reader = GuardReader(draft, waiting)
    for full in waiting:
        reader.predicate(full)


class GuardReader:
    """Turns the guards of a policy into their typed form."""

    def __init__(self, draft: Draft, waiting: dict[str, tuple[MachineDraft | None, Node]] | None = None) -> None:
        self.draft = draft
        self.waiting = waiting or {}
        self.open: list[str] = []
        self.sizes: dict[int, tuple[int, int]] = {}  # by a predicate's guard: its comparisons and depth, written out

    def predicate(self, full: str) -> Guard | None:
        """Return what a declared predicate stands for, reading it if it was not yet; None when it has a fault."""
        if full not in self.draft.predicates:
            owner, node = self.waiting[full]
            self.open.append(full)
            guard = self.read(node, owner)
            self.open.pop()
            if guard is not None:
                self.sizes[id(guard)] = comparisons, depth = self._size(guard)
                if comparisons > MOST_COMPARISONS or depth > MOST_NESTED:
                    most = f"{MOST_COMPARISONS} comparisons, {MOST_NESTED} deep"
                    message = f"written out, predicate `{shown(full)}` is more than {most}"
                    self.draft.fault("M337", node, message, "say it more simply")
                    guard = None
            self.draft.predicates[full] = guard
        return self.draft.predicates[full]

    def _size(self, guard: Guard) -> tuple[int, int]:
        """Count comparisons and depth as if every predicate were written out; each is counted once."""
        if isinstance(guard, Atom):
            return 1, 1
        if isinstance(guard, Named):
            comparisons, depth = self.sizes[id(guard.guard)]
            return comparisons, depth + 1
        parts = [self._size(part) for part in ((guard.part,) if isinstance(guard, Not) else guard.parts)]
        return sum(comparisons for comparisons, _ in parts), 1 + max(depth for _, depth in parts)

    def read(self, node: Node, owner: MachineDraft | None) -> Guard | None:
        """Return the guard that a value writes; None when it, or a part, has a fault."""
        if node.hurt:
            return None
        if node.kind == "scalar":
            return self._named(node, owner)
        if "fact" in node.entries:
            return self._atom(node, owner)
        join, _, inner = next(node.pairs())
        if join == "predicate":
            return self._named(inner, owner)
        if join == "not":
            part = self.read(inner, owner)
            return Not(part, node.place) if part is not None else None
        parts = [self.read(item, owner) for item in inner.items]
        whole = tuple(part for part in parts if part is not None)
        if len(whole) < len(parts):
            return None
        return All(whole, node.place) if join == "all" else Any(whole, node.place)

    def _named(self, node: Node, owner: MachineDraft | None) -> Guard | None:
        names = self.draft.names["predicate"]
        full = node.text
        if owner is not None and "." not in full and f"{owner.name}.{full}" in names:
            full = f"{owner.name}.{full}"
        if full not in names:
            if names.complete:
                near = [name.removeprefix(f"{owner.name}.") if owner is not None else name for name in names]
                if node.text in self.draft.names["fact"]:
                    hint = f"`{node.text}` is a fact: write `{{fact: {node.text}, …}}`"
                else:
                    hint = meant(node.text, near)
                self.draft.fault("M302", node, f"unknown predicate `{shown(node.text)}`", hint)
            return None
        if full in self.open:
            circle = " -> ".join([*self.open[self.open.index(full) :], full])
            self.draft.fault("M336", node, f"predicate `{shown(full)}` stands for itself", f"{shown(circle)}")
            return None
        if len(self.open) >= MOST_NESTED:
            self.draft.fault(
                "M337", node, f"predicates use each other more than {MOST_NESTED} deep", "say it more simply"
            )
            return None
        guard = self.predicate(full)
        if guard is None:
            return None
        used = self._wrong_side(guard, owner)
        if used is not None:
            self._side_fault(node, used, owner)
            return None
        return Named(node.text, guard, node.place)

    def _atom(self, node: Node, owner: MachineDraft | None) -> Guard | None:
        draft = self.draft
        fact_node = node.entries["fact"][1]
        if not draft.known("fact", fact_node):
            return None
        fact = draft.facts.get(fact_node.text)
        if fact is None:
            return None
        if draft.runner(fact.name) != _reads(owner) and fact.origin is not Origin.MACHINE:
            self._side_fault(fact_node, fact.name, owner)
            return None
        op, key, value = next(entry for entry in node.pairs() if entry[0] != "fact")
        if op not in _OPS[fact.type]:
            hint = f"it takes {listed(_OPS[fact.type])}"
            if fact.type is FactType.INSTANT:
                hint = "compare times under `after:` and `before:`; here only `is_null` can be asked"
            draft.fault(
                "M331", key, f"`{op}` cannot be asked of `{fact.name}`, which is of type {fact.type.value}", hint
            )
            return None
        if op == "is_null":
            if fact.null is None:
                draft.fault(
                    "M331",
                    key,
                    f"`{fact.name}` always has a value",
                    "remove this, or say under `null:` what null means",
                )
                return None
            return Atom(fact.name, "is_null", value.value is True, node.place)
        found = [value] if value.kind == "scalar" else value.items
        if len([item for item in found if value_fits(draft, fact, item)]) < len(found):
            return None
        if value.kind == "scalar":
            return Atom(fact.name, _op(op), value.value, node.place)
        values: tuple[Value, ...] = tuple(item.value for item in value.items)
        if op == "between" and not _ordered(values):
            draft.fault("M332", value, "the first of `between` is greater than the second", "swap them")
            return None
        return Atom(fact.name, _op(op), values, node.place)

    def _wrong_side(self, guard: Guard, owner: MachineDraft | None) -> str | None:
        """Return a fact inside a predicate that whoever uses it cannot read."""
        for name in facts_of(guard):
            fact = self.draft.facts.get(name)
            if self.draft.runner(name) != _reads(owner) and not (fact and fact.origin is Origin.MACHINE):
                return name
        return None

    def _side_fault(self, node: Node, fact: str, owner: MachineDraft | None) -> None:
        whose = self.draft.runner(fact)
        message = f"`{shown(fact)}` is a fact of each {whose}; an account has many"
        hint = "accounts wait for servers by a permit `no_server`"
        if owner is not None and owner.of != "account":
            side = "accounts" if whose == "account" else f"each {whose}"
            message = f"`{shown(fact)}` is a fact of {side}; this machine is of each {owner.of}"
            hint = "billing reaches servers by `servers:` and effects"
            if owner.of == "invoice":
                hint = "an invoice reaches accounts as evidence, once it is overdue"
        elif whose == "invoice":
            hint = "accounts see an overdue invoice in `overdue_invoices`"
        self.draft.fault("M334", node, message, hint)


def _reads(owner: MachineDraft | None) -> Runner:
    """Return whose facts may be asked of: a machine's own subject's; elsewhere the account's."""
    return "account" if owner is None else owner.of


def _op(name: str) -> Op:
    ops: dict[str, Op] = {
        "eq": "eq", "ne": "ne", "lt": "lt", "lte": "lte", "gt": "gt", "gte": "gte", "in": "in", "between": "between",
    }  # fmt: skip
    return ops[name]


def _ordered(values: tuple[Value, ...]) -> bool:
    first, second = values
    return isinstance(first, int) and isinstance(second, int) and first <= second
