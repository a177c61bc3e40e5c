"""What customers are told of their invoices: the outbox of invoices, reminders and credit notes, each at most once.

Asked for by the invoice's own machine (`storage.ledger_invoices`); what becomes of it is told back to that machine. The
letter with a credit note, which has no life of its own, is asked for when that is issued.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.effects import CREDIT_NOTE
from engine.model import Policy
from storage import clock, policies
from storage.alerts import raise_alert
from storage.ledger_invoices import InvoiceMoved, move_invoice

LOST_AFTER_SECONDS: Final = 600.0

TAKE: Final = text(
    "UPDATE invoice_reminders SET status = 'sending', tries = tries + 1, claimed_at = clock_timestamp() WHERE id = ("
    "SELECT id FROM invoice_reminders WHERE status = 'open' "
    "AND (not_before IS NULL OR not_before <= clock_timestamp()) "
    "ORDER BY asked_at, id LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING id, invoice_id, intent, state, round, tries"
)
ASK: Final = text(
    "INSERT INTO invoice_reminders (invoice_id, intent, state, round, asked_at) "
    "VALUES (:id, :intent, 'credit_note', 1, :now) ON CONFLICT DO NOTHING"
)
# Of a credit note `n`, `i` is the invoice that it takes back; any other letter is about the invoice itself.
WHAT: Final = text(
    "SELECT n.number, i.document, i.customer_id, c.name, coalesce(o.email, c.email) AS email, "
    "c.language, i.total, CASE WHEN n.corrects IS NOT NULL THEN n.document END AS note, "
    "NOT EXISTS (SELECT FROM invoice_reminders o WHERE o.invoice_id = n.id AND o.id <> :letter) AS is_first, "
    "(SELECT coalesce(sum(p.amount), 0) FROM invoice_payments p WHERE p.invoice_id = i.id) AS paid, "
    "(SELECT coalesce(sum(k.total), 0) FROM invoices k WHERE k.corrects = i.id) AS credited, s.state "
    "FROM invoices n JOIN invoices i ON i.id = coalesce(n.corrects, n.id) JOIN customers c ON c.id = i.customer_id "
    "LEFT JOIN invoice_states s ON s.invoice_id = i.id "
    "LEFT JOIN org_billing_config o ON o.customer_id = i.customer_id WHERE n.id = :id"
)
END: Final = text(
    "UPDATE invoice_reminders SET status = :status, outcome = :outcome, ended_at = :now "
    "WHERE id = :id AND status = 'sending'"
)
LOST: Final = text(
    "UPDATE invoice_reminders SET status = 'unknown', ended_at = :now, "
    "outcome = 'whoever sent it died in the middle; it may have left' "
    "WHERE status = 'sending' AND claimed_at < clock_timestamp() - make_interval(secs => :seconds) "
    "RETURNING id, invoice_id, tries"
)


@dataclass(frozen=True, slots=True)
class Reminder:
    """One letter about an invoice, taken to be sent: who gets it, and how the invoice stands at that moment."""

    id: UUID
    invoice_id: UUID
    """Of what it brings: of the invoice, or of the credit note."""
    intent: str
    state: str
    round: int
    tries: int
    number: str
    document: str
    """Of the invoice that it is about."""
    note: str | None
    """The document of the credit note that it brings; None: it is about the invoice alone."""
    customer_id: UUID
    to_name: str
    to_email: str
    language: str
    """That the customer reads letters in."""
    paid: Decimal
    credited: Decimal
    """What credit notes took back of it."""
    wanted: bool
    """Whether it is still true: the invoice asks for money, and stands where it was asked for or has no other letter:
    the first one brings it, however late. A credit note always stays true."""
    taken_at: datetime

    @property
    def key(self) -> str:
        """Name it: the same letter has the same name, whoever sends it."""
        return f"{self.intent}:{self.invoice_id}:{self.state}:{self.round}"


def ask_for_credit_note(conn: Connection, note_id: UUID) -> None:
    """Ask for the letter with a credit note that is issued just now; where the policy in force has none, nothing."""
    if policies.digest_in_force(conn) is not None and CREDIT_NOTE in policies.in_force(conn).notices:
        conn.execute(ASK, {"id": note_id, "intent": CREDIT_NOTE, "now": clock.now(conn)})


def take(conn: Connection) -> Reminder | None:
    """Take the oldest that may go now and note it as being sent: if this process dies, it is unknown, not repeated."""
    row = conn.execute(TAKE).one_or_none()
    if row is None:
        return None
    what = conn.execute(WHAT, {"id": row.invoice_id, "letter": row.id}).one()
    asks = (what.state == row.state or what.is_first) and what.paid + what.credited < what.total
    return Reminder(
        id=row.id,
        invoice_id=row.invoice_id,
        intent=row.intent,
        state=row.state,
        round=row.round,
        tries=row.tries,
        number=what.number,
        document=what.document,
        note=what.note,
        customer_id=what.customer_id,
        to_name=what.name,
        to_email=what.email,
        language=what.language,
        paid=what.paid,
        credited=what.credited,
        wanted=what.note is not None or asks,
        taken_at=clock.now(conn),
    )


def keep(conn: Connection, reminder: Reminder, paper: bytes) -> None:
    """Keep the PDF that is about to be sent: what is open changes, and what was told of it does not."""
    given = {"id": reminder.id, "paper": paper}
    conn.execute(text("UPDATE invoice_reminders SET paper = :paper WHERE id = :id AND status = 'sending'"), given)


def sent(conn: Connection, policy: Policy, reminder: Reminder, proof: str) -> InvoiceMoved | None:
    """Note that it left, and let its invoice go on from there."""
    if not _end(conn, reminder, "sent", proof) or reminder.note is not None:
        return None
    return move_invoice(conn, policy, reminder.invoice_id, "reminder_sent", actor="mail")


def dropped(conn: Connection, reminder: Reminder, why: str) -> None:
    """Note that it is not wanted any more and did not leave."""
    _end(conn, reminder, "dropped", why)


def failed(conn: Connection, reminder: Reminder, why: str, *, may_have_left: bool) -> None:
    """Note that it did not leave, or may have; the invoice stays where it is, and a person is told."""
    _end(conn, reminder, "unknown" if may_have_left else "failed", why)
    _tell(conn, reminder.id, reminder.tries, reminder.number, why)


def postpone(conn: Connection, reminder: Reminder, after_seconds: float, why: str) -> None:
    """Note that it surely did not leave, and is to be tried again."""
    later = text(
        "UPDATE invoice_reminders SET status = 'open', outcome = :why, "
        "not_before = clock_timestamp() + make_interval(secs => :after) WHERE id = :id AND status = 'sending'"
    )
    conn.execute(later, {"id": reminder.id, "why": why, "after": after_seconds})


def give_up_lost(conn: Connection) -> int:
    """Call those unknown whose sender was lost in the middle, and tell a person; return how many."""
    lost = conn.execute(LOST, {"seconds": LOST_AFTER_SECONDS, "now": clock.now(conn)}).all()
    for row in lost:
        number = conn.execute(text("SELECT number FROM invoices WHERE id = :id"), {"id": row.invoice_id}).scalar_one()
        _tell(conn, row.id, row.tries, number, "whoever sent it died in the middle; it may have left")
    return len(lost)


def _end(conn: Connection, reminder: Reminder, status: str, outcome: str) -> bool:
    given = {"id": reminder.id, "status": status, "outcome": outcome, "now": clock.now(conn)}
    return bool(conn.execute(END, given).rowcount)


def _tell(conn: Connection, reminder_id: UUID, tries: int, number: str, why: str) -> None:
    words = f"a letter about {number} did not surely leave, and those after it wait for a person: {why}"
    raise_alert(conn, "notice_unknown", words, key=f"notice_unknown:{reminder_id}:{tries}")
