"""Letters about invoices as people look at them: which are stuck, and settling those of which nobody knows the end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Policy
from storage import clock
from storage.gather import World
from storage.invoicing import invoices_audit
from storage.invoicing.errors import LetterSettled, UnknownLetter
from storage.ledger_invoices import InvoiceMoved, move_invoice

STUCK: Final = ("unknown", "failed")
FIND: Final = (
    "SELECT r.id, r.invoice_id, i.number, c.name, r.intent, r.state, r.round, r.status, r.tries, r.asked_at, "
    "r.ended_at, r.outcome, r.paper IS NOT NULL AS has_paper "
    "FROM invoice_reminders r JOIN invoices i ON i.id = r.invoice_id JOIN customers c ON c.id = i.customer_id"
)
NEWEST: Final = text(
    "SELECT s.state = :state AND NOT EXISTS (SELECT FROM invoice_reminders o WHERE o.invoice_id = :invoice "
    "AND o.intent = :intent AND o.state = :state AND o.round > :round) "
    "FROM invoice_states s WHERE s.invoice_id = :invoice"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One letter about an invoice that was asked for, and what became of it."""

    id: UUID
    invoice_id: UUID
    number: str
    organisation: str
    intent: str
    state: str
    round: int
    status: str
    tries: int
    asked_at: datetime
    ended_at: datetime | None
    outcome: str | None
    has_paper: bool
    """Whether it is a reminder whose PDF was kept when it was sent."""

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for a person."""
        return self.status in STUCK


def listed(conn: Connection, *, stuck: bool = False, limit: int = 100) -> list[Asked]:
    """Return letters, newest first; stuck: those that wait for a person, longest first."""
    given: dict[str, Any] = {"limit": limit}
    rest = " ORDER BY r.asked_at DESC, r.id LIMIT :limit"
    if stuck:
        rest = " WHERE r.status IN ('unknown', 'failed') ORDER BY r.asked_at, r.id LIMIT :limit"
    return [Asked(*row) for row in conn.execute(text(FIND + rest), given)]


def of_invoice(conn: Connection, invoice_id: UUID) -> list[Asked]:
    """Return the letters of an invoice, oldest first."""
    find = text(f"{FIND} WHERE r.invoice_id = :id ORDER BY r.asked_at, r.id")
    return [Asked(*row) for row in conn.execute(find, {"id": invoice_id})]


def sent_to(conn: Connection, customer_id: UUID, limit: int) -> list[Asked]:
    """Return the reminders that a customer was sent, newest first."""
    find = f"{FIND} WHERE i.customer_id = :customer AND r.status = 'sent' AND r.paper IS NOT NULL "
    found = conn.execute(
        text(find + "ORDER BY r.asked_at DESC, r.id LIMIT :limit"), {"customer": customer_id, "limit": limit}
    )
    return [Asked(*row) for row in found]


def paper_of(conn: Connection, letter_id: UUID, *, customer_id: UUID | None = None) -> tuple[str, bytes]:
    """Return the name and the PDF of a reminder; of one that this customer was sent, where one is given.

    Raises UnknownLetter, also when it has none.
    """
    find = text(
        "SELECT r.state, i.number, r.paper FROM invoice_reminders r JOIN invoices i ON i.id = r.invoice_id "
        "WHERE r.id = :id AND r.paper IS NOT NULL "
        "AND (CAST(:customer AS uuid) IS NULL OR (i.customer_id = :customer AND r.status = 'sent'))"
    )
    row = conn.execute(find, {"id": letter_id, "customer": customer_id}).one_or_none()
    if row is None:
        raise UnknownLetter(letter_id)
    return f"{row.state.replace('_', '-')}-{row.number}.pdf", row.paper


def count_stuck(conn: Connection) -> int:
    """Count the letters that wait for a person."""
    count = text("SELECT count(*) FROM invoice_reminders WHERE status IN ('unknown', 'failed')")
    found: int = conn.execute(count).scalar_one()
    return found


def state_of(conn: Connection, invoice_id: UUID) -> str | None:
    """Return where an invoice stands in its life; None: that has not begun, or it is a credit note."""
    find = text("SELECT state FROM invoice_states WHERE invoice_id = :id")
    found: str | None = conn.execute(find, {"id": invoice_id}).scalar_one_or_none()
    return found


def resolve(
    conn: Connection,
    policy: Policy,
    letter_id: UUID,
    how: Literal["delivered", "again"],
    *,
    by: str,
    reason: str,
    world: World | None = None,
) -> InvoiceMoved | None:
    """Settle a letter that may not have left, as a person who has looked: it did, or it is sent again.

    One that did leave lets its invoice go on from there, as if that had been known at once, from now on; unless the
    invoice has moved on meanwhile. Raises UnknownLetter, and LetterSettled when it waits for nobody.
    """
    found = conn.execute(text(f"{FIND} WHERE r.id = :id"), {"id": letter_id}).one_or_none()
    if found is None:
        raise UnknownLetter(letter_id)
    letter = Asked(*found)
    facts = {"invoice": letter.number, "letter": f"{letter.intent}:{letter.state}:{letter.round}", "how": how}
    invoices_audit.note(conn, letter.invoice_id, "resolve_reminder", by=by, reason=reason, facts=facts)
    if how == "again":
        change = "status = 'open', not_before = NULL, ended_at = NULL"
    else:
        change = "status = 'sent', ended_at = :now"
    words = f"{by} says that it {'left' if how == 'delivered' else 'is to be sent again'}: {reason}"
    update = text(
        f"UPDATE invoice_reminders SET {change}, outcome = :words WHERE id = :id AND status IN ('unknown', 'failed')"
    )
    given = {"id": letter.id, "words": words} | ({} if how == "again" else {"now": clock.now(conn)})
    if not conn.execute(update, given).rowcount:
        raise LetterSettled(letter.number)
    if how == "again":
        return None
    names = ("intent", "state", "round")
    newest = {"invoice": letter.invoice_id} | {name: getattr(letter, name) for name in names}
    if not conn.execute(NEWEST, newest).scalar_one_or_none():
        return None
    return move_invoice(conn, policy, letter.invoice_id, "reminder_sent", actor=by, world=world)
