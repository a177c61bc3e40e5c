"""References are those of the standards: held against another implementation, and against printed examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum import iso11649
from stdnum.ch import esr

from engine.invoicing.reference import creditor_reference, is_iban, is_qr_iban, qr_reference, reference_of

QR_IBAN = "CH44 3199 9123 0008 8901 2"  # of SIX's guidelines
IBAN = "CH58 0079 1123 0008 8901 2"


def test_printed_examples_hold() -> None:
    assert qr_reference("21 00000 00003 13947 14300 0901") == "210000000003139471430009017"
    assert creditor_reference("539007547034") == "RF18539007547034"
    assert is_iban(QR_IBAN)
    assert is_iban(IBAN)
    assert (is_qr_iban(QR_IBAN), is_qr_iban(IBAN)) == (True, False)


@given(st.from_regex(r"\A[A-Z]{0,6}[1-9][0-9]{3}-[0-9]{1,9}\Z"))
def test_references_are_valid_and_of_the_kind_that_the_iban_asks_for(number: str) -> None:
    assert iso11649.is_valid(reference_of(number, IBAN))
    assert esr.is_valid(reference_of(number, QR_IBAN))


@pytest.mark.parametrize("text", ["CH58 0079 1123 0008 8901 3", "CH5800791123000889012X", "CH", "", "DE00", "ÄÖ123"])
def test_text_that_is_no_iban_is_told(text: str) -> None:
    assert not is_iban(text)


def test_qr_reference_of_nothing_but_zeros_is_refused() -> None:
    with pytest.raises(ValueError, match="one of them not 0"):
        qr_reference("0000-0")


@pytest.mark.parametrize("number", ["", "---", "A" * 22])
def test_number_that_makes_no_reference_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match="needs 1 to 21"):
        creditor_reference(number)
