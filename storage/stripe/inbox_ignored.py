"""Why an event of Stripe's changes nothing here, by its type: it is kept with this reason, and never applied."""

from __future__ import annotations

from typing import Final

NOTHING: Final = "nothing here depends on this type"
REASONS: Final = {
    "charge.failed": "the invoice tells of it, in `invoice.payment_failed`",
    "charge.pending": "the money is on its way; the invoice tells when it has arrived",
    "charge.refund.updated": "`charge.refunded` tells what was given back",
    "checkout.session.expired": "nobody paid, and nothing was begun",
    "customer.created": "the account knows its customer from where it was made",
    "customer.subscription.pending_update_applied": "`customer.subscription.updated` tells what holds now",
    "customer.subscription.pending_update_expired": "what was wished for was never paid, and never held",
    "customer.updated": "names and addresses are looked after here, not at Stripe",
    "invoice.upcoming": "a forecast: there is no such invoice yet",
    "invoice.will_be_due": "nothing has failed yet",
    "invoice_payment.paid": "the invoice tells of it, in `invoice.paid`",
    "payment_intent.payment_failed": "the invoice tells of it, in `invoice.payment_failed`",
    "payment_intent.requires_action": "the invoice tells of it, in `invoice.payment_action_required`",
    "payment_intent.succeeded": "the invoice tells of it, in `invoice.paid`",
    "refund.created": "`charge.refunded` tells what was given back",
}


def why_ignored(event_type: str) -> str:
    """Return the reason that is written down beside the event."""
    return REASONS.get(event_type, NOTHING)
