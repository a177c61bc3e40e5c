"""What people do to an invoice, into the audit of the accounts that it bills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import Value
from storage import audit
from storage.audit import AuditNote

ACCOUNTS: Final = text("SELECT account_id FROM invoice_accounts WHERE invoice_id = :id ORDER BY account_id")


def note(conn: Connection, invoice_id: UUID, action: str, *, by: str, reason: str, facts: Mapping[str, Value]) -> None:
    """Write down what is about to be done to an invoice, and why; one that bills no account yet, in the common chain.

    INVARIANT: before the invoice is locked, for accounts are locked here, and every decision locks them first.
    """
    said = AuditNote("admin", action, by, reason, facts=facts)
    for account_id in list(conn.execute(ACCOUNTS, {"id": invoice_id}).scalars()) or [None]:
        audit.append(conn, account_id, [said])
