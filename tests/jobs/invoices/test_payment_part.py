"""The payment part: what the QR code says, and what no bank would take."""

from __future__ import annotations

from decimal import Decimal

import pytest

from engine.invoicing.invoice import InvoiceKind
from jobs.invoices.payment_part import PaymentPartWrong, has_payment_part, qr_text
from tests.jobs.invoices.papers import ACCOUNT, QR_ACCOUNT, QR_REFERENCE, creditor, debtor, invoice, preview


def test_the_code_says_account_amount_parties_and_reference_in_the_order_of_the_standard() -> None:
    lines = qr_text(invoice()).split("\r\n")
    assert lines[:4] == ["SPC", "0200", "1", ACCOUNT]
    assert lines[4:11] == ["S", "Gletscher Hosting AG", "Bahnhofstrasse", "12a", "8001", "Zürich", "CH"]
    assert lines[18:20] == ["84.32", "CHF"]
    assert lines[20:27] == ["S", "Müller & Söhne GmbH", "Rue du Marché", "5", "1204", "Genève", "CH"]
    assert lines[27:] == ["SCOR", "RF18539007547034", "Invoice 2026-000042", "EPD"]


def test_a_qr_account_takes_a_qr_reference() -> None:
    assert qr_text(invoice(iban=QR_ACCOUNT, reference=QR_REFERENCE)).split("\r\n")[27] == "QRR"


def test_a_payers_country_that_is_none_leaves_the_field_for_their_address_blank() -> None:
    assert qr_text(invoice(debtor=debtor(country="XX"))) == qr_text(invoice(debtor=debtor(town="")))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"iban": "CH0000000000000000000"}, "IBAN is not valid"),
        ({"iban": QR_ACCOUNT}, "QR-IBAN requires a QRR reference"),
        ({"reference": QR_REFERENCE}, "only allowed for a QR-IBAN"),
        ({"reference": "RF00539007547034"}, "reference number is invalid"),
        ({"creditor": creditor(country="XX")}, "country"),
    ],
)
def test_what_no_bank_would_take_is_refused_with_the_invoice_named(changes: dict[str, object], says: str) -> None:
    with pytest.raises(PaymentPartWrong, match=f"^invoice `2026-000042`: .*{says}"):
        qr_text(invoice(**changes))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("x" * 10_000, "x" * 70),
        ("two\r\nlines\r\nEPD", "two lines EPD"),
        ("Ǆ株式会社 ok", "DZ.... ok"),
        ("Łódź ñ ß", "Łódź ñ ß"),
    ],
)
def test_names_cannot_break_out_of_their_line(name: str, told: str) -> None:
    lines = qr_text(invoice(debtor=debtor(name=name))).split("\r\n")
    assert lines[21] == told
    assert len(lines) == 31


@pytest.mark.parametrize(
    ("changes", "has"),
    [
        ({}, True),
        ({"currency": "EUR"}, True),
        ({"currency": "USD"}, False),
        ({"iban": None}, False),
        ({"iban": "DE89370400440532013000"}, False),
        ({"total": Decimal("0.00")}, False),
        ({"kind": InvoiceKind.CREDIT_NOTE}, False),
    ],
)
def test_only_what_can_be_paid_by_it_has_a_payment_part(changes: dict[str, object], has: bool) -> None:
    assert has_payment_part(invoice(**changes)) is has


def test_a_preview_cannot_be_paid() -> None:
    assert not has_payment_part(preview())
