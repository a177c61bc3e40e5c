"""The payment part of a Swiss invoice: receipt and QR code, by SIX's Implementation Guidelines of the QR-bill (2.3)."""

from __future__ import annotations

import io
import unicodedata
from contextlib import suppress

from qrbill import QRBill

from engine.invoicing.invoice import Invoice, InvoiceKind, Party
from engine.invoicing.texts import written_in
from jobs.invoices.labels import labels_of

CURRENCIES = ("CHF", "EUR")
COUNTRIES = ("CH", "LI")
"""Of the account that is paid to; other accounts have no payment part."""
MOST_CHARACTERS = {"name": 70, "street": 70, "house_num": 16, "pcode": 16, "city": 35}
"""Guidelines 4.2.2, structured addresses."""


class PaymentPartWrong(Exception):
    """The creditor's account, reference or address cannot be printed as a QR-bill; the message says which and why."""


def has_payment_part(invoice: Invoice) -> bool:
    """Say whether money can be asked for with a QR-bill: an issued invoice in CHF or EUR to a Swiss account."""
    asks = invoice.kind is InvoiceKind.INVOICE and invoice.number is not None and invoice.total > 0
    return asks and invoice.currency in CURRENCIES and (invoice.iban or "").startswith(COUNTRIES)


def qr_text(invoice: Invoice) -> str:
    """Return what the QR code says, line by line. Raises PaymentPartWrong."""
    text: str = _bill_of(invoice).qr_data()
    return text


def payment_part(invoice: Invoice, typeface: str) -> bytes:
    """Draw the payment part as SVG, 210 × 106 mm, in a typeface. Raises PaymentPartWrong."""
    drawn, bill = io.StringIO(), _bill_of(invoice)
    bill.font_family = typeface
    bill.as_svg(drawn)
    return drawn.getvalue().encode()


def _bill_of(invoice: Invoice) -> QRBill:
    given = {
        "account": invoice.iban,
        "creditor": _address(invoice.creditor),
        "amount": invoice.total,
        "currency": invoice.currency,
        "reference_number": invoice.reference,
        "additional_information": f"{labels_of(invoice.language).titles[InvoiceKind.INVOICE]} {invoice.number}",
        "language": written_in(invoice.language),
    }
    if _is_whole(invoice.debtor):
        with suppress(ValueError):  # such as a country that is none: it is not the debtor's address that is paid to
            return QRBill(**given, debtor=_address(invoice.debtor))
    try:
        return QRBill(**given)
    except ValueError as wrong:
        raise PaymentPartWrong(f"invoice `{invoice.number}`: {str(wrong)[:1].lower()}{str(wrong)[1:]}") from None


def _is_whole(party: Party) -> bool:
    """Say whether an address can be printed; without one the payer writes theirs into the field that is left blank."""
    return all(part.strip() for part in (party.name, party.postal_code, party.town, party.country))


def _address(party: Party) -> dict[str, str]:
    """Return an address as the QR code can hold it: a payment survives a cut address."""
    parts = {
        "name": party.name,
        "street": party.street,
        "house_num": party.house_number,
        "pcode": party.postal_code,
        "city": party.town,
    }
    cut = {key: _latin(text)[: MOST_CHARACTERS[key]].strip() for key, text in parts.items()}
    return {**cut, "country": party.country}


def _latin(text: str) -> str:
    """Replace what the guidelines do not allow (4.1.1: Latin up to Extended-A) by its plain letter or a dot."""
    return "".join(_allowed(character) for character in " ".join(text.split()))


def _allowed(character: str) -> str:
    if " " <= character <= "~" or "\u00a1" <= character <= "\u017f" or character in "ȘșȚț€":
        return character
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "."
