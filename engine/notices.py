"""Notices in words: which fields a text may name, and how they are written for one customer."""

from __future__ import annotations

from collections.abc import Mapping

# Every field that a text may name, and how its value is written: an instant in the customer's zone, a list in a row.
FIELDS: Mapping[str, str] = {
    "customer_name": "text",
    "account_id": "text",
    "plan": "text",
    "servers": "list",  # names of all servers of the account
    "stopped_servers": "list",  # those that were observed stopped
    "stopping_servers": "list",  # those that were not yet
    "past_due_since": "instant",
    "suspend_at": "instant",  # what a notice promises for a suspension
    "stop_at": "instant",  # what a notice promises for stopping servers of an ended subscription
    "suspended_at": "instant",
    "retention_until": "instant",
    "subscription_ended_at": "instant",
    "hold_until": "instant",
    "promise_at": "instant",  # the date that this notice promises, whatever for
    "amount_due": "text",
    "pay_url": "text",
    "portal_url": "text",
    "support_email": "text",
}
