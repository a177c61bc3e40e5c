"""Guarantees that are told by looking at what the policy says: how many a brake lets through, what is listed twice."""

from __future__ import annotations

from engine.guarantees import Exactly, Slots
from engine.model import Policy
from engine.register import brakes_of, entries, slots, write_entry

Looked = tuple[str, int]  # what breaks the guarantee, empty when nothing does; and how much was looked at


def slots_let(policy: Policy, guarantee: Slots) -> Looked:
    """Ask the brake about each population."""
    brake = brakes_of(policy).get(guarantee.brake)
    if brake is None:
        return f"there is no brake `{guarantee.brake}`", 0
    if brake.per.total_seconds() != guarantee.per_seconds:
        return f"`{guarantee.brake}` counts in periods of {brake.per}", 1
    for population, expected in guarantee.lets:
        found = slots(brake, population)
        if found != expected:
            return f"of {population}, `{guarantee.brake}` lets {found} through, not {expected}", 1
    return "", len(guarantee.lets)


def listed_exactly(policy: Policy, guarantee: Exactly) -> Looked:
    """Compare both lists of each property."""
    looked = 0
    for name, listed in guarantee.properties:
        found, expected = dict(entries(policy, name)), dict(listed)
        looked += len(expected)
        for each in sorted(found.keys() | expected.keys()):
            if found.get(each) == expected.get(each):
                continue
            is_so = write_entry(each, found[each]) if each in found else f"{each} is missing"
            not_so = write_entry(each, expected[each]) if each in expected else "nothing of it"
            return f"{name}: {is_so}, where the guarantee says {not_so}", looked
    return "", looked
