"""A letter about one invoice: the policy's words in the customer's language, what is open below, PDFs that come along.

Which letters there are, and when each is asked for, is the policy's (`policy/invoice.yaml`, `policy/notices.yaml`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from engine.invoicing.invoice import Invoice
from engine.model import Policy
from engine.notices import FieldValue, Written, words_in, write
from jobs.invoices.words import amount_text, grouped
from jobs.letters import forms
from jobs.mail import Attachment
from storage.settings import Settings

PAGE = "/billing"
NOTHING = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class Standing:
    """An issued invoice as it stands when the letter is written, and who is written to."""

    invoice: Invoice
    paid: Decimal
    credited: Decimal
    customer_name: str
    note: Invoice | None = None
    """The credit note that the letter brings, where it brings one."""

    @property
    def open(self) -> Decimal:
        """Return what is still to be paid."""
        return max(self.invoice.total - self.paid - self.credited, NOTHING)

    def amount(self, amount: Decimal) -> str:
        """Write an amount of it with its currency."""
        return f"{self.invoice.currency} {amount_text(amount)}"


def written_letter(
    policy: Policy, intent: str, standing: Standing, settings: Settings, language: str
) -> tuple[Written, forms.Paper]:
    """Return a letter's words in the customer's language, in English where the policy has none, and its paper.

    Raises NoticeIncomplete, and KeyError when the policy has no words for the letter.
    """
    used, _ = words_in(policy.notices[intent], language)
    written = write(policy, intent, _fields(standing, settings), language=used)
    return written, forms.with_facts(written, _facts(standing, written))


def attached(
    standing: Standing, state: str, written: Written, at: datetime, pdf: bytes, fonts: Path | None = None
) -> tuple[Attachment, ...]:
    """Return what comes along: what was issued (`pdf`), and before an invoice the page that the letter names."""
    invoice, issued = standing.invoice, standing.note or standing.invoice
    whole = Attachment(_file(issued, issued.kind), pdf)
    if written.paper is None:
        return (whole,)
    from jobs.invoices.pdf import reminder_pdf  # with its typesetter: seldom needed, and slow to import

    in_its_language = replace(invoice, language=written.language)
    paid, credited = standing.paid, standing.credited
    paper = reminder_pdf(in_its_language, written.paper, paid, at.date(), credited=credited, fonts=fonts)
    return Attachment(_file(invoice, state), paper), whole


def _fields(standing: Standing, settings: Settings) -> dict[str, FieldValue]:
    invoice, note = standing.invoice, standing.note
    return {
        "customer_name": standing.customer_name,
        "invoice_number": invoice.number,
        "invoice_first_on": invoice.first_on,
        "invoice_last_on": invoice.last_on,
        "invoice_issued_on": invoice.issued_on,
        "invoice_due_on": invoice.due_on,
        "invoice_total": standing.amount(invoice.total),
        "invoice_open": standing.amount(standing.open),
        "credit_number": None if note is None else note.number,
        "credit_total": None if note is None else standing.amount(note.total),
        "billing_url": f"{settings.portal_url}{PAGE}",
        "support_email": settings.support_email,
    }


def _facts(standing: Standing, written: Written) -> list[tuple[str, Sequence[str]]]:
    """Return what stands below: what is open and of what, and where it is paid to."""
    invoice, labels = standing.invoice, written.labels
    less = [(labels.paid, standing.paid), (labels.credited, standing.credited)]
    sums = [(labels.total, invoice.total), *((label, amount) for label, amount in less if amount)]
    if len(sums) > 1:
        sums.append((labels.open, standing.open))
    facts: list[tuple[str, Sequence[str]]] = [(label, (standing.amount(amount),)) for label, amount in sums]
    if invoice.iban:
        facts.append((labels.pay_to, (invoice.creditor.name, grouped(invoice.iban))))
    if invoice.reference:
        facts.append((labels.reference, (grouped(invoice.reference),)))
    return facts


def _file(invoice: Invoice, what: str) -> str:
    return f"{what.replace('_', '-')}-{invoice.number}.pdf"
