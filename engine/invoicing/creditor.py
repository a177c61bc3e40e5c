"""Who invoices are from, and how they are paid: what the operator's invoice file says."""

from __future__ import annotations

from dataclasses import dataclass

from engine.invoicing.invoice import Party


@dataclass(frozen=True, slots=True)
class Creditor:
    """The sender of all invoices of this installation."""

    party: Party
    iban: str
    """Without spaces. A QR-IBAN asks for QR references, any other one for ISO 11649 ones."""
    payment_days: int
    """From the day of issue to the due date, unless an organisation has its own."""
    number_prefix: str = ""
    """What numbers begin with, before the year."""

    def number(self, year: int, count: int) -> str:
        """Return the number of the year's so-manieth invoice."""
        return f"{self.number_prefix}{year}-{count:05d}"
