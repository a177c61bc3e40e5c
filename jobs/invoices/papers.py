"""The paper of an invoice or credit note: drawn when somebody first wants it, and the same bytes for all ever after."""

from __future__ import annotations

from uuid import UUID

from engine.invoicing.invoice import Invoice
from jobs.invoices.creditor import fonts_of
from jobs.invoices.drawing import TURNS, Turns
from storage.database import Database
from storage.invoicing import invoice_papers
from storage.settings import Settings


def paper_of(database: Database, settings: Settings, invoice_id: UUID, invoice: Invoice, turns: Turns = TURNS) -> bytes:
    """Return the PDF that is kept of what was issued, drawing and keeping it where there is none.

    It is drawn outside any transaction, which takes a while: of two processes that do so at once, both return the one
    that was kept. Raises DrawingBusy, and PaymentPartWrong as `jobs.invoices.pdf.pdf_of` does.
    """
    kept = _kept(database, invoice_id)
    if kept is not None:
        return kept
    with turns.take():
        kept = _kept(database, invoice_id)  # by whom this one has waited for
        if kept is not None:
            return kept
        drawn = _drawn(invoice, settings)
        with database.begin() as conn:
            return invoice_papers.keep(conn, invoice_id, drawn)


def preview_paper(settings: Settings, preview: Invoice, turns: Turns = TURNS) -> bytes:
    """Return a preview's PDF, drawn for this once. Raises DrawingBusy."""
    with turns.take():
        return _drawn(preview, settings)


def _kept(database: Database, invoice_id: UUID) -> bytes | None:
    with database.begin() as conn:
        return invoice_papers.find(conn, invoice_id)


def _drawn(invoice: Invoice, settings: Settings) -> bytes:
    from jobs.invoices.pdf import pdf_of  # with its typesetter: seldom needed, and slow to import

    return pdf_of(invoice, fonts_of(settings))
