"""What banks do to payments, and what the seller gives back: disputes, refunds, and the plan of retries of a double."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.doubles import stripe as shapes
from tests.doubles.stripe_books import AFTER_RETRIES, Books, Document, Refused, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

DECIDED = ("won", "lost", "warning_closed")
MOST_RETRIES, LONGEST_DAYS = 8, 60


def plan_retries(books: Books, days: str, after: str) -> None:
    """Choose how many days after the attempt before each retry comes, and what the last ends in. Raises Refused."""
    words = [word.strip() for word in days.replace("+", ",").split(",") if word.strip()]
    if len(words) > MOST_RETRIES or not all(word.isdecimal() for word in words):
        raise Refused(400, "parameter_invalid", f"retries are at most {MOST_RETRIES} numbers of days, as in 3, 5, 7")
    found = tuple(map(int, words))
    if not found or not all(0 < day <= LONGEST_DAYS for day in found):
        raise Refused(400, "parameter_invalid", f"a retry follows after 1 to {LONGEST_DAYS} days")
    if after not in AFTER_RETRIES:
        raise Refused(400, "parameter_invalid", f"the last retry ends in one of {', '.join(AFTER_RETRIES)}")
    books.retry_days, books.after_retries = found, after


def charges_of(books: Books, customer_id: str) -> Sequence[Document]:
    """Return a customer's charges, the newest first."""
    return books.of("charge", customer=customer_id)


def last_charge(books: Books, customer_id: str) -> Document:
    """Return the newest charge that can still be taken back. Raises Refused."""
    for charge in charges_of(books, customer_id):
        if not charge["disputed"] and charge["amount_refunded"] < charge["amount"]:
            return charge
    raise Refused(400, "charge_missing", "There is no payment that could be taken back")


def dispute(books: Books, charge: Document) -> Document:
    """Let the customer's bank take a payment back for now."""
    made = shapes.dispute(
        new_id("dp"), charge=charge["id"], status="needs_response", created=books.now(), amount=charge["amount"]
    )
    books.objects[made["id"]] = made
    charge["disputed"] = True
    books.tell("charge.dispute.created", made)
    books.tell("charge.dispute.funds_withdrawn", made)
    return made


def decide(books: Books, made: Document, status: str) -> None:
    """Let the bank decide. Raises Refused where it has."""
    if made["status"] in DECIDED:
        raise Refused(400, "dispute_closed", "The bank has decided already")
    made["status"] = status
    if status == "won":
        books.tell("charge.dispute.funds_reinstated", made)
    books.tell("charge.dispute.closed", made)


def refund(books: Books, charge: Document) -> Document:
    """Give a payment back whole."""
    made: Document = {
        "id": new_id("re"),
        "object": "refund",
        "amount": charge["amount"] - charge["amount_refunded"],
        "charge": charge["id"],
        "created": books.now(),
        "status": "succeeded",
    }
    books.objects[made["id"]] = made
    charge |= {"amount_refunded": charge["amount"], "refunded": True}
    books.tell("charge.refunded", charge)
    return made
