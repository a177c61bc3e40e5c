"""What people do to an invoice or to how an organisation is billed, into the audit of the accounts concerned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Value
from storage import audit
from storage.audit import AuditNote

ACCOUNTS: Final = text("SELECT account_id FROM invoice_accounts WHERE invoice_id = :id ORDER BY account_id")
ALL: Final = text("SELECT id FROM accounts WHERE customer_id = :id ORDER BY id")


def note(conn: Connection, invoice_id: UUID, action: str, *, by: str, reason: str, facts: Mapping[str, Value]) -> None:
    """Write down what is about to be done to an invoice, and why; one that bills no account yet, in the common chain.

    INVARIANT: before the invoice is locked, for accounts are locked here, and every decision locks them first.
    """
    _append(conn, list(conn.execute(ACCOUNTS, {"id": invoice_id}).scalars()), action, by, reason, facts)


def note_organisation(
    conn: Connection, customer_id: UUID, action: str, *, by: str, reason: str, facts: Mapping[str, Value]
) -> None:
    """Write down what is about to be done to how an organisation is billed, as `note` does of an invoice."""
    named = {"customer": str(customer_id), **facts}
    _append(conn, list(conn.execute(ALL, {"id": customer_id}).scalars()), action, by, reason, named)


def _append(
    conn: Connection, accounts: list[UUID], action: str, by: str, reason: str, facts: Mapping[str, Value]
) -> None:
    said = AuditNote("admin", action, by, reason, facts=facts)
    chains: list[UUID | None] = [*accounts]
    for account_id in chains or [None]:
        audit.append(conn, account_id, [said])
