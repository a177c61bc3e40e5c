"""What one account owes now, invoice by invoice, and where it is paid: the same in mails and on pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, text

from engine.model import OVERDUE, Policy
from storage.invoicing.invoices import CREDITED
from storage.settings import Settings


@dataclass(frozen=True, slots=True)
class OwedInvoice:
    """One invoice that counts as owed. `url` is Stripe's page for it, where there is one; ours have a PDF."""

    number: str | None
    """What it says on it; None where Stripe has not told."""
    amount_remaining_cents: int
    currency: str | None
    url: str | None
    asks_confirmation: bool = False
    """Whether a bank wants its customer's word for it."""


def owed_invoices(conn: Connection, policy: Policy, account_id: UUID) -> list[OwedInvoice]:
    """Return what is owed: first what failed, oldest first, and then what is not late yet."""
    find = text(
        "SELECT number, amount_remaining_cents, currency, hosted_invoice_url, confirmation_asked_at IS NOT NULL "
        "FROM stripe_invoices "
        "WHERE account_id = :id AND amount_remaining_cents > 0 AND status = ANY(:owed) "
        "ORDER BY first_failed_at NULLS LAST, id"
    )
    ours = text(
        f"SELECT i.number, round((i.total - paid.amount - {CREDITED}) * 100)::bigint, lower(i.currency), NULL "
        "FROM invoice_accounts b JOIN invoice_states s ON s.invoice_id = b.invoice_id "
        "JOIN invoices i ON i.id = b.invoice_id CROSS JOIN LATERAL ("
        "SELECT coalesce(sum(p.amount), 0) AS amount FROM invoice_payments p WHERE p.invoice_id = i.id) paid "
        "WHERE b.account_id = :id AND s.state = :overdue ORDER BY s.state_since, i.number"
    )
    given = {"id": account_id, "owed": list(policy.standing.owed_invoice_statuses)}
    found = [*conn.execute(ours, {"id": account_id, "overdue": OVERDUE}), *conn.execute(find, given)]
    return [OwedInvoice(*row) for row in found]


def pay_url(owed: Sequence[OwedInvoice], settings: Settings) -> str:
    """Return where to pay: the page of the first invoice that has one, else the deployment's."""
    page = next((invoice.url for invoice in owed if invoice.url), None)
    return page or settings.pay_url or settings.portal_url


def confirm_url(owed: Sequence[OwedInvoice], settings: Settings) -> str:
    """Return where a payment is confirmed that a bank asks about: Stripe's page of its invoice."""
    return pay_url([each for each in owed if each.asks_confirmation] or owed, settings)
