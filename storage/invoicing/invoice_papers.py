"""PDFs of invoices and credit notes as they were first drawn; they never change again. Who draws is not known here."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import Connection, text

FIND: Final = text("SELECT pdf FROM invoice_papers WHERE invoice_id = :id")
ADD: Final = text("INSERT INTO invoice_papers (invoice_id, pdf) VALUES (:id, :pdf) ON CONFLICT (invoice_id) DO NOTHING")


def find(conn: Connection, invoice_id: UUID) -> bytes | None:
    """Return the PDF that is kept of an invoice or credit note; None: nobody has drawn it yet."""
    kept: bytes | None = conn.execute(FIND, {"id": invoice_id}).scalar_one_or_none()
    return kept


def keep(conn: Connection, invoice_id: UUID, pdf: bytes) -> bytes:
    """Keep a PDF unless one is kept already; return the one that is, whoever drew it.

    Of two that draw at once the second waits for the first, and gets what that one kept.
    """
    conn.execute(ADD, {"id": invoice_id, "pdf": pdf})
    kept: bytes = conn.execute(FIND, {"id": invoice_id}).scalar_one()
    return kept
