"""Intents as rows: read under lock, and closed together with what their end means for the account."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import IntentKind, Policy, Value
from engine.snapshot import Snapshot
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.gather import World
from storage.leases import Fence
from storage.ledger_batch import Change, Recorded, lock, record_change

COLUMNS: Final = (
    "id, key, account_id, server_id, machine, episode, round, intent, kind, queue, args, status, tries, not_before, "
    "claim, claimed_by, claimed_until, started_at, finished_at, outcome, promise_at, actor, created_at"
)


@dataclass(frozen=True, slots=True)
class IntentRow:
    """One row of `intents`."""

    id: UUID
    key: str
    account_id: UUID
    server_id: UUID | None
    machine: str
    episode: int
    round: int
    intent: str
    kind: IntentKind
    queue: str
    args: Mapping[str, Any]
    status: str
    tries: int
    not_before: datetime | None
    claim: UUID | None
    claimed_by: int | None
    claimed_until: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    outcome: str | None
    promise_at: datetime | None
    actor: str
    created_at: datetime

    @property
    def is_notice(self) -> bool:
        """Tell whether it is a message to a customer, which a crash may leave unknown."""
        return self.kind is IntentKind.NOTICE


def lock_intent(conn: Connection, intent_id: UUID) -> IntentRow | None:
    """Lock the intent's account, then the intent, and read it; None when there is none.

    The account first: whoever decides holds it while inserting intents.
    """
    owner = conn.execute(text("SELECT account_id FROM intents WHERE id = :id"), {"id": intent_id}).scalar_one_or_none()
    if owner is None:
        return None
    lock(conn, [owner])
    find = text(f"SELECT {COLUMNS} FROM intents WHERE id = :id FOR UPDATE")
    return row_of(conn.execute(find, {"id": intent_id}).one())


def row_of(row: Any) -> IntentRow:
    """Read one row of COLUMNS."""
    values = row._asdict()
    return IntentRow(**{**values, "kind": IntentKind(values["kind"])})


@dataclass(frozen=True, slots=True)
class Closing:
    """How an intent ends, and who says so."""

    status: str
    """done, dropped, failed or unknown."""
    reason: str
    actor: str
    apply: Callable[[Snapshot, datetime], Snapshot] | None = None
    """What it means for the account: a stamp, a failed round."""


CLOSE: Final = text(
    "UPDATE intents SET status = :status, outcome = :outcome, finished_at = :now, claim = NULL, claimed_by = NULL, "
    "claimed_until = NULL, not_before = NULL WHERE id = :id"
)


def close(
    conn: Connection,
    policy: Policy,
    row: IntentRow,
    closing: Closing,
    *,
    world: World | None = None,
    fence: Fence | None = None,
) -> Recorded:
    """End an intent: its row, its audit, what follows for the account, and who is told. The rows are locked already."""
    enforcement = _is_enforcement(policy, row) and closing.status == "done"
    change = Change(notes=(_note(row, closing),), apply=closing.apply, enforcement=row.intent if enforcement else None)
    recorded = record_change(conn, policy, row.account_id, change, actor=closing.actor, fence=fence, world=world)
    values = {"status": closing.status, "outcome": closing.reason, "now": recorded.at, "id": row.id}
    conn.execute(CLOSE, values)
    if closing.status in {"failed", "unknown"}:
        _tell(conn, policy, row, closing)
    elif enforcement:
        words = f"{row.intent} was carried out{_on(row)}{': ' if closing.reason else ''}{closing.reason}"
        raise_alert(conn, "enforcement_done", words, row.account_id, key=f"done:{row.id}")
    return recorded


def trouble_kind(policy: Policy, row: IntentRow, status: str) -> str:
    """Name the alert for an intent that failed, keeps failing, or may have been carried out."""
    if row.is_notice:
        return "notice_unknown" if status == "unknown" else "notice_failed"
    return "enforcement_failed" if _is_enforcement(policy, row) else "intent_failed"


def _is_enforcement(policy: Policy, row: IntentRow) -> bool:
    known = policy.intents.get(row.intent)
    return known is not None and known.enforcement


def _note(row: IntentRow, closing: Closing) -> AuditNote:
    facts: dict[str, Value] = {"intent_id": str(row.id), "tries": row.tries}
    if row.server_id is not None:
        facts["server_id"] = str(row.server_id)
    if row.is_notice:
        facts |= {"machine": row.machine, "episode": row.episode, "round": row.round, "promise_at": row.promise_at}
    kind = "notice" if row.is_notice else "intent"
    to = "delivered" if row.is_notice and closing.status == "done" else closing.status
    return AuditNote(kind, row.intent, closing.actor, closing.reason, row.status, to, facts=facts)


def _tell(conn: Connection, policy: Policy, row: IntentRow, closing: Closing) -> None:
    what = "may have left and is not sent again by itself" if closing.status == "unknown" else "was given up"
    words = f"{row.intent} {what}{_on(row)}: {closing.reason}; a person has to look"
    kind = trouble_kind(policy, row, closing.status)
    raise_alert(conn, kind, words, row.account_id, key=f"{closing.status}:{row.id}:{row.tries}")


def _on(row: IntentRow) -> str:
    return f" on server {row.server_id}" if row.server_id is not None else ""
