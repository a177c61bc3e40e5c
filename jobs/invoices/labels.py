"""The words on the page of an invoice, beside those of its lines, in each language that invoices are written in.

They are code, not policy: an invoice is what it was when it was issued, also where nobody has drawn it since.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from engine.invoicing.invoice import Invoice, InvoiceKind
from engine.invoicing.texts import TEXTS, written_in
from engine.invoicing.vat import NoVat, why_no_vat
from engine.languages import ENGLISH


class Untaxed(NamedTuple):
    """What stands where a rate would."""

    name: str
    """What it is called among the sums."""
    reason: str
    """Why there is no VAT, with the law that says so."""


@dataclass(frozen=True, slots=True)
class Labels:
    """The words of one language."""

    locale: str
    titles: Mapping[InvoiceKind, str]
    preview: str
    reminder: str
    """The heading of a reminder."""
    to: str
    number: str
    corrects: str
    date: str
    due: str
    was_due: str
    of: str
    period: str
    until: str
    customer: str
    days: str
    quantity: str
    price: str
    net: str
    vat: str
    no_vat: Mapping[NoVat, Untaxed]
    total: Mapping[InvoiceKind, str]
    paid: str
    credited: str
    still_open: str
    pay_by: str
    account: str
    reference: str
    page: str
    pages: str
    units: Mapping[str, tuple[str, str]]
    """Of each unit, how one and how several are called; what is not here needs no name."""


LABELS: Final[Mapping[str, Labels]] = {
    ENGLISH: Labels(
        locale="en_CH",
        titles={InvoiceKind.INVOICE: "Invoice", InvoiceKind.CREDIT_NOTE: "Credit note"},
        preview="preview",
        reminder="{title}: invoice {number}",
        to="To",
        number="Number",
        corrects="Corrects invoice",
        date="Date",
        due="Due",
        was_due="Was due",
        of="Of",
        period="Period",
        until="to",
        customer="Customer",
        days="Days",
        quantity="Quantity",
        price="Price",
        net="Net",
        vat="VAT {percent} % on {net}",
        no_vat={
            NoVat.ABROAD: Untaxed(
                "No Swiss VAT",
                "Not subject to VAT: the service is supplied abroad, where its recipient is (Swiss VAT act, art. 8).",
            ),
            NoVat.UNREGISTERED: Untaxed(
                "No VAT",
                "Not subject to VAT: the sender is not in the register of VAT (Swiss VAT act, art. 10).",
            ),
        },
        total={InvoiceKind.INVOICE: "Total due", InvoiceKind.CREDIT_NOTE: "Total credited"},
        paid="Paid so far",
        credited="Credited",
        still_open="Still to be paid",
        pay_by="Please pay by {day}.",
        account="Account {}.",
        reference="Reference {}.",
        page="page",
        pages="of",
        units={
            "day": ("day", "days"),
            "month": ("month", "months"),
            "message": ("message", "messages"),
            "unit": ("unit", "units"),
        },
    ),
    "de": Labels(
        locale="de_CH",
        titles={InvoiceKind.INVOICE: "Rechnung", InvoiceKind.CREDIT_NOTE: "Gutschrift"},
        preview="Vorschau",
        reminder="{title}: Rechnung {number}",
        to="An",
        number="Nummer",
        corrects="Zur Rechnung",
        date="Datum",
        due="Zahlbar bis",
        was_due="War zahlbar bis",
        of="Vom",
        period="Zeitraum",
        until="bis",
        customer="Kunde",
        days="Tage",
        quantity="Menge",
        price="Preis",
        net="Netto",
        vat="MWST {percent} % auf {net}",
        no_vat={
            NoVat.ABROAD: Untaxed(
                "Keine Schweizer MWST",
                "Nicht steuerbar: Die Leistung wird im Ausland erbracht, wo ihr Empfänger ist (Art. 8 MWSTG).",
            ),
            NoVat.UNREGISTERED: Untaxed(
                "Keine MWST",
                "Nicht steuerbar: Der Absender ist nicht im MWST-Register eingetragen (Art. 10 MWSTG).",
            ),
        },
        total={InvoiceKind.INVOICE: "Zu bezahlen", InvoiceKind.CREDIT_NOTE: "Gutgeschrieben"},
        paid="Bisher bezahlt",
        credited="Gutgeschrieben",
        still_open="Noch zu bezahlen",
        pay_by="Bitte bezahlen Sie bis {day}.",
        account="Konto {}.",
        reference="Referenz {}.",
        page="Seite",
        pages="von",
        units={
            "day": ("Tag", "Tage"),
            "month": ("Monat", "Monate"),
            "message": ("Nachricht", "Nachrichten"),
            "unit": ("Einheit", "Einheiten"),
        },
    ),
}
assert LABELS.keys() == TEXTS.keys(), "a page has one language"


def labels_of(language: str) -> Labels:
    """Return the words for who reads this language; English where there are no others."""
    return LABELS[written_in(language)]


def untaxed(invoice: Invoice) -> Untaxed | None:
    """Return what papers, pages, programs and commands say in place of a rate; None: the invoice has a rate."""
    without = why_no_vat(invoice)
    return None if without is None else labels_of(invoice.language).no_vat[without]
