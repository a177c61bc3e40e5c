"""What is declared and read by nothing: predicates, and stamps. Whoever changes one believes that it matters."""

from __future__ import annotations

from engine.builders.draft import Draft, entries
from engine.model import Origin

READING = frozenset({"gates.yaml", "guarantees.yaml"})  # beside the machines and standing
# Written to a column each, that administrators and the API read.
DURABLE = frozenset(
    {"warning_sent_at", "final_warning_sent_at", "backup_blocked_at", "suspended_at", "retention_until"}
)


def check_unused(draft: Draft) -> None:
    """Note what nothing names; only while every file that might name it could be read."""
    if not draft.names["machine"].complete or not draft.names["fact"].complete or draft.lost & READING:
        return
    named = _named(draft)
    for owner in (None, *draft.machines.values()):
        root = owner.root if owner is not None else draft.tree("standing")
        for name, key, _ in entries(root.get("predicates") if root is not None else None):
            full = name if owner is None else f"{owner.name}.{name}"
            if not named & {name, full}:
                draft.fault("M387", key, f"the predicate `{name}` is used by nothing", "use it, or remove it")
        for name, key, _ in entries(root.get("facts") if root is not None else None):
            fact = draft.facts.get(name)
            stamp = fact is not None and fact.origin in {Origin.ENTERED, Origin.DELIVERED}
            if stamp and name not in named | DURABLE:
                draft.fault("M388", key, f"the fact `{name}` is read by nothing", "read it, or remove it")


def _named(draft: Draft) -> set[str]:
    """Return every word that stands somewhere as a value, or as an anchor of time."""
    found: set[str] = set()
    for root in draft.trees.values():
        waiting = [root]
        while waiting:
            node = waiting.pop()
            if node.kind == "scalar":
                found.add(node.text)
            waiting += node.items
            for key, _, value in node.pairs():
                waiting.append(value)
                if key in {"after", "before"}:
                    found |= set(value.entries)
    return found
