"""What a bank takes back: once, from the invoice that its payment was booked for, and else a person looks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from storage.invoicing import invoices, invoices_pay
from storage.invoicing.invoices import Issued
from storage.invoicing.invoices_pay import Imported
from tests.storage.deployment import Deployment, together
from tests.storage.invoicing.test_invoices import issue, transfer
from tests.storage.metered import Books

D = Decimal


@pytest.fixture
def books(deployment: Deployment) -> Books:
    """Return billing with prices."""
    return Books(deployment)


def bring_in(books: Books, *transfers: Any) -> Imported:
    with books.deployment.begin() as conn:
        return invoices_pay.import_transfers(conn, transfers, source="camt", by="test")


def back(issued: Issued, identity: str, /, **more: Any) -> Any:
    told = {"amount": D("-52.97"), "reverses": identity, "line": 7}
    return transfer(issued, **{"identity": f"end of {identity}", **told, **more})


def paid(books: Books, issued: Issued) -> Decimal:
    with books.deployment.begin() as conn:
        return invoices.get(conn, issued.id).paid


@pytest.mark.parametrize("more", [{"reference": None}, {"reverses": "otherwise named"}])
def test_a_known_payment_is_taken_back_once_by_its_name_or_its_reference(books: Books, more: dict[str, Any]) -> None:
    issued = issue(books, books.organisation("alpha"))
    bring_in(books, transfer(issued, "a"))
    done = together(3, lambda _: bring_in(books, back(issued, "a", **more)))
    assert sorted(len(each.booked) for each in done) == [0, 0, 1]
    assert sum(each.repeated for each in done) == 2
    assert paid(books, issued) == 0
    assert [each.booked for each in done if each.booked] == [((issued.number, D("-52.97")),)]


def test_a_file_that_tells_of_a_payment_and_its_end_books_both_in_any_order(books: Books) -> None:
    issued = issue(books, books.organisation("alpha"))
    found = bring_in(books, back(issued, "a", reference=None), transfer(issued, "a"), transfer(issued, "b"))
    assert [amount for _, amount in found.booked] == [D("52.97"), D("52.97"), D("-52.97")]
    assert paid(books, issued) == D("52.97")


def test_what_is_not_sure_is_left_for_a_person_with_its_line(books: Books) -> None:
    issued = issue(books, books.organisation("alpha"))
    bring_in(books, transfer(issued, "a"))
    left = bring_in(
        books,
        back(issued, "x", reference=None),
        back(issued, "x", reference="RF00NOBODY"),
        back(issued, "a", amount=D("-50.00")),
        back(issued, "x", amount=D("-50.00")),
        back(issued, "a", currency="EUR"),
        back(issued, "x", account="CH4431999123000889012"),
        back(issued, "a", amount=D("52.97")),
    )
    words = ("not booked here", "not booked here", "told before as 52.97", "no payment of 50.00", "in EUR",
             "another account", "gives a debit back")  # fmt: skip
    assert (left.booked, left.repeated) == ((), 0)
    assert all(word in each.why for word, each in zip(words, left.unmatched, strict=True))
    assert {each.transfer.line for each in left.unmatched} == {7}
    with books.deployment.begin() as conn:
        invoices_pay.pay(conn, issued.id, D("-52.97"), by="test")
    assert "by hand already" in bring_in(books, back(issued, "a")).unmatched[0].why
    bring_in(books, transfer(issued, "b"))
    twice = bring_in(books, back(issued, "b"), back(issued, "b", identity="another name"))
    assert (len(twice.booked), len(twice.unmatched)) == (1, 1)
    bring_in(books, transfer(issued, "c"))
    both = bring_in(books, back(issued, "b"), back(issued, "c"))
    assert (len(both.booked), both.repeated) == (1, 1)
    assert paid(books, issued) == 0
