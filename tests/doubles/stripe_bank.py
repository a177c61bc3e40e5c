"""What banks do to payments afterwards, and what the seller gives back: disputes and refunds, in a double's books."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.doubles import stripe as shapes
from tests.doubles.stripe_books import Books, Document, Refused, new_id

if TYPE_CHECKING:
    from collections.abc import Sequence

DECIDED = ("won", "lost", "warning_closed")


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
