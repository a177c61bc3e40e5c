"""From trees to a policy: reads the parts in the order in which they refer to each other, with all faults at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any

from engine.builders.calendars import build_announcements, build_calendars
from engine.builders.draft import Draft
from engine.builders.facts import build_facts
from engine.builders.gates import GatesReader
from engine.builders.guarantees import GuaranteeReader
from engine.builders.guards import GuardReader, build_predicates
from engine.builders.machines import MachineReader, check_groups, draft_machines
from engine.builders.repairs import build_repairs
from engine.builders.settings import build_settings, check_settings_used, check_spelling
from engine.builders.smaller import (
    build_alerts,
    build_intents,
    build_permits,
    build_standing,
    check_evidence,
)
from engine.builders.words import build_words
from engine.faults import Faults
from engine.meaning import Meaning
from engine.meaning_unused import check_unused
from engine.model import Machine, Place, Policy, Setting, Timer
from engine.source import Node


def build(trees: Mapping[str, Node], env: Mapping[str, str], faults: Faults, lost: frozenset[str]) -> Policy:
    """Return the policy that the trees describe. Raises PolicyFaults, also for the faults found before."""
    draft = Draft(trees, env, faults, lost)
    draft_machines(draft)
    build_intents(draft)
    build_settings(draft)
    build_facts(draft)
    build_predicates(draft)
    check_evidence(draft)
    alerts = build_alerts(draft)
    calendars, dates = build_calendars(draft)
    announce = build_announcements(draft)
    build_permits(draft)
    check_groups(draft)
    guards = GuardReader(draft)
    machines: dict[str, Machine] = {}
    whole = set()
    for name, drafted in draft.machines.items():
        reader = MachineReader(draft, drafted, guards)
        machines[name] = reader.read()
        if reader.whole:
            whole.add(name)
    check_settings_used(draft)
    check_unused(draft)
    standing = build_standing(draft)
    gates = GatesReader(draft, guards).read()
    repairs = build_repairs(draft)
    check_spelling(draft)
    words = build_words(draft)
    guarantees = GuaranteeReader(draft, guards).read()
    meaning = Meaning(draft, machines, frozenset(whole))
    meaning.check_machines()
    meaning.check_intents(repairs)
    meaning.check_words(words.notices, words.states)
    faults.raise_if_any()
    # INVARIANT: without a fault every part was read, so nothing below is None
    assert standing is not None
    assert gates is not None
    assert repairs is not None
    parts: dict[str, Any] = {
        "machines": machines,
        "standing": standing,
        "facts": {name: fact for name, fact in draft.facts.items() if fact is not None},
        "permits": {name: permit for name, permit in draft.permits.items() if permit is not None},
        "intents": {name: intent for name, intent in draft.intents.items() if intent is not None},
        "gates": gates,
        "repairs": repairs,
        "notices": words.notices,
        "state_texts": words.states,
        "letter_words": words.letter,
        "alerts": alerts,
        "calendars": calendars,
        "dates": dates,
        "announce": announce,
        "guarantees": guarantees,
    }
    by_name = {guarantee.name: guarantee for guarantee in guarantees}  # a map in the policy: its order says nothing
    return Policy(digest=digest_of({**parts, "guarantees": by_name}), **parts)


def digest_of(meaning: object) -> str:
    """Return the SHA-256, in hexadecimal, of what a policy means.

    Places do not count, nor how text is laid out; of a setting only the value that is in force, wherever it came from.
    """
    canonical = json.dumps(
        _canonical(meaning), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


_AS_THEY_ARE = {str, int, bool, type(None)}


@cache
def _names_of(kind: type[Any]) -> tuple[str, ...]:
    """Return the names of a record's fields."""
    return tuple(each.name for each in fields(kind))


def _canonical(value: object) -> object:
    """Return a value as JSON that is the same for the same meaning, and different for another."""
    if type(value) in _AS_THEY_ARE:
        return value  # most of them
    if isinstance(value, Setting):
        return ["setting", value.name, _canonical(value.value)]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return ["seconds", int(value.total_seconds())]
    if isinstance(value, datetime):
        return ["instant", value.isoformat()]
    if is_dataclass(value) and not isinstance(value, type):
        parts = ((name, getattr(value, name)) for name in _names_of(type(value)))
        return [
            type(value).__name__,
            {name: _canonical(part) for name, part in parts if not isinstance(part, Place)},
        ]
    if isinstance(value, Mapping):
        keyed = {".".join(key) if isinstance(key, tuple) else str(key): part for key, part in value.items()}
        return {key: _canonical(part) for key, part in keyed.items() if not isinstance(part, Place)}
    if isinstance(value, frozenset):
        return sorted(str(each) for each in value)
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], Timer):
            value = sorted(value, key=lambda timer: timer.anchor)  # a map in the policy: all must have elapsed
        return [_canonical(each) for each in value]
    return repr(value) if isinstance(value, float) else value
