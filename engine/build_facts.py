"""Facts, predicates and guards: what rules may read, and whether what they ask of it can be asked."""

from __future__ import annotations

from datetime import timedelta

from engine.build_draft import Draft, MachineDraft, each, entries, text_of
from engine.faults import listed, meant, shown
from engine.model import All, Any, Atom, Fact, FactType, Guard, IntentKind, Named, Not, Op, Origin, Value
from engine.source import Node

MOST_COMPARISONS = 500  # written out, in one predicate: a few short lines could otherwise stand for millions
MOST_NESTED = 32
STAMPS = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)

_OPS: dict[FactType, tuple[str, ...]] = {
    FactType.BOOL: ("eq", "ne", "is_null"),
    FactType.INT: ("eq", "ne", "lt", "lte", "gt", "gte", "in", "between", "is_null"),
    FactType.INSTANT: ("is_null",),
    FactType.ENUM: ("eq", "ne", "in", "is_null"),
    FactType.STATE: ("eq", "ne", "in", "is_null"),
}
_WORDS = {
    FactType.BOOL: "true or false",
    FactType.INT: "a whole number",
    FactType.INSTANT: "an instant",
    FactType.ENUM: "one of its values",
    FactType.STATE: "a state",
}


def build_facts(draft: Draft) -> None:
    """Read every `facts:` section. Reads intents, so those come first."""
    standing = draft.section("standing", "facts")
    for owner, section in [(None, standing), *((m, m.root.get("facts")) for m in draft.machines.values())]:
        for name, key, node in entries(section):
            if not draft.names["fact"].declare(name, key, draft.faults):
                continue
            draft.facts[name] = None if node.hurt else _fact(draft, owner, name, key, node)
            if owner is not None and owner.of_server:
                draft.of_server.add(name)


def _fact(draft: Draft, owner: MachineDraft | None, name: str, key: Node, node: Node) -> Fact | None:
    kind = FactType(text_of(node, "type") or "bool")
    source = text_of(node, "from")
    values = tuple(value.text for value in each(node.get("of")))
    of: str | None = None
    if kind is FactType.STATE:
        origin = Origin.MACHINE
        watched = _watched(draft, key, node)
        if watched is None:
            return None
        of, values = watched.name, watched.states
    elif source is None:
        draft.fault(
            "M335",
            key,
            f"fact `{name}` does not say where it comes from",
            "add `from: standing`, `admin`, `observed`, …",
        )
        return None
    else:
        word, _, of = source.partition(" ")
        origin, of = Origin(word), of or None
        if of is not None and not _stamped(draft, owner, kind, (origin, of), node):
            return None
    if not _fits(draft, key, node, kind, origin):
        return None
    minimum, default = node.get("min"), node.get("default")
    fact = Fact(
        name=name,
        type=kind,
        origin=origin,
        place=key.place,
        of=of,
        plus=_plus(draft, owner, node),
        values=values,
        minimum=minimum.value if minimum is not None and isinstance(minimum.value, int) else None,
        null=text_of(node, "null"),
    )
    if default is None:
        return fact
    if not _value_fits(draft, fact, default):
        return None
    return Fact(**{each: getattr(fact, each) for each in Fact.__slots__ if each != "default"}, default=default.value)


def _watched(draft: Draft, key: Node, node: Node) -> MachineDraft | None:
    """Return the machine whose state the fact is."""
    machine, source = node.get("machine"), node.get("from")
    if source is not None:
        draft.fault("M335", source, "a state comes from its machine, not from elsewhere", "remove `from:`")
    if machine is None:
        draft.fault("M335", key, "a fact of type state needs `machine:`", "name the machine whose state it is")
        return None
    if not draft.known("machine", machine):
        return None
    found = draft.machines.get(machine.text)
    if found is not None and found.of_server:
        draft.fault(
            "M334", machine, f"`{found.name}` is of each server; an account has many", "name a machine `of: account`"
        )
        return None
    return found


def _stamped(draft: Draft, owner: MachineDraft | None, kind: FactType, stamp: tuple[Origin, str], node: Node) -> bool:
    """Check that what stamps the fact exists where the fact is declared."""
    origin, of = stamp
    source = node.entries["from"][1]
    if owner is None:
        draft.fault(
            "M335",
            source,
            "only a machine's own facts are stamped",
            "declare it in the machine whose episode it belongs to",
        )
        return False
    if kind is not FactType.INSTANT:
        draft.fault(
            "M335", node.entries["type"][1], f"a stamp is an instant, not {_WORDS[kind]}", "write `type: instant`"
        )
        return False
    if origin is Origin.ENTERED:
        return draft.state(owner, source, of) is not None
    if origin is Origin.DELIVERED:
        whose = ", and only a notice is delivered"
        return draft.intent(source, of, kind=IntentKind.NOTICE, whose=whose) is not None
    if of not in owner.marks:
        if not _rules_hurt(owner):
            draft.fault("M346", source, f"no rule of `{owner.name}` sets the mark `{of}`", meant(of, owner.marks))
        return False
    return True


def _rules_hurt(owner: MachineDraft) -> bool:
    return any(rules is not None and rules.hurt for rules in map(owner.root.get, ("relief", "pressure", "moves")))


def _fits(draft: Draft, key: Node, node: Node, kind: FactType, origin: Origin) -> bool:
    """Check that a declaration has what its type needs, and nothing that belongs to another type."""
    fine = True
    needs = {"of": kind is FactType.ENUM}
    for name, allowed in (
        ("of", kind is FactType.ENUM),
        ("min", kind is FactType.INT),
        ("plus", origin in STAMPS),
        ("machine", kind is FactType.STATE),
    ):
        if name in node.entries and not allowed:
            draft.fault(
                "M335",
                node.key(name),
                f"`{name}` says nothing about a fact of type {kind.value} from {origin.value}",
                "remove it",
            )
            fine = False
        if needs.get(name) and name not in node.entries:
            draft.fault("M335", key, f"a fact of type {kind.value} needs `{name}:`", "list its values")
            fine = False
    if kind is FactType.INSTANT and "null" not in node.entries:
        draft.fault("M335", key, "an instant needs `null:`", "say in words what it means that there is none yet")
        fine = False
    return fine


def _plus(draft: Draft, owner: MachineDraft | None, node: Node) -> timedelta:
    plus = node.get("plus")
    if plus is None or owner is None:
        return timedelta(0)
    found = draft.span(owner, plus)
    return found[0] if found is not None else timedelta(0)


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
        self.weights: dict[int, int] = {}  # by the identity of a predicate's guard: how many comparisons it stands for

    def predicate(self, full: str) -> Guard | None:
        """Return what a declared predicate stands for, reading it if it was not yet; None when it has a fault."""
        if full not in self.draft.predicates:
            owner, node = self.waiting[full]
            self.open.append(full)
            guard = self.read(node, owner)
            self.open.pop()
            if guard is not None:
                self.weights[id(guard)] = self._weight(guard)
                if self.weights[id(guard)] > MOST_COMPARISONS:
                    message = f"predicate `{shown(full)}` stands for more than {MOST_COMPARISONS} comparisons"
                    self.draft.fault("M337", node, message, "say it more simply")
                    guard = None
            self.draft.predicates[full] = guard
        return self.draft.predicates[full]

    def _weight(self, guard: Guard) -> int:
        """Count comparisons as if every predicate were written out; those already counted are not counted again."""
        if isinstance(guard, Atom):
            return 1
        if isinstance(guard, Named):
            return self.weights.get(id(guard.guard), 1)
        parts = (guard.part,) if isinstance(guard, Not) else guard.parts
        return sum(self._weight(part) for part in parts)

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
        if (fact.name in draft.of_server) is not (
            owner is not None and owner.of_server
        ) and fact.origin is not Origin.MACHINE:
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
        if len([item for item in found if _value_fits(draft, fact, item)]) < len(found):
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
        from engine.guards import facts_of

        of_server = owner is not None and owner.of_server
        for name in facts_of(guard):
            fact = self.draft.facts.get(name)
            if (name in self.draft.of_server) is not of_server and not (fact and fact.origin is Origin.MACHINE):
                return name
        return None

    def _side_fault(self, node: Node, fact: str, owner: MachineDraft | None) -> None:
        if owner is not None and owner.of_server:
            message, hint = (
                f"`{shown(fact)}` is a fact of accounts; this machine is of each server",
                "billing reaches servers by `servers:` and effects",
            )
        else:
            message, hint = (
                f"`{shown(fact)}` is a fact of each server; an account has many",
                "accounts wait for servers by a permit `no_server`",
            )
        self.draft.fault("M334", node, message, hint)


def _op(name: str) -> Op:
    ops: dict[str, Op] = {
        "eq": "eq", "ne": "ne", "lt": "lt", "lte": "lte", "gt": "gt", "gte": "gte", "in": "in", "between": "between",
    }  # fmt: skip
    return ops[name]


def _ordered(values: tuple[Value, ...]) -> bool:
    first, second = values
    return isinstance(first, int) and isinstance(second, int) and first <= second


def _value_fits(draft: Draft, fact: Fact, node: Node) -> bool:
    """Check that a value is one that the fact can have."""
    value = node.value
    if fact.type in {FactType.ENUM, FactType.STATE}:
        if isinstance(value, str) and value in fact.values:
            return True
        if fact.type is FactType.STATE and not draft.machines[fact.of or ""].states_known:
            return False
        draft.fault("M330", node, f"`{fact.name}` is never `{shown(node.text)}`", meant(node.text, fact.values))
        return False
    if fact.type is FactType.BOOL and isinstance(value, bool):
        return True
    if fact.type is FactType.INT and isinstance(value, int) and not isinstance(value, bool):
        if fact.minimum is not None and value < fact.minimum:
            draft.fault("M332", node, f"`{fact.name}` is never less than {fact.minimum}", "is the sign right?")
            return False
        return True
    found = str(value).lower() if isinstance(value, bool) else shown(node.text)
    draft.fault("M332", node, f"`{fact.name}` is {_WORDS[fact.type]}, and `{found}` is not")
    return False
