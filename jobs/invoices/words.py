"""What a letter about an invoice says. Which letters there are, and when, is the policy's (`policy/invoice.yaml`)."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from babel.dates import format_date
from babel.numbers import format_decimal

from engine.invoicing.invoice import Invoice

LOCALE = "en_CH"
AMOUNT_FORMAT = "#,##0.00"


def amount_text(amount: Decimal) -> str:
    """Write an amount as the Swiss do: 12’345.60."""
    return format_decimal(amount, AMOUNT_FORMAT, LOCALE)


def day_text(day: date | None) -> str:
    """Write a day out; nothing for none."""
    return "" if day is None else format_date(day, "d MMMM y", LOCALE)


def grouped(code: str) -> str:
    """Write an account or reference in groups of four."""
    return " ".join(code[start : start + 4] for start in range(0, len(code), 4))


def title_of(state: str) -> str:
    """Name a reminder by the state of its invoice: `first_reminder` is a first reminder."""
    return state.replace("_", " ").capitalize()


def invoice_letter(invoice: Invoice, page: str) -> tuple[str, str]:
    """Return subject and text of the letter that brings an invoice. page: where its customer finds it."""
    total = f"{invoice.currency} {amount_text(invoice.total)}"
    period = f"{day_text(invoice.first_on)} to {day_text(invoice.last_on)}"
    return (
        f"Invoice {invoice.number}: {total}, due {day_text(invoice.due_on)}",
        (
            f"Here is invoice {invoice.number} for {period}: {total}, payable by {day_text(invoice.due_on)}. "
            "It is attached as a PDF, with the e-invoice for accounting programs inside.\n\n"
            f"{_how_to_pay(invoice)}\n\nAll your invoices:\n\n{page}\n"
        ),
    )


def reminder_letter(invoice: Invoice, state: str, paid: Decimal, page: str) -> tuple[str, str]:
    """Return subject and text of a reminder: what is open, since when, and what follows if it stays so."""
    open_ = f"{invoice.currency} {amount_text(invoice.total - paid)}"
    part = f" Of {invoice.currency} {amount_text(invoice.total)} you have paid {amount_text(paid)}." if paid else ""
    return (
        f"{title_of(state)}: invoice {invoice.number}, {open_} open",
        (
            f"Invoice {invoice.number} was payable by {day_text(invoice.due_on)}, and {open_} is still open.{part}\n\n"
            f"{_what_follows(state)}\n\n{_how_to_pay(invoice)}\n\n"
            "If you have paid in the meantime, thank you: then nothing more is needed.\n\n"
            f"All your invoices:\n\n{page}\n"
        ),
    )


def _what_follows(state: str) -> str:
    if "final" in state:
        return (
            "This is our last reminder. If the invoice stays unpaid, your account becomes overdue: you are then told "
            "step by step what is paused and when, and nothing is deleted without people deciding on it."
        )
    return "Perhaps it was overlooked. Nothing is restricted because of this reminder."


def _how_to_pay(invoice: Invoice) -> str:
    if invoice.iban is None:
        return "How to pay is said on the invoice."
    reference = f", reference {grouped(invoice.reference)}" if invoice.reference else ""
    return f"Please pay to {grouped(invoice.iban)}{reference}."
