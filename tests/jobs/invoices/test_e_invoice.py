"""The XML of e-invoices: valid for another library, exact to the cent, and text whatever names hold."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import facturx
import pytest
from lxml import etree

from engine.invoicing.crediting import credit
from engine.invoicing.invoice import InvoiceKind, LineKind
from jobs.invoices.e_invoice import e_invoice
from jobs.invoices.pdf import pdf_of
from tests.jobs.invoices.papers import creditor, debtor, invoice, line, preview, untaxed

RAM = "{urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100}"


def texts(xml: bytes, tag: str) -> list[str]:
    return [element.text or "" for element in etree.fromstring(xml).iter(f"{RAM}{tag}")]


def test_another_library_finds_the_xml_valid_for_its_profile() -> None:
    usage = line("27.35", kind=LineKind.USAGE, quantity=Decimal(18234), unit="message", unit_price=Decimal("0.00150"))
    assert facturx.xml_check_xsd(e_invoice(invoice(line("29.00"), usage)), flavor="factur-x", level="en16931")


def test_it_says_the_sums_of_the_invoice_to_the_cent() -> None:
    xml = e_invoice(invoice(line("29.00"), line("49.00")))
    assert texts(xml, "LineTotalAmount")[-1] == "78.00"
    assert texts(xml, "TaxTotalAmount") == ["6.32"]
    assert texts(xml, "GrandTotalAmount") == texts(xml, "DuePayableAmount") == ["84.32"]


def test_a_credit_note_names_its_invoice_and_its_own_type() -> None:
    xml = e_invoice(invoice(kind=InvoiceKind.CREDIT_NOTE, number="2026-000043", corrects="2026-000042"))
    assert texts(xml, "TypeCode")[0] == "381"
    assert texts(xml, "IssuerAssignedID") == ["2026-000042"]


def test_a_credit_note_of_a_part_says_what_it_takes_back() -> None:
    whole = invoice(line("29.00"), line("49.00"))
    note = credit(whole, "2026-000043", date(2026, 11, 9), {2: Decimal("9.00")})
    xml = e_invoice(note)
    assert texts(xml, "TypeCode")[0] == "381"
    assert texts(xml, "LineTotalAmount") == ["9.00", "9.00"]
    assert (texts(xml, "TaxTotalAmount"), texts(xml, "GrandTotalAmount")) == (["0.73"], ["9.73"])
    facturx.get_xml_from_pdf(pdf_of(note), check_xsd=True)


def test_a_line_without_tax_at_home_is_zero_rated() -> None:
    xml = e_invoice(untaxed())
    assert set(texts(xml, "CategoryCode")) == {"Z"}
    assert texts(xml, "RateApplicablePercent") == ["0.00", "0.00"]


ABROAD = debtor(country="DE", vat_id="DE123456789")


@pytest.mark.parametrize(
    ("changes", "identifier", "reason"),
    [
        ({"debtor": ABROAD}, "CHE123456788", "supplied abroad"),
        ({"debtor": ABROAD, "language": "de"}, "CHE123456788", "im Ausland erbracht"),
        ({"debtor": ABROAD, "creditor": creditor(vat_id="LI 12345")}, "Gletscher Hosting AG", "supplied abroad"),
        ({"creditor": creditor(vat_id=None)}, "Gletscher Hosting AG", "not in the register of VAT"),
        ({"debtor": ABROAD, "kind": InvoiceKind.CREDIT_NOTE, "corrects": "2026-1"}, "CHE123456788", "supplied abroad"),
    ],
)
def test_what_is_outside_of_the_vat_has_a_reason_and_neither_rate_nor_vat_number(
    changes: dict[str, Any], identifier: str, reason: str
) -> None:
    xml = e_invoice(untaxed(**changes))
    assert texts(xml, "CategoryCode") == ["O", "O"]
    assert texts(xml, "ExemptionReasonCode") == ["VATEX-EU-O"]
    assert reason in texts(xml, "ExemptionReason")[0]
    assert texts(xml, "RateApplicablePercent") == []
    assert b'schemeID="VA"' not in xml
    assert identifier in texts(xml, "ID")
    assert facturx.xml_check_xsd(xml, flavor="factur-x", level="en16931")


def test_the_same_invoice_gives_the_same_bytes() -> None:
    assert e_invoice(invoice()) == e_invoice(invoice())


def test_names_are_text_whatever_they_hold() -> None:
    xml = e_invoice(invoice(creditor=creditor(name='<script>&"]]>')))
    assert '<script>&"]]>' in texts(xml, "Name")


def test_a_preview_is_no_document() -> None:
    with pytest.raises(ValueError, match="issue it first"):
        e_invoice(preview())


def test_a_leap_day_is_written_as_it_is() -> None:
    xml = e_invoice(invoice(issued_on=date(2028, 2, 29)))
    assert b">20280229<" in xml
