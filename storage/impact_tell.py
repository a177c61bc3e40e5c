"""What an impact comes to, for people, programs and pull requests, and why a deploy would be refused for it."""

from __future__ import annotations

import csv
import json
from dataclasses import fields
from typing import IO, Any

from engine.render import escaped
from storage.impact import Affected, Impact

COLUMNS = tuple(each.name for each in fields(Affected))
MOST_NAMED = 20  # accounts in a refusal; the list has all


def harm(found: Impact, *, force: bool = False) -> list[str]:
    """Return why a deploy is refused; `force` lets brakes be."""
    wrong = [f"account {each.account_id}: {each.vanished}" for each in found.affected if each.vanished][:MOST_NAMED]
    wrong += [
        f"account {each.account_id} was told {each.promise_at:%Y-%m-%d %H:%M} UTC, and no rule would wait for it"
        for each in found.affected
        if each.promise_lost and each.promise_at is not None
    ][:MOST_NAMED]
    if not force:
        wrong += [
            f"the brake `{name}` would trip: {found.pressed[name]} accounts would be pressed at once, "
            f"{found.allowed.get(name, 0)} may pass; `--force` deploys all the same"
            for name in found.tripping
        ]
    return wrong


def as_text(found: Impact) -> str:
    """Return the counts, one a line."""
    rows = [
        ("accounts", found.accounts),
        *((words, count) for words, _, count in _counts(found)),
        *((f"ask the brake {name}", count) for name, count in found.pressed.items()),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {count:>8}" for name, count in rows)


def as_json(found: Impact | None, new: str) -> str:
    """Return the counts, the accounts and what a deploy would be refused for; `new` is the digest of the policy."""
    told: dict[str, Any] = {"policy": new, "inForce": new, "ok": True, "same": True}
    if found is not None:
        told |= {
            "inForce": found.over,
            "ok": not harm(found),
            "same": False,
            "accounts": found.accounts,
            **{key: count for _, key, count in _counts(found)},
            "brakes": {n: {"asked": c, "left": found.allowed.get(n, 0)} for n, c in found.pressed.items()},
            "refused": harm(found),
            "affected": [{_camel(name): _field(getattr(each, name)) for name in COLUMNS} for each in found.affected],
        }
    return json.dumps(told, indent=2, ensure_ascii=False)


def as_github(found: Impact) -> str:
    """Return annotations: an error for each reason to refuse it, and the counts as a notice."""
    errors = [f"::error::{escaped(each)}" for each in harm(found)]
    counts = ", ".join(f"{count} {words}" for words, _, count in _counts(found))
    return "\n".join([*errors, f"::notice::of {found.accounts} accounts: {counts}"])


def write_list(found: Impact | None, file: IO[str]) -> None:
    """Write the accounts as CSV; the header alone where there are none."""
    rows = csv.writer(file)
    rows.writerow(COLUMNS)
    for each in found.affected if found is not None else ():
        values = [_field(getattr(each, name)) for name in COLUMNS]
        rows.writerow([str(value).lower() if isinstance(value, bool) else value for value in values])


def _counts(found: Impact) -> list[tuple[str, str, int]]:
    """Return each count in words, by its key, and how many."""
    return [
        ("decided otherwise now", "decidedOtherwise", found.count(lambda each: each.differs)),
        ("due now, not before", "dueNow", found.count(lambda each: each.due_now)),
        ("due earlier", "dueEarlier", found.count(lambda each: each.earlier)),
        ("told a date that is ahead", "toldDate", found.count(lambda each: each.promise_at is not None)),
        ("cannot be decided", "cannotBeDecided", found.count(lambda each: bool(each.vanished))),
    ]


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(each.title() for each in rest)


def _field(value: object) -> object:
    isoformat = getattr(value, "isoformat", None)
    return isoformat() if isoformat is not None else value
