"""The paper of an invoice or credit note: drawn when somebody first wants it, and the same bytes for all ever after."""

from __future__ import annotations

from uuid import UUID

from engine.invoicing.invoice import Invoice
from jobs.invoices.creditor import fonts_of
from storage.database import Database
from storage.invoicing import invoice_papers
from storage.settings import Settings


def paper_of(database: Database, settings: Settings, invoice_id: UUID, invoice: Invoice) -> bytes:
    """Return the PDF that is kept of what was issued, drawing and keeping it where there is none.

    It is drawn outside any transaction, which takes a while: of two that do so at once, both return the one that was
    kept. Raises PaymentPartWrong as `jobs.invoices.pdf.pdf_of` does.
    """
    with database.begin() as conn:
        kept = invoice_papers.find(conn, invoice_id)
    if kept is not None:
        return kept
    from jobs.invoices.pdf import pdf_of  # with its typesetter: seldom needed, and slow to import

    drawn = pdf_of(invoice, fonts_of(settings))
    with database.begin() as conn:
        return invoice_papers.keep(conn, invoice_id, drawn)
