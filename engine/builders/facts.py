"""Facts: what rules may read, who writes it, and which values it can have."""

from __future__ import annotations

from datetime import timedelta

from engine.builders.draft import Draft, MachineDraft, each, entries, text_of
from engine.faults import meant, shown
from engine.model import Fact, FactType, IntentKind, Origin
from engine.source import Node

STAMPS = (Origin.DELIVERED, Origin.ENTERED, Origin.MARK)

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
            if owner is not None and owner.of != "account":
                draft.runners[name] = owner.of


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
    if not value_fits(draft, fact, default):
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
    if found is not None and found.of != "account":
        draft.fault(
            "M334",
            machine,
            f"`{found.name}` is of each {found.of}; an account has many",
            "name a machine `of: account`",
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


def value_fits(draft: Draft, fact: Fact, node: Node) -> bool:
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
