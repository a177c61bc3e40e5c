"""Finds what a bank takes back: the payment that it told before, by the bank's name for it or by its reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final
from uuid import UUID

from sqlalchemy import Connection, text

from storage.invoicing import invoices
from storage.invoicing.invoices import Issued

if TYPE_CHECKING:
    from storage.invoicing.invoices_pay import Transfer

ORIGINALS: Final = text(
    "SELECT source_key, invoice_id, amount FROM invoice_payments WHERE source = :source AND source_key = ANY(:keys)"
)
# Of each amount, how many payments of the bank are booked that it did not take back yet.
STANDING: Final = text(
    "SELECT invoice_id, abs(amount) AS amount, CAST(sum(sign(amount)) AS integer) AS number FROM invoice_payments "
    "WHERE source = :source AND invoice_id = ANY(:ids) GROUP BY 1, 2"
)


def find_reversed(
    conn: Connection, ids: Mapping[str, UUID], transfers: Sequence[Transfer], before: Container[str], *, source: str
) -> list[Issued | str]:
    """Return for each taking back the invoice that its payment was booked for, or why a person has to look.

    ids: the invoices by reference, which are locked, as those are whose payments the bank names. before: the identities
    of what was taken back already.
    """
    keys = [each.reverses for each in transfers]
    originals = {row.source_key: row for row in conn.execute(ORIGINALS, {"source": source, "keys": keys})}
    wanted = {row.invoice_id for row in originals.values()}
    wanted |= {ids[name] for each in transfers if (name := each.reference) is not None and name in ids}
    rows = conn.execute(text(f"{invoices.FIND} WHERE i.id = ANY(:ids)"), {"ids": list(wanted)})
    there = {found.id: found for found in (Issued(*row) for row in rows)}
    standing = Counter(
        {
            (row.invoice_id, row.amount): row.number
            for row in conn.execute(STANDING, {"source": source, "ids": list(there)})
        }
    )
    left = {found.id: found.paid for found in there.values()}
    answers: list[Issued | str] = []
    for transfer in transfers:
        if transfer.identity in before:
            answers.append("it was taken back before")
            continue
        original = originals.get(transfer.reverses)
        named = ids.get(transfer.reference or "") if original is None else original.invoice_id
        found = None if named is None else there.get(named)
        told = None if original is None else original.amount
        answer = _judge(transfer, found, told, standing, left)
        if isinstance(answer, Issued):
            standing[answer.id, -transfer.amount] -= 1
            left[answer.id] += transfer.amount
        answers.append(answer)
    return answers


def _judge(
    transfer: Transfer,
    found: Issued | None,
    told: Decimal | None,
    standing: Mapping[tuple[UUID, Decimal], int],
    left: Mapping[UUID, Decimal],
) -> Issued | str:
    """Return the invoice, or why it is not sure. told: the payment as the bank told it before, where it names it."""
    if transfer.amount > 0:
        return "the bank gives a debit back, and no invoice is paid by that"
    if found is None:
        return "it takes back a payment that is not booked here"
    if told is not None and told != -transfer.amount:
        return f"it takes back a payment that the bank told before as {told}, booked for `{found.number}`"
    if found.currency != transfer.currency:
        return f"it is in {transfer.currency}, the invoice in {found.currency}"
    if told is None and found.iban is not None and transfer.account.replace(" ", "") != found.iban:
        return "it left another account than the invoice asks for"
    if standing.get((found.id, -transfer.amount), 0) < 1:
        return f"no payment of {-transfer.amount} by the bank stands on `{found.number}`"
    if left[found.id] + transfer.amount < 0:
        return f"only {left[found.id]} is paid of `{found.number}`: was it taken back by hand already?"
    return found
