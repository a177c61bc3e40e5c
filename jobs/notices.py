"""What a notice says to one customer: the policy's words, filled in with what is known and with what was observed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, text

from engine.languages import ENGLISH, written_amount
from engine.model import Value
from engine.notices import FieldValue, plain, words_in, write
from jobs.letters import forms
from jobs.mail import Letter
from storage.intents import Claim
from storage.owed import OwedInvoice, confirm_url, owed_invoices, pay_url
from storage.settings import Settings

FACTS = ("past_due_since", "suspended_at", "retention_until", "subscription_ended_at", "trial_ends_at")
MOST_INVOICES = 20

CUSTOMER = """
SELECT c.name, c.email, c.language, a.zone, a.plan
FROM accounts a JOIN customers c ON c.id = a.customer_id WHERE a.id = :id
"""
SERVERS = """
SELECT name, observed FROM servers WHERE account_id = :id AND lifecycle <> 'deleted' ORDER BY created_at, id
"""


def letter_of(conn: Connection, claim: Claim, settings: Settings) -> Letter:
    """Write a notice as it is true now. Raises NoticeIncomplete when the text names what is not known."""
    customer = conn.execute(text(CUSTOMER), {"id": claim.account_id}).one()
    owed = owed_invoices(conn, claim.policy, claim.account_id)
    language, _ = words_in(claim.policy.notices[claim.intent], customer.language)
    fields = fields_of(conn, claim, settings, customer=customer, owed=owed, language=language)
    written = write(claim.policy, claim.intent, fields, customer.zone, language)
    paper = forms.notice(written, invoice_lines(owed, language), pay_url(owed, settings))
    return Letter(
        claim.key,
        customer.name,
        customer.email,
        written.subject,
        forms.text_of(paper),
        claim.claimed_at,
        forms.html_of(paper),
    )


def fields_of(
    conn: Connection,
    claim: Claim,
    settings: Settings,
    *,
    customer: Row[Any],
    owed: Sequence[OwedInvoice],
    language: str = ENGLISH,
) -> Mapping[str, FieldValue]:
    """Gather every field that a text may name."""
    servers = conn.execute(text(SERVERS), {"id": claim.account_id}).all()
    known = {name: _instant(claim.snapshot.facts.get(name)) for name in FACTS}
    return {
        "customer_name": customer.name,
        "account_id": str(claim.account_id),
        "plan": customer.plan,
        "servers": [server.name for server in servers],
        "stopped_servers": [server.name for server in servers if is_down(server.observed)],
        "stopping_servers": [server.name for server in servers if not is_down(server.observed)],
        **known,
        **promised(claim),
        "hold_until": max((hold.until for hold in claim.snapshot.holds if hold.until is not None), default=None),
        "amount_due": amounts(owed, language),
        "pay_url": pay_url(owed, settings),
        "confirm_url": confirm_url(owed, settings),
        "portal_url": settings.portal_url,
        "support_email": settings.support_email,
    }


def is_down(observed: str) -> bool:
    """Tell whether a server was seen not to run: what nobody has seen is not called stopped."""
    return observed in {"stopped", "missing"}


def promised(claim: Claim) -> dict[str, FieldValue]:
    """Name the date that this notice tells, and what happens on it."""
    dates: dict[str, FieldValue] = {"promise_at": claim.promise_at, "suspend_at": None, "stop_at": None}
    rule = claim.policy.intents[claim.intent].promises or ""
    field = f"{rule.rpartition('.')[2]}_at"
    if field in dates:
        dates[field] = claim.promise_at
    return dates


def amounts(owed: Sequence[OwedInvoice], language: str = ENGLISH) -> str | None:
    """Add up what is owed, each currency by itself; None when nothing is known."""
    sums: dict[str, int] = {}
    for invoice in owed:
        currency = (invoice.currency or "").upper()
        sums[currency] = sums.get(currency, 0) + invoice.amount_remaining_cents
    return " and ".join(written_amount(cents, currency, language) for currency, cents in sums.items()) or None


def invoice_lines(owed: Sequence[OwedInvoice], language: str = ENGLISH) -> list[str]:
    """Return a line for each invoice: its number, where it has one, and what is to be paid."""
    lines = []
    for invoice in owed[:MOST_INVOICES]:
        amount = written_amount(invoice.amount_remaining_cents, (invoice.currency or "").upper(), language)
        lines.append(f"{plain(invoice.number, 100)}, {amount}" if invoice.number else amount)
    return lines + ([f"… (+{len(owed) - MOST_INVOICES})"] if len(owed) > MOST_INVOICES else [])


def _instant(value: Value) -> datetime | None:
    return value if isinstance(value, datetime) else None
