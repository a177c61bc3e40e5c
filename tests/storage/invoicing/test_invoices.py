"""Invoices: issued once, numbered without a gap, corrected by credit notes alone, paid in any parts."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from engine.invoicing.days import month_of
from engine.invoicing.document import from_document, to_document
from engine.invoicing.invoice import Invoice
from storage import accounts
from storage.errors import ZoneUnknown
from storage.invoicing import invoices, invoices_open, invoices_pay, organisations, prices
from storage.invoicing.errors import (
    AlreadyIssued,
    MonthNotOver,
    NotCreditable,
    PaymentRefused,
    PriceRefused,
    VatNumberMissing,
    ZoneFixed,
)
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_issue import Billing
from storage.invoicing.invoices_open import Sum
from tests.storage.deployment import Deployment, together
from tests.storage.metered import CREDITOR, Books

D = Decimal


@pytest.fixture
def books(deployment: Deployment) -> Books:
    """Return billing with prices."""
    return Books(deployment)


def issue(books: Books, customer: UUID, month: date | None = None) -> Issued:
    """Issue the invoice of a month that has something in it."""
    with books.deployment.begin() as conn:
        made = books.billing.issue(conn, customer, month or books.month, by="test")
    assert made is not None
    return made


def test_month_is_issued_once_and_again_only_after_a_credit_note(books: Books) -> None:
    customer = books.organisation("alpha", payment_days=10)
    first = issue(books, customer)
    assert (first.total, first.net, first.state, first.revision) == (D("52.97"), D("49.00"), "open", 0)
    assert first.number == f"F{first.issued_on.year}-00001"
    assert first.due_on == first.issued_on + timedelta(days=10)
    assert first.invoice.reference == first.reference
    assert first.invoice.debtor.name == "A"
    with pytest.raises(AlreadyIssued, match=first.number):
        issue(books, customer)
    with books.deployment.begin() as conn:
        note = books.billing.credit(conn, first.id, by="test")
    assert (note.invoice.corrects, note.total, note.open, note.reference) == (first.number, D("52.97"), D(0), None)
    for refused, why in ((first, "has done so already"), (note, "it is a credit note itself")):
        with books.deployment.begin() as conn, pytest.raises(NotCreditable, match=why):
            books.billing.credit(conn, refused.id, by="test")
    again = issue(books, customer)
    assert (again.number[-5:], again.revision) == ("00003", 1)
    with books.deployment.begin() as conn:
        assert [x.state for x in invoices.listed(conn, customer_id=customer)] == ["open", "credit_note", "credited"]


def test_zone_that_is_billed_in_is_not_the_one_that_is_read_in_and_stays_once_billed(books: Books) -> None:
    customer = books.organisation("alpha", zone="Europe/Zurich")
    with books.deployment.begin() as conn:
        accounts.live_in(conn, customer, "Pacific/Auckland")
        assert organisations.get(conn, customer).zone == "Europe/Zurich"
        assert organisations.change(conn, customer, {"zone": "America/New_York"}).zone == "America/New_York"
        with pytest.raises(ZoneUnknown), conn.begin_nested():
            organisations.change(conn, customer, {"zone": "right/Europe/Zurich"})
    issue(books, customer)
    with books.deployment.begin() as conn:
        with pytest.raises(ZoneFixed, match="America/New_York"):
            organisations.change(conn, customer, {"zone": "Europe/Zurich"})
        assert organisations.change(conn, customer, {"zone": "America/New_York", "town": "Basel"}).town == "Basel"


def test_credit_note_of_a_part_leaves_the_rest_open_and_the_month_taken(books: Books) -> None:
    customer = books.organisation("alpha")
    first = issue(books, customer)
    with books.deployment.begin() as conn:
        note = books.billing.credit(conn, first.id, by="test", reason="too much", wish={1: D("9.00")})
        there = invoices.get(conn, first.id)
    assert (note.kind, note.net, note.total, note.reason) == ("credit_note", D("9.00"), D("9.73"), "too much")
    assert note.number == f"F{first.issued_on.year}-00002"
    assert (there.open, there.credited, there.credited_by, there.state) == (D("43.24"), D("9.73"), None, "open")
    assert there.document == first.document
    with pytest.raises(AlreadyIssued, match=first.number):
        issue(books, customer)
    for wish, why in (({1: D("40.01")}, "40.00 that is left"), ({2: None}, "has 1 lines"), ({}, "no line was named")):
        with pytest.raises(NotCreditable, match=why), books.deployment.begin() as conn:
            books.billing.credit(conn, first.id, by="test", wish=wish)
    with pytest.raises(PaymentRefused), books.deployment.begin() as conn:
        invoices_pay.pay(conn, first.id, D("43.25"), by="test")
    with books.deployment.begin() as conn:
        rest = books.billing.credit(conn, first.id, by="test")
        there = invoices.get(conn, first.id)
    assert (rest.total, rest.number) == (D("43.24"), f"F{first.issued_on.year}-00003")
    assert (there.open, there.state, there.credited_by) == (D("0.00"), "credited", rest.number)
    assert issue(books, customer).revision == 1


def test_part_credited_and_the_rest_paid_is_paid(books: Books) -> None:
    first = issue(books, books.organisation("alpha"))
    with books.deployment.begin() as conn:
        books.billing.credit(conn, first.id, by="test", wish={1: D("9.00")})
        (asking,) = invoices_open.of_customer(conn, first.customer_id)
        (asked,) = invoices_open.sums(conn)
        paid = invoices_pay.pay(conn, first.id, None, by="test")
        assert invoices_open.of_customer(conn, first.customer_id) == []
    assert (asking.open, asked.open, asked.count) == (D("43.24"), D("43.24"), 1)
    assert (paid.paid, paid.open, paid.state) == (D("43.24"), D("0.00"), "paid")


def test_sums_count_what_is_open_in_each_currency_and_what_is_late_of_it(books: Books) -> None:
    late, part, paid, gone = (issue(books, books.organisation(name)) for name in ("alpha", "beta", "gamma", "delta"))
    with books.deployment.begin() as conn:
        conn.execute(text("ALTER TABLE invoices DISABLE TRIGGER invoices_stay"))
        move = "UPDATE invoices SET due_on = due_on - 60 WHERE id = :id"
        conn.execute(text(move), {"id": late.id})
        conn.execute(text("UPDATE invoices SET currency = 'EUR' WHERE id = :id"), {"id": part.id})
        invoices_pay.pay(conn, part.id, D("2.97"), by="test")
        invoices_pay.pay(conn, paid.id, None, by="test")
        books.billing.credit(conn, gone.id, by="test")
        found = invoices_open.sums(conn)
        (overdue,) = invoices_open.overdue(conn)
        assert invoices_open.overdue(conn, limit=0) == []
    assert found == [
        Sum("CHF", 1, D("52.97"), 1, D("52.97")),
        Sum("EUR", 1, D("50.00"), 0, D(0)),
    ]
    assert (overdue.number, overdue.open, overdue.state) == (late.number, D("52.97"), "overdue")


def test_overdue_ones_are_found_in_one_pass_over_payments_and_not_invoice_by_invoice(books: Books) -> None:
    organisations = [books.organisation(f"tenant-{number}") for number in range(8)]
    made = [issue(books, each) for each in organisations]
    with books.deployment.begin() as conn:
        conn.execute(text("ALTER TABLE invoices DISABLE TRIGGER invoices_stay"))
        conn.execute(
            text("UPDATE invoices SET due_on = due_on - 60 WHERE number = :number"), {"number": made[0].number}
        )
        (row,) = conn.execute(text(f"EXPLAIN (ANALYZE, FORMAT JSON) {invoices_open.OVERDUE.text}"), {"limit": 50}).one()
    scans = [each for each in nodes(row[0]["Plan"]) if each.get("Relation Name") == "invoice_payments"]
    assert len(scans) >= 2
    assert max(each["Actual Loops"] for each in scans) == 1


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", []):
        yield from nodes(each)


def test_credit_notes_of_an_invoice_are_found_by_their_index(books: Books) -> None:
    with books.deployment.begin() as conn:
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(conn.execute(text(f"EXPLAIN {invoices.FIND} WHERE i.number = 'F2030-1'")).scalars())
    assert plan.count("invoices_corrects") == 3
    assert "Seq Scan on invoices" not in plan


def test_many_that_credit_at_once_take_back_no_more_than_there_is(books: Books) -> None:
    first = issue(books, books.organisation("alpha"))

    def part(_: int) -> bool:
        try:
            with books.deployment.begin() as conn:
                Billing(CREDITOR).credit(conn, first.id, by="test", wish={1: D("20.00")})
        except NotCreditable:
            return False
        return True

    assert sorted(together(5, part)) == [False, False, False, True, True]
    found = [row["number"] for row in books.deployment.rows("SELECT number FROM invoices ORDER BY number")]
    assert found == [f"F{first.issued_on.year}-0000{at}" for at in (1, 2, 3)]
    with pytest.raises(IntegrityError, match="is left of its invoice"), books.deployment.begin() as conn:
        conn.execute(
            text(
                "INSERT INTO invoices (id, customer_id, kind, number, corrects, first_on, last_on, issued_on, due_on, "
                "currency, net, vat, total, document, issued_at, issued_by) SELECT gen_random_uuid(), customer_id, "
                "'credit_note', 'X', id, first_on, last_on, issued_on, due_on, currency, 0, 99, 99, '', now(), '' "
                "FROM invoices WHERE id = :id"
            ),
            {"id": first.id},
        )


def test_who_has_no_vat_number_charges_no_vat(books: Books) -> None:
    small = Billing(replace(CREDITOR, party=replace(CREDITOR.party, vat_id=None)))
    at_home, abroad = books.organisation("alpha"), books.organisation("beta", country="DE")
    with books.deployment.begin() as conn:
        with pytest.raises(VatNumberMissing, match="set the VAT rate to 0"):
            small.issue(conn, at_home, books.month, by="test")
        made = small.issue(conn, abroad, books.month, by="test")
    assert made is not None
    assert (made.vat, made.number[-5:]) == (D("0.00"), "00001")


def test_invoice_is_in_the_language_that_its_customer_read_when_it_was_issued(books: Books) -> None:
    customer = books.organisation("alpha")
    with books.deployment.begin() as conn:
        accounts.speak(conn, customer, "de-CH")
    german = issue(books, customer)
    with books.deployment.begin() as conn:
        accounts.speak(conn, customer, "en")
        kept = invoices.get(conn, german.id).invoice
        note = books.billing.credit(conn, german.id, by="test").invoice
    assert (kept.language, kept.lines[0].text) == ("de", "Mandant alpha")
    assert note.language == "de"  # it stands beside what it takes back
    assert issue(books, customer).invoice.lines[0].text == "Tenant alpha"
    written_before = json.loads(german.document)
    del written_before["language"]
    assert from_document(json.dumps(written_before)).language == "en"


def test_nothing_to_pay_for_uses_no_number(books: Books) -> None:
    customer = books.organisation()
    with books.deployment.begin() as conn:
        assert books.billing.issue(conn, customer, books.month, by="test") is None
        assert conn.execute(text("SELECT count(*) FROM invoice_number_counters")).scalar_one() == 0


def test_running_month_is_previewed_and_not_issued(books: Books) -> None:
    customer = books.organisation("alpha", zone="Pacific/Auckland")
    today = books.deployment.now().date()
    with books.deployment.begin() as conn:
        first, last = month_of(today.year, today.month)
        shown = books.billing.preview(conn, organisations.get(conn, customer), first, last)
        assert shown.total > 0
        assert (shown.number, shown.reference, shown.due_on) == (None, None, None)
        with pytest.raises(MonthNotOver, match="Pacific/Auckland"):
            books.billing.issue(conn, customer, last + timedelta(days=1), by="test")


def test_numbers_have_no_gap_whoever_issues_at_once_and_whatever_is_rolled_back(books: Books) -> None:
    customers = [books.organisation(f"tenant-{number}") for number in range(20)]
    chance = random.Random(20)
    failing = set(chance.sample(range(20), 6))

    def one(number: int) -> str | None:
        def work(conn: Any) -> str | None:
            made = books.billing.issue(conn, customers[number], books.month, by="test")
            if number in failing:
                raise RuntimeError("rolled back, with its number in hand")
            return made.number if made else None

        try:
            return books.deployment.database.transact("an invoice", work)
        except RuntimeError:
            return None

    made = sorted(number for number in together(20, one) if number is not None)
    kept = books.deployment.rows("SELECT number, issued_on FROM invoices ORDER BY number")
    year = kept[0]["issued_on"].year  # the organisation's: UTC has another one for some hours
    assert made == [f"F{year}-{number:05d}" for number in range(1, 15)]
    assert [row["number"] for row in kept] == made


def test_two_that_issue_the_same_month_at_once_make_one(books: Books) -> None:
    customer = books.organisation("alpha")

    def one(_: int) -> bool:
        try:
            return bool(issue(books, customer))
        except AlreadyIssued:
            return False

    assert sorted(together(4, one)) == [False, False, False, True]


def test_price_from_the_first_of_days_takes_the_place_of_the_first_one(books: Books) -> None:
    with books.deployment.begin() as conn:
        prices.change(conn, {"monthly_fee": D(7)}, by="test", valid_from=date.min)
    customer = books.organisation("alpha", days=700)
    before_the_next_one = (books.month - timedelta(days=450)).replace(day=1)
    assert issue(books, customer, before_the_next_one).net == D("7.00")


@pytest.mark.parametrize(("hour", "zone", "days"), [(12, "Pacific/Auckland", 1), (11, "Pacific/Auckland", 0),
                                                   (9, "Pacific/Honolulu", -1), (10, "Pacific/Honolulu", 0),
                                                   (23, "UTC", 0)])  # fmt: skip
def test_price_that_changes_today_does_so_on_the_day_that_it_is_in_the_zone_of_the_platform(
    books: Books, hour: int, zone: str, days: int
) -> None:
    now = books.deployment.now()
    at = now.replace(month=6, day=15, hour=hour, minute=30) + timedelta(days=365)
    books.deployment.advance((at - now) / timedelta(hours=1))
    with books.deployment.begin() as conn:
        since = prices.change(conn, {"monthly_fee": D("60.00")}, by="test", zone=zone)
        assert since == at.date() + timedelta(days=days)
        assert prices.change_skill(conn, "voice", D("0.60"), by="test", zone=zone) == since
        held = prices.current(conn, zone=zone).monthly_fee, prices.skills(conn, zone=zone)["voice"]
    assert held == (D("60.00"), D("0.60000"))


def test_issued_month_keeps_its_prices(books: Books) -> None:
    customer = books.organisation("alpha")
    issued = issue(books, customer)
    with books.deployment.begin() as conn:
        with pytest.raises(PriceRefused, match=f"until {issued.last_on} are on issued invoices"):
            prices.change(conn, {"monthly_fee": D("60.00")}, by="test", valid_from=issued.last_on)
        since = prices.change(conn, {"monthly_fee": D("60.00")}, by="test")
        assert prices.current(conn).monthly_fee == D("60.00")
        later = since + timedelta(days=300)
        prices.change(conn, {"monthly_fee": D("70.00"), "vat_rate_chli": D("8.50")}, by="test", valid_from=later)
        assert prices.current(conn).monthly_fee == D("60.00")  # until that day comes
        with pytest.raises(PriceRefused, match="the currency of this installation stays"):
            prices.change(conn, {}, by="test", currency="EUR")
        for name, wrong in (("monthly_fee", "0.001"), ("setup_fee", "-1"), ("vat_rate_chli", "100"),
                            ("per_message_price", "NaN"), ("monthly_fee", "100000")):  # fmt: skip
            with pytest.raises(PriceRefused, match=name):
                prices.change(conn, {name: D(wrong)}, by="test")
        again = books.billing.preview(conn, organisations.get(conn, customer), issued.first_on, issued.last_on)
    assert to_document(again) == to_document(_as_preview(issued))
    books.deployment.advance(301 * 24)
    with books.deployment.begin() as conn:
        assert prices.current(conn).monthly_fee == D("70.00")


def _as_preview(issued: Issued) -> Invoice:
    return replace(issued.invoice, number=None, iban=None, reference=None, issued_on=None, due_on=None)


def test_payment_in_parts_pays_in_full_and_no_more(books: Books) -> None:
    issued = issue(books, books.organisation("alpha"))

    def pay(amount: str | None) -> Issued:
        with books.deployment.begin() as conn:
            return invoices_pay.pay(conn, issued.id, None if amount is None else D(amount), by="test")

    for wrong, why in (("52.98", "more than that"), ("0", "no amount"), ("0.001", "no amount"), ("-1", "only 0 was")):
        with pytest.raises(PaymentRefused, match=why):
            pay(wrong)
    assert (pay("20.00").state, pay("-5.00").open) == ("partly_paid", D("37.97"))
    assert (pay(None).state, pay("-52.97").state) == ("paid", "open")
    books.deployment.advance(32 * 24)
    with books.deployment.begin() as conn:
        assert invoices.get(conn, issued.number).state == "overdue"


def test_what_was_paid_beyond_what_stands_is_owed_back_and_can_be_paid_back(books: Books) -> None:
    issued = issue(books, books.organisation("alpha"))
    with books.deployment.begin() as conn:
        paid = invoices_pay.pay(conn, issued.id, None, by="test")
        assert (paid.open, paid.owed_back) == (D("0.00"), D("0.00"))
        invoices_pay.import_transfers(conn, [transfer(issued, "twice")], source="camt", by="test")
        assert invoices.get(conn, issued.id).owed_back == D("52.97")
        assert invoices_pay.pay(conn, issued.id, D("-52.97"), by="test").owed_back == D("0.00")
        note = books.billing.credit(conn, issued.id, by="test")
        assert (note.owed_back, invoices.get(conn, issued.id).owed_back) == (D("0.00"), D("52.97"))
        for more in (None, D("1.00")):
            with pytest.raises(PaymentRefused, match="nothing is owed"):
                invoices_pay.pay(conn, issued.id, more, by="test")
        back = invoices_pay.pay(conn, issued.id, D("-52.97"), by="test")
        assert (back.state, back.paid, back.owed_back) == ("credited", D("0.00"), D("0.00"))


def transfer(issued: Issued, identity: str, **more: Any) -> Any:
    """Return a payment as a bank reports it."""
    shown = {"identity": identity, "account": CREDITOR.iban, "booked_on": issued.issued_on, "amount": D("52.97")}
    told = {"currency": "CHF", "reference": issued.reference, "payer": "A", "line": 1, "reverses": None}
    return SimpleNamespace(**{**shown, **told, **more})


def test_bank_file_books_each_payment_once_and_leaves_the_rest_to_people(books: Books) -> None:
    issued = issue(books, books.organisation("alpha"))
    credited = issue(books, books.organisation("beta"))
    with books.deployment.begin() as conn:
        books.billing.credit(conn, credited.id, by="test")
    reported = [
        transfer(issued, "a", amount=D("50.00")),
        transfer(issued, "b", amount=D("10.00")),
        transfer(issued, "c", reference=None),
        transfer(issued, "d", reference="RF00NOBODY"),
        transfer(issued, "e", currency="EUR"),
        transfer(issued, "f", account="CH4431999123000889012"),
        transfer(credited, "g"),
    ]
    with books.deployment.begin() as conn:
        found = invoices_pay.import_transfers(conn, reported, source="camt", by="test")
    assert found.booked == ((issued.number, D("50.00")), (issued.number, D("10.00")))
    words = ("names no reference", "no invoice has", "it is in EUR", "to another account", "was credited by")
    assert all(word in each.why for word, each in zip(words, found.unmatched, strict=True))
    with books.deployment.begin() as conn:
        again = invoices_pay.import_transfers(conn, reported[:2], source="camt", by="test")
        assert (again.booked, again.repeated) == ((), 2)
        other = invoices_pay.import_transfers(conn, [transfer(issued, "a", amount=D("7.00"))], source="camt", by="test")
        assert (other.booked, other.repeated) == ((), 0)
        assert "told it before as 50.00" in other.unmatched[0].why
        huge = transfer(issued, "h", amount=D("9999999999999.99"))
        assert "as large" in invoices_pay.import_transfers(conn, [huge], source="camt", by="test").unmatched[0].why
        assert (invoices.get(conn, issued.id).state, invoices.get(conn, issued.id).paid) == ("paid", D("60.00"))
