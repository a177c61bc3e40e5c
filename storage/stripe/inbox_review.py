"""What a person does about an event that is parked or quarantined: take it again, or set it aside. Both are audited."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, text

from engine.model import Policy
from storage import audit
from storage.audit import AuditNote
from storage.errors import EventSettled, UnknownEvent
from storage.stripe.inbox import take
from storage.stripe.inbox_group import Taken, Terms, read_again

FIND = text("SELECT payload, status, type, reason FROM stripe_events WHERE id = :id")
DISMISS = text(
    "UPDATE stripe_events SET status = 'ignored', reason = :reason "
    "WHERE id = :id AND status IN ('parked', 'quarantined') RETURNING type"
)


def replay(conn: Connection, policy: Policy, event_id: str, *, terms: Terms, by: str, reason: str) -> Taken:
    """Take an event again; return what became of it. Raises UnknownEvent, EventSettled, and as `take` does.

    One whose account is still not known stays as it was, and its status says so.
    """
    row = _unsettled(conn, event_id)
    events = read_again([(row.payload,)])
    taken = take(conn, policy, events, terms=terms)[0] if events else Taken(event_id, "quarantined", row.reason)
    if taken.status == "duplicate":
        taken = Taken(event_id, row.status, row.reason)
    _note(conn, "replay_event", event_id, row.type, by=by, reason=reason, to=taken.status, digest=policy.digest)
    return taken


def dismiss(conn: Connection, event_id: str, *, by: str, reason: str) -> None:
    """Set an event aside for good: it stays in the log, and sent again it is a duplicate. Raises as `replay`."""
    row = _unsettled(conn, event_id)
    given = {"id": event_id, "reason": f"dismissed by {by}: {reason}"}
    if conn.execute(DISMISS, given).first() is None:  # somebody settled it in this moment
        raise EventSettled(event_id, "settled")
    _note(conn, "dismiss_event", event_id, row.type, by=by, reason=reason, to="ignored", digest=None)


def _unsettled(conn: Connection, event_id: str) -> Row[Any]:
    row = conn.execute(FIND, {"id": event_id}).one_or_none()
    if row is None:
        raise UnknownEvent(event_id)
    if row.status not in {"parked", "quarantined"}:
        raise EventSettled(event_id, row.status)
    return row


def _note(
    conn: Connection, action: str, event_id: str, kind: str, *, by: str, reason: str, to: str, digest: str | None
) -> None:
    facts = {"event_id": event_id, "type": kind}
    audit.append(conn, None, [AuditNote("admin", action, by, reason, to=to, facts=facts)], digest)
