"""Holds: enforcement paused, for one account (an extension) or everybody (an outage), until an instant or for now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy, Value
from engine.model_permits import PermitKind
from storage import audit, clock
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.errors import UnknownHold
from storage.gather import World
from storage.intents_claim import WAITS_HOLD
from storage.intents_outbox import Outbox
from storage.ledger import record
from storage.ledger_batch import lock

COLUMNS: Final = "id, account_id, kind, until, by, reason, created_at, ended_at"

# Everybody is decided again by the sweeps that follow: a hold voids promises, and its end lets notices go out again.
EVERYBODY: Final = text("UPDATE policy_in_force SET epoch = epoch + 1")


@dataclass(frozen=True, slots=True)
class HoldRow:
    """One hold as it was set."""

    id: UUID
    account_id: UUID | None
    """None: everybody."""
    kind: str
    until: datetime | None
    """None: until somebody ends it."""
    by: str
    reason: str
    created_at: datetime
    ended_at: datetime | None


def set_hold(
    conn: Connection,
    policy: Policy,
    kind: str,
    *,
    account_id: UUID | None,
    until: datetime | None,
    by: str,
    reason: str = "",
    world: World | None = None,
) -> tuple[UUID, tuple[Outbox, ...]]:
    """Pause enforcement and decide again; return the hold and the intents that follow. Raises UnknownHold.

    account_id: None pauses it for everybody. until: None, until somebody ends it.
    """
    known = kinds(policy)
    if kind not in known:
        raise UnknownHold(kind, known)
    if account_id is not None:
        lock(conn, [account_id])
    add = text(
        "INSERT INTO holds (account_id, kind, until, by, reason, created_at) "
        "VALUES (:account, :kind, :until, :by, :reason, :now) RETURNING id"
    )
    given = {"account": account_id, "kind": kind, "until": until, "by": by, "reason": reason, "now": clock.now(conn)}
    # An unknown account fails here, on the reference: nothing was written then.
    hold_id: UUID = conn.execute(add, given).scalar_one()
    return hold_id, _told(conn, policy, account_id, f"{kind} set", kind, until, by=by, reason=reason, world=world)


def end_hold(
    conn: Connection, policy: Policy, hold_id: UUID, *, by: str, reason: str = "", world: World | None = None
) -> tuple[Outbox, ...]:
    """End a hold before its time and decide again; return the intents that follow. Raises UnknownHold."""
    owner = conn.execute(text("SELECT account_id FROM holds WHERE id = :id"), {"id": hold_id}).scalar_one_or_none()
    if owner is not None:
        lock(conn, [owner])
    end = text("UPDATE holds SET ended_at = :now WHERE id = :id AND ended_at IS NULL RETURNING account_id, kind, until")
    row = conn.execute(end, {"id": hold_id, "now": clock.now(conn)}).one_or_none()
    if row is None:
        raise UnknownHold(hold_id)
    let_go = text(
        "UPDATE intents SET not_before = NULL WHERE status = 'open' AND outcome = :why "
        "AND (CAST(:account AS uuid) IS NULL OR account_id = :account)"
    )
    conn.execute(let_go, {"why": WAITS_HOLD, "account": row.account_id})
    return _told(
        conn, policy, row.account_id, f"{row.kind} ended", row.kind, row.until, by=by, reason=reason, world=world
    )


def active(conn: Connection, account_id: UUID | None = None) -> list[HoldRow]:
    """Return the holds that are in effect: for an account its own and everybody's; without one, all."""
    find = text(
        f"SELECT {COLUMNS} FROM holds WHERE ended_at IS NULL AND (until IS NULL OR until > :now) "
        "AND (CAST(:account AS uuid) IS NULL OR account_id IS NULL OR account_id = :account) ORDER BY created_at, id"
    )
    return [HoldRow(*row) for row in conn.execute(find, {"account": account_id, "now": clock.now(conn)})]


def kinds(policy: Policy) -> tuple[str, ...]:
    """Return the kinds of hold that some permit of the policy obeys."""
    found = (kind for permit in policy.permits.values() if permit.kind is PermitKind.HOLD for kind in permit.holds)
    return tuple(dict.fromkeys(found))


def _told(
    conn: Connection,
    policy: Policy,
    account_id: UUID | None,
    what: str,
    kind: str,
    until: datetime | None,
    *,
    by: str,
    reason: str,
    world: World | None,
) -> tuple[Outbox, ...]:
    facts: dict[str, Value] = {"kind": kind, "until": until}
    note = AuditNote("hold", what.replace(" ", "_"), by, reason, facts=facts)
    who = "everybody" if account_id is None else f"account {account_id}"
    raise_alert(conn, "hold_changed", f"{what} for {who} by {by}", account_id)
    if account_id is None:
        conn.execute(EVERYBODY)
        audit.append(conn, None, [note], policy.digest)
        return ()
    return record(conn, policy, account_id, actor=by, evidence=note, world=world).intents
