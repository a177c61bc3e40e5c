"""Invoices as PDF: what the page says, the code that banks scan, and the e-invoice that programs find in it."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import facturx
import pypdfium2
import pytest
from pypdf import PdfReader

from engine.invoicing.invoice import Invoice, InvoiceKind, LineKind
from engine.invoicing.texts import written_in
from jobs.invoices.e_invoice import e_invoice
from jobs.invoices.labels import LABELS
from jobs.invoices.payment_part import qr_text
from jobs.invoices.pdf import pdf_of, reminder_pdf
from tests.jobs.invoices.papers import codes, creditor, debtor, invoice, line, preview, untaxed


def words(pdf: bytes) -> list[str]:
    """The text of each page, blanks made one."""
    return [" ".join(page.get_textpage().get_text_range().split()) for page in pypdfium2.PdfDocument(pdf)]


def root_of(pdf: bytes) -> Any:
    """The PDF's catalogue, which its library can only type as an object."""
    return PdfReader(io.BytesIO(pdf)).root_object


def many_lines(number: int) -> Invoice:
    return invoice(*(line("10.00", tenant=f"tenant-{index:03}") for index in range(number)))


def test_the_code_on_the_page_scans_to_what_it_should_say() -> None:
    assert codes(pdf_of(invoice())) == [qr_text(invoice())]


def test_the_page_says_who_owes_what_by_when() -> None:
    (page,) = words(pdf_of(invoice()))
    for text in ("Invoice 2026-000042", "Müller & Söhne GmbH", "2 December 2026", "Total due CHF 84.32", "8.1 %"):
        assert text in page


def test_amounts_are_grouped_as_the_swiss_do() -> None:
    (page,) = words(pdf_of(invoice(line("12345.60"))))
    assert "12’345.60" in page


def test_programs_find_the_same_invoice_inside() -> None:
    pdf = pdf_of(invoice())
    name, xml = facturx.get_xml_from_pdf(pdf, check_xsd=True)
    assert name == "factur-x.xml"
    assert xml == e_invoice(invoice())


def test_the_metadata_declares_pdf_a_and_the_profile_of_the_xml() -> None:
    pdf = pdf_of(invoice())
    assert pdf.startswith(b"%PDF-1.7\n")
    root = root_of(pdf)
    metadata = root["/Metadata"].get_data().decode()
    assert "<pdfaid:part>3</pdfaid:part>" in metadata
    assert "<fx:ConformanceLevel>EN 16931</fx:ConformanceLevel>" in metadata
    assert "Factur-X PDFA Extension Schema" in metadata
    assert pdf.count(b"%%EOF") == 2  # said anew behind what was drawn, which is not written out again
    assert len(PdfReader(io.BytesIO(pdf), strict=True).pages) == 1
    assert root["/AF"][0].get_object()["/AFRelationship"] == "/Alternative"


def test_the_same_invoice_gives_the_same_bytes() -> None:
    assert pdf_of(invoice()) == pdf_of(invoice())


def test_whoever_reads_german_gets_a_german_paper_with_a_german_payment_part() -> None:
    german = invoice(line("29.00", quantity=Decimal(12), unit="day"), language="de")
    pdf = pdf_of(german)
    (page,) = words(pdf)
    for text in (
        "Rechnung 2026-000042",
        "2. Dezember 2026",
        "12 / 31 Tage",
        "MWST 8.1 % auf",
        "Zu bezahlen CHF",
        "Zahlteil",
    ):
        assert text in page
    for text in ("Invoice", "Total", "Payment part", "days"):
        assert text not in page
    assert pdf == pdf_of(german)
    assert codes(pdf) == [qr_text(german)]
    facturx.get_xml_from_pdf(pdf, check_xsd=True)


def test_every_language_has_a_whole_page_and_others_read_english() -> None:
    for language in LABELS:
        for paper in (preview(line("29.00")), invoice(kind=InvoiceKind.CREDIT_NOTE, corrects="2026-000041")):
            assert "None" not in words(pdf_of(replace(paper, language=language)))[0]
    assert [written_in(tag) for tag in ("de", "de-AT", "fr", "en", "x")] == ["de", "de", "en", "en", "en"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"debtor": debtor(country="DE")}, "the service is supplied abroad, where its recipient is"),
        ({"debtor": debtor(country="DE"), "language": "de"}, "Die Leistung wird im Ausland erbracht"),
        ({"creditor": creditor(vat_id=None)}, "the sender is not in the register of VAT"),
        ({"creditor": creditor(vat_id=None), "language": "de"}, "nicht im MWST-Register eingetragen"),
    ],
)
def test_the_page_says_in_words_why_there_is_no_vat(changes: dict[str, Any], says: str) -> None:
    (page,) = words(pdf_of(untaxed(**changes)))
    assert says in page
    assert "%" not in page
    assert "%" in words(pdf_of(untaxed()))[0]  # a rate of zero, by who is in the register, at home


def test_a_preview_says_so_and_cannot_be_paid() -> None:
    pdf = pdf_of(preview())
    assert "PREVIEW" in words(pdf)[0]
    assert codes(pdf) == []
    assert PdfReader(io.BytesIO(pdf)).attachments == {}


def test_a_credit_note_asks_for_no_money() -> None:
    pdf = pdf_of(invoice(kind=InvoiceKind.CREDIT_NOTE, number="2026-000043", corrects="2026-000042", reference=None))
    assert codes(pdf) == []
    (page,) = words(pdf)
    assert "Credit note 2026-000043" in page
    assert "Corrects invoice 2026-000042" in page
    assert "Total credited" in page
    assert "Due" not in page
    assert "Please pay" not in page


def test_a_long_invoice_goes_on_with_the_payment_part_on_its_last_page() -> None:
    pages = words(pdf_of(many_lines(60)))
    assert len(pages) > 2
    assert ["Payment part" in page for page in pages] == [False] * (len(pages) - 1) + [True]
    assert f"page 1 of {len(pages)}" in pages[0]
    assert all(f"tenant-{index:03}" in " ".join(pages) for index in range(60))


def test_no_number_of_lines_prints_into_the_payment_part() -> None:
    for number in (5, 6, 7):
        pdf = pdf_of(many_lines(number))
        last = list(pypdfium2.PdfDocument(pdf))[-1]
        foot = last.get_textpage().get_text_bounded(0, 0, last.get_width(), 296)  # points: 105 mm is 297.6
        assert foot.count("tenant-") == 0, f"{number} lines"
        assert codes(pdf), f"{number} lines"


@pytest.mark.parametrize(("count", "told"), [(20, "20 days"), (10, "10 / 20 days"), (1, "1 / 20 days")])
def test_days_that_cost_nothing_are_told_by_how_many_there_were(count: int, told: str) -> None:
    counted = replace(line("15.81"), first_on=date(2026, 10, 5), last_on=date(2026, 10, 24), unit="day")
    (page,) = words(pdf_of(invoice(replace(counted, quantity=Decimal(count)))))
    assert f"5 Oct – 24 Oct {told}" in page


def test_a_tenants_lines_stand_together_whatever_their_order() -> None:
    mixed = (line("49.00", kind=LineKind.SETUP, text="Setup"), line("1.00", tenant="beta"), line("29.00"))
    (page,) = words(pdf_of(invoice(*mixed)))
    assert page.index("alpha 78.00") < page.index("Setup") < page.index("beta 1.00")


def test_names_are_shown_and_never_obeyed() -> None:
    hostile = '#read("/etc/passwd") $x$ *bold* <script> @everyone\r\n\u202eevil'
    (page,) = words(pdf_of(invoice(line("29.00", tenant=hostile, text=hostile), debtor=debtor(name=hostile))))
    assert page.count('#read("/etc/passwd")') >= 2
    assert "root:" not in page


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Zoë 🎮 GmbH", "Zoë . GmbH"),
        ("北京 1", ".. 1"),
        ("Москва", "Москва"),
        ("A\ufffeB", "A.B"),
        ("𝔘ni\u200d", "Uni"),
        ("שלום", "...."),
        ("\ue000x", ".x"),
    ],
)
def test_a_name_that_the_font_has_not_keeps_no_invoice_from_being_made(name: str, shown: str) -> None:
    named = invoice(line("29.00", tenant=name, text=name), debtor=debtor(name=name), organisation=name)
    (page,) = words(pdf_of(named))
    assert page.count(shown) >= 3
    assert reminder_pdf(named, "First reminder", Decimal(1), date(2026, 12, 9)).startswith(b"%PDF")


def test_ten_thousand_characters_are_cut() -> None:
    pages = words(pdf_of(invoice(line("29.00", text="long " * 2_000, quantity=Decimal("29.5")))))
    assert "…" in " ".join(pages)
    assert len(pages) < 3
