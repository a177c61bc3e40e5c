"""Stripe's side of the demo: events as Stripe shapes and signs them, kept so that each can be sent again."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

API_VERSION = "2026-06-30.basil"
PAY_PAGE = "https://invoice.stripe.com/i/{invoice}"


@dataclass(slots=True)
class Stripe:
    """One Stripe account with one customer whose card stops working."""

    secret: str = field(repr=False)
    customer: str = "cus_demo_ada"
    invoice: str = "in_demo_0001"
    amount_cents: int = 1_500
    sent: list[bytes] = field(default_factory=list)  # every body, in the order in which it was sent

    def payment_failed(self, at: int) -> bytes:
        """Return the event of a renewal whose charge failed."""
        return self._event("evt_demo_failed", "invoice.payment_failed", at, self._invoice("open", at))

    def paid(self, at: int) -> list[bytes]:
        """Return the two events that Stripe sends for one payment."""
        invoice = self._invoice("paid", at)
        return [
            self._event("evt_demo_paid", "invoice.paid", at, invoice),
            self._event("evt_demo_succeeded", "invoice.payment_succeeded", at, invoice),
        ]

    def _invoice(self, status: str, at: int) -> dict[str, Any]:
        owed = 0 if status == "paid" else self.amount_cents
        return {
            "id": self.invoice,
            "object": "invoice",
            "customer": self.customer,
            "status": status,
            "number": "DEMO-0001",
            "currency": "eur",
            "amount_due": self.amount_cents,
            "amount_paid": self.amount_cents - owed,
            "amount_remaining": owed,
            "attempted": True,
            "attempt_count": 1,
            "created": at - 60,
            "hosted_invoice_url": PAY_PAGE.format(invoice=self.invoice),
            "metadata": {},
            "parent": {"type": "subscription_details", "subscription_details": {"subscription": None, "metadata": {}}},
        }

    def _event(self, event: str, kind: str, at: int, body: dict[str, Any]) -> bytes:
        document = {
            "id": event,
            "object": "event",
            "api_version": API_VERSION,
            "created": at,
            "livemode": False,
            "type": kind,
            "data": {"object": body},
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
        }
        return json.dumps(document).encode()

    def signature(self, body: bytes) -> str:
        """Sign a body as Stripe does, now."""
        stamp = int(time.time())
        mac = hmac.new(self.secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return f"t={stamp},v1={mac}"
