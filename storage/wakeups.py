"""Wake-ups: ask another process to look now, and learn when it has. Numbered, so none is lost or answered twice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text


@dataclass(frozen=True, slots=True)
class Wakeup:
    """How far requests and answers have come; everything up to `done` is answered."""

    requested: int
    done: int
    report: Mapping[str, Any]


def request(conn: Connection, name: str, note: Mapping[str, Any] | None = None) -> int:
    """Ask for one more look and return its number. Sessions that LISTEN on `name` are told when this commits.

    note: goes along with the notification, as JSON.
    """
    ask = text(
        "INSERT INTO wakeups (name, requested) VALUES (:name, 1) "
        "ON CONFLICT (name) DO UPDATE SET requested = wakeups.requested + 1 RETURNING requested"
    )
    number: int = conn.execute(ask, {"name": name}).scalar_one()
    conn.execute(text("SELECT pg_notify(:name, :note)"), {"name": name, "note": json.dumps(dict(note or {}))})
    return number


def read(conn: Connection, name: str) -> Wakeup:
    """Return how far it has come."""
    find = text("SELECT requested, done, report FROM wakeups WHERE name = :name")
    row = conn.execute(find, {"name": name}).one_or_none()
    return Wakeup(0, 0, {}) if row is None else Wakeup(*row)


def report(conn: Connection, name: str, number: int, said: Mapping[str, Any]) -> None:
    """Note that requests up to this number are answered, and what was found; tell whoever listens on `{name}_done`."""
    done = text(
        "INSERT INTO wakeups (name, requested, done, report) VALUES (:name, 0, :number, CAST(:said AS jsonb)) "
        "ON CONFLICT (name) DO UPDATE SET done = greatest(wakeups.done, excluded.done), report = excluded.report"
    )
    conn.execute(done, {"name": name, "number": number, "said": json.dumps(dict(said))})
    conn.execute(text("SELECT pg_notify(:name, '')"), {"name": f"{name}_done"})
