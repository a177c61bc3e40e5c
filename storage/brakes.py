"""Brakes: how many accounts may be pressed, or servers repaired, in a window of time.

Above, they trip, page, and wait for a person.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Place, Policy
from engine.model_permits import Brake, Permit, PermitKind
from engine.register import slots
from storage import audit
from storage.alerts import raise_alert
from storage.audit import AuditNote

# Accounts without a plan or a subscription are no share of anything: whoever likes can register them by the thousand.
POPULATIONS: Final = {
    "accounts": "accounts WHERE plan IS NOT NULL OR subscription_status <> 'none'",
    "servers": "servers WHERE lifecycle <> 'deleted'",
}
KEPT: Final = timedelta(days=31)
PRUNED_AT_ONCE: Final = 10_000
LOCK_CLASS: Final = 7_203_115  # advisory locks of this class are brakes


@dataclass(frozen=True, slots=True)
class BrakeState:
    """How a brake stands."""

    name: str
    latched_at: datetime | None
    released_at: datetime | None
    released_by: str | None
    slots_taken: int


def of_repairs(policy: Policy) -> dict[str, Permit]:
    """Return the brakes of repairs, by their names there; their slots are taken by servers."""
    return {
        name: Permit(
            f"repairs.{name}", PermitKind.BRAKE, Place("repairs.yaml", 1, 1), brake=brake, alert="repair_brake_tripped"
        )
        for name, brake in policy.repairs.brakes.items()
    }


def take(conn: Connection, permit: Permit, ids: Sequence[UUID], now: datetime) -> frozenset[UUID]:
    """Give slots to the first of these accounts (or servers) and return who got one; trip when there are not enough.

    Holds the brake's lock until the transaction ends, so counting and taking are one step for everybody.
    """
    brake, name = permit.brake, permit.name
    if brake is None:
        raise ValueError(f"the permit `{name}` has no brake")
    conn.execute(text("SELECT pg_advisory_xact_lock(:class, hashtext(:name))"), {"class": LOCK_CLASS, "name": name})
    state = _state(conn, name)
    if state.latched_at is not None:
        return frozenset()
    left = _allowance(conn, brake, state, now) - _taken(conn, brake, state, now)
    given = list(dict.fromkeys(ids))[: max(left, 0)]
    if given:
        add = text("INSERT INTO brake_slots (brake, account_id, at) SELECT :name, unnest(CAST(:ids AS uuid[])), :now")
        conn.execute(add, {"name": name, "ids": given, "now": now})
    if len(given) < len(set(ids)):
        _trip(conn, permit, now, len(set(ids)) - len(given))
    return frozenset(given)


def left(conn: Connection, permit: Permit, now: datetime) -> int:
    """Return how many more accounts the brake would let pass now; takes nothing. None pass one that has tripped."""
    if permit.brake is None:
        raise ValueError(f"the permit `{permit.name}` has no brake")
    state = _state(conn, permit.name)
    if state.latched_at is not None:
        return 0
    return max(_allowance(conn, permit.brake, state, now) - _taken(conn, permit.brake, state, now), 0)


def release(
    conn: Connection, name: str, by: str, now: datetime, allowance: int | None = None, reason: str = ""
) -> bool:
    """Let a tripped brake go; what was given out before no longer counts. Tell whether it was tripped.

    allowance: how many may pass in the window that begins now; None: as many as the policy says.
    """
    conn.execute(text("SELECT pg_advisory_xact_lock(:class, hashtext(:name))"), {"class": LOCK_CLASS, "name": name})
    free = text(
        "UPDATE brakes SET latched_at = NULL, released_at = :now, released_by = :by, allowance = :allowance "
        "WHERE name = :name AND latched_at IS NOT NULL RETURNING name"
    )
    given = {"name": name, "by": by, "now": now, "allowance": allowance}
    if conn.execute(free, given).scalar_one_or_none() is None:
        return False
    # Those whom it held are looked at at once. Rows that somebody is deciding right now look again by themselves.
    waiters = text(
        "UPDATE accounts SET held_until = NULL WHERE id IN (SELECT id FROM accounts WHERE due_at <= :now "
        "AND held_until IS NOT NULL "
        "AND waiting @> jsonb_build_array(jsonb_build_object('permit', CAST(:name AS text))) "
        "ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"
    )
    conn.execute(waiters, {"now": now, "name": name})
    note = AuditNote(
        "admin",
        "release_brake",
        by,
        because=f"brake {name}{': ' if reason else ''}{reason}",
        facts={"allowance": allowance},
    )
    audit.append(conn, None, [note])
    return True


def prune(conn: Connection, policy: Policy, now: datetime) -> int:
    """Remove slots that no window reaches any more, so many at once; return how many.

    They stay for a month at least: a policy that is deployed tomorrow may count over a longer period.
    """
    longest = max((brake.per for brake in _of(policy)), default=KEPT)
    gone = text(
        "DELETE FROM brake_slots WHERE id IN (SELECT id FROM brake_slots WHERE at < :before ORDER BY id LIMIT :at_once)"
    )
    return conn.execute(gone, {"before": now - max(KEPT, longest), "at_once": PRUNED_AT_ONCE}).rowcount


def states(conn: Connection, policy: Policy, now: datetime) -> list[BrakeState]:
    """Show every brake of the policy."""
    shown = []
    for permit in _permits(policy):
        if permit.brake is not None:
            state = _state(conn, permit.name)
            shown.append(BrakeState(*state[:4], _taken(conn, permit.brake, state, now)))
    return shown


def _permits(policy: Policy) -> tuple[Permit, ...]:
    return *policy.permits.values(), *of_repairs(policy).values()


def _of(policy: Policy) -> list[Brake]:
    return [permit.brake for permit in _permits(policy) if permit.brake is not None]


class _Row(NamedTuple):
    name: str
    latched_at: datetime | None
    released_at: datetime | None
    released_by: str | None
    allowance: int | None


def _state(conn: Connection, name: str) -> _Row:
    find = text("SELECT name, latched_at, released_at, released_by, allowance FROM brakes WHERE name = :name")
    row = conn.execute(find, {"name": name}).one_or_none()
    return _Row(name, None, None, None, None) if row is None else _Row(*row)


def _since(brake: Brake, state: _Row, now: datetime) -> datetime:
    window = now - brake.per
    return window if state.released_at is None else max(window, state.released_at)


def _taken(conn: Connection, brake: Brake, state: _Row, now: datetime) -> int:
    count = text("SELECT count(*) FROM brake_slots WHERE brake = :name AND at > :since")
    taken: int = conn.execute(count, {"name": state.name, "since": _since(brake, state, now)}).scalar_one()
    return taken


def _allowance(conn: Connection, brake: Brake, state: _Row, now: datetime) -> int:
    if state.allowance is not None and state.released_at is not None and state.released_at > now - brake.per:
        return state.allowance
    # Beyond this many the share no longer matters: a table of a million is not counted.
    enough = math.ceil(brake.at_most / brake.share) if brake.share > 0 else 0
    count = text(f"SELECT count(*) FROM (SELECT 1 FROM {POPULATIONS[brake.population]} LIMIT :enough) counted")
    population: int = conn.execute(count, {"enough": enough}).scalar_one()
    return slots(brake, population)


def _trip(conn: Connection, permit: Permit, now: datetime, over: int) -> None:
    latch = text(
        "INSERT INTO brakes (name, latched_at) VALUES (:name, :now) "
        "ON CONFLICT (name) DO UPDATE SET latched_at = excluded.latched_at WHERE brakes.latched_at IS NULL"
    )
    conn.execute(latch, {"name": permit.name, "now": now})
    about = permit.brake.population if permit.brake is not None else "accounts"
    deed = "repaired" if about == "servers" else "pressed"
    words = (
        f"the brake {permit.name} has tripped: {over} more {about} were about to be {deed} than it allows; nothing "
        "passes it until a person looks and releases it"
    )
    raise_alert(conn, permit.alert or "brake_tripped", words, key=f"brake:{permit.name}:{now.isoformat()}")
