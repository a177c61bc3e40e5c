"""Banks' files: each payment once, from every version, and a wrong file refused whole with its lines."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.invoices.bank_file import BankFileWrong, BankPayment, read_bank_file
from tests.jobs.invoices.papers import ACCOUNT, QR_ACCOUNT, QR_REFERENCE, REFERENCE, bank_xml, entry_xml, payment_xml

REVERSED = "<RvslInd>true</RvslInd>"


def only_payment(content: bytes) -> BankPayment:
    (payment,) = read_bank_file(content).payments
    return payment


def faults_of(content: bytes) -> tuple[str, ...]:
    with pytest.raises(BankFileWrong) as told:
        read_bank_file(content)
    return told.value.faults


VERSIONS = ("camt.053.001.02", "camt.053.001.04", "camt.053.001.08", "camt.054.001.04", "camt.054.001.08")


@pytest.mark.parametrize("version", VERSIONS)
def test_a_payment_is_read_from_each_version(version: str) -> None:
    payment = only_payment(bank_xml([entry_xml(payment_xml())], version=version))
    assert (payment.account, payment.amount, payment.currency) == (ACCOUNT, Decimal("84.32"), "CHF")
    assert (payment.booked_on, payment.reference) == (date(2026, 11, 20), REFERENCE)
    assert payment.payer == "Müller & Söhne GmbH"


def test_the_second_versions_way_to_name_amount_and_payer_is_read() -> None:
    old = (
        '<TxDtls><AmtDtls><TxAmt><Amt Ccy="CHF">42.00</Amt></TxAmt></AmtDtls>'
        "<RltdPties><Dbtr><Nm>Ada</Nm></Dbtr></RltdPties></TxDtls>"
    )
    file = read_bank_file(bank_xml([entry_xml(old, old.replace("Ada", "Bob"), amount="84.00")]))
    told = [(payment.amount, payment.payer) for payment in file.payments]
    assert told == [(Decimal("42.00"), "Ada"), (Decimal("42.00"), "Bob")]


def test_statement_and_notification_tell_the_same_payment() -> None:
    identities = {only_payment(bank_xml([entry_xml(payment_xml())], version=version)).identity for version in VERSIONS}
    assert len(identities) == 1


def test_two_payments_alike_in_all_but_place_stay_two() -> None:
    twin = entry_xml(payment_xml(own=None))
    assert len({payment.identity for payment in read_bank_file(bank_xml([twin, twin])).payments}) == 2


@pytest.mark.parametrize("more", ["<NtryRef>1</NtryRef>", "<AcctSvcrRef>NOTPROVIDED</AcctSvcrRef>", ""])
def test_what_banks_write_again_each_day_is_no_payments_name(more: str) -> None:
    days = [bank_xml([entry_xml(payment_xml(own=None), more=more)]) for _ in range(2)]
    days[1] = days[1].replace(b"2026-11-20", b"2026-11-21")
    assert len({only_payment(day).identity for day in days}) == 2


def test_payments_that_the_bank_names_as_one_are_several() -> None:
    both = [payment_xml("40.00", own="together"), payment_xml("40.00", own="together")]
    first, second = read_bank_file(bank_xml([entry_xml(*both, amount="80.00")])).payments
    assert first.identity != second.identity
    again = read_bank_file(bank_xml([entry_xml(*both, amount="80.00")], version="camt.053.001.08")).payments
    assert [payment.identity for payment in again] == [first.identity, second.identity]


def test_a_reference_is_read_without_its_blanks() -> None:
    assert only_payment(bank_xml([entry_xml(payment_xml(reference="rf18 5390 0754 7034"))])).reference == REFERENCE


@pytest.mark.parametrize(
    ("more", "beside", "account"),
    [
        (f"<NtryRef>{QR_ACCOUNT}</NtryRef>", "", QR_ACCOUNT),
        ("", f"<CdtrAcct><Id><IBAN>{QR_ACCOUNT}</IBAN></Id></CdtrAcct>", QR_ACCOUNT),
        ("", "", ACCOUNT),
        (f"<NtryRef>{ACCOUNT}</NtryRef>", "", ACCOUNT),
        ("<NtryRef>CH4431999123000889013</NtryRef>", "", ACCOUNT),
    ],
)
def test_a_qr_iban_is_named_beside_the_account_that_it_stands_for(more: str, beside: str, account: str) -> None:
    paid = payment_xml(reference=QR_REFERENCE).replace("</Dbtr>", f"</Dbtr>{beside}")
    payment = only_payment(bank_xml([entry_xml(paid, more=more)]))
    assert (payment.account, payment.reference) == (account, QR_REFERENCE)


def test_payments_to_one_qr_iban_stay_apart_where_the_bank_gives_them_no_reference_of_its_own() -> None:
    entries = [
        entry_xml(payment_xml(amount, QR_REFERENCE, None), amount=amount, more=f"<NtryRef>{QR_ACCOUNT}</NtryRef>")
        for amount in ("84.32", "10.00")
    ]
    assert len({payment.identity for payment in read_bank_file(bank_xml(entries)).payments}) == 2


def test_a_payment_without_reference_or_details_is_still_a_payment() -> None:
    assert only_payment(bank_xml([entry_xml(payment_xml(reference=None))])).reference is None
    assert only_payment(bank_xml([entry_xml()])).payer is None


def test_debits_and_pending_bookings_are_left_out_and_counted() -> None:
    pending = [entry_xml(payment_xml(), way=way, more=REVERSED).replace("BOOK", "PDNG") for way in ("CRDT", "DBIT")]
    entries = [entry_xml(way="DBIT"), entry_xml(way="DBIT", more="<RvslInd>false</RvslInd>"), *pending]
    file = read_bank_file(bank_xml([*entries, entry_xml(payment_xml())]))
    assert (len(file.payments), file.left_out) == (1, 4)


@pytest.mark.parametrize("indicator", [REVERSED, REVERSED.replace("true", "1")])
def test_what_is_taken_back_is_negative_and_names_the_payment_that_the_bank_called_alike(indicator: str) -> None:
    whole = bank_xml([entry_xml(payment_xml()), "\n", entry_xml(payment_xml(), way="DBIT", more=indicator)])
    paid, back = read_bank_file(whole).payments
    assert (paid.amount, paid.reverses, paid.line) == (Decimal("84.32"), None, 1)
    assert (back.amount, back.reverses, back.reference, back.line) == (Decimal("-84.32"), paid.identity, REFERENCE, 2)
    assert back.identity != paid.identity
    again = only_payment(bank_xml([entry_xml(payment_xml(), way="DBIT", more=indicator)], version="camt.053.001.08"))
    assert again.identity == back.identity
    given_back = only_payment(bank_xml([entry_xml(payment_xml(), more=indicator)]))
    assert (given_back.amount, given_back.reverses) == (Decimal("84.32"), paid.identity)


def test_a_collective_booking_is_taken_apart() -> None:
    entry = entry_xml(payment_xml("34.32", own="a"), payment_xml("50.00", own="b"))
    amounts = [payment.amount for payment in read_bank_file(bank_xml([entry])).payments]
    assert amounts == [Decimal("34.32"), Decimal("50.00")]


WRONG = [
    (b"", "it is not XML"),
    (b"<a/>", "expected camt.053 or camt.054, found `a`"),
    (b"\x00\xff" * 40, "it is not XML"),
    (b'<!DOCTYPE a [<!ENTITY x "y">]><Document/>', "document type"),
    (bank_xml([entry_xml(amount="84.321")]), "in cents above zero, found `84.321`"),
    (bank_xml([entry_xml(amount="0.00")]), "above zero"),
    (bank_xml([entry_xml(amount="-1.00")]), "expected an amount with its currency, found `-1.00 CHF`"),
    (bank_xml([entry_xml(amount="1e9")]), "found `1e9 CHF`"),
    (bank_xml([entry_xml().replace('Ccy="CHF"', "")]), "with its currency"),
    (bank_xml([entry_xml().replace("2026-11-20", "2026-02-30")]), "expected a booking date, found `2026-02-30`"),
    (bank_xml([entry_xml().replace("2026-11-20", "0001-01-01")]), "expected a booking date, found `0001-01-01`"),
    (bank_xml([entry_xml(payment_xml("1.00", own="a"), payment_xml("2.00", own="b"))]), "do not add up to 84.32 CHF"),
    (bank_xml([entry_xml(payment_xml()), entry_xml(payment_xml())]), "stands twice"),
    (bank_xml([entry_xml()]).replace(b"IBAN", b"Othr"), "names no IBAN"),
]


@pytest.mark.parametrize(("content", "says"), WRONG)
def test_a_wrong_file_is_refused_whole_with_the_line(content: bytes, says: str) -> None:
    faults = faults_of(content)
    assert any(says in fault for fault in faults), faults
    assert all(fault.startswith("line ") for fault in faults)


def test_all_faults_are_told_at_once_but_never_more_than_twenty() -> None:
    assert len(faults_of(bank_xml([entry_xml(amount="x"), entry_xml(amount="y")]))) == 2
    assert len(faults_of(bank_xml([entry_xml(amount="x")] * 500))) == 20


def test_entities_cost_nothing() -> None:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    assert faults_of(f'<!DOCTYPE a [<!ENTITY l0 "ha">{laughs}]><Document>&l11;</Document>'.encode())


def test_a_file_beyond_the_bound_is_not_parsed() -> None:
    assert "at most" in faults_of(b" " * (20 * 1024 * 1024 + 1))[0]


@given(st.binary(max_size=400), st.integers(0, 600))
def test_no_damage_gives_anything_but_payments_or_faults(damage: bytes, at: int) -> None:
    content = bank_xml([entry_xml(payment_xml())])
    try:
        file = read_bank_file(content[:at] + damage + content[at + len(damage) :])
    except BankFileWrong:
        return
    assert all(payment.amount > 0 or payment.reverses for payment in file.payments)
