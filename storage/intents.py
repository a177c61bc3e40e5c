"""Intents, from being asked for to their end. A worker claims one, acts without any lock, and reports how it ended.

The account's row is locked first, then the intent: the order in which decisions take them. What is no longer wanted is
dropped at the claim, so a payment cancels what was asked for before it.
"""

from storage.intents_ask import ask, ask_again, ask_server
from storage.intents_claim import ADMIN, CLAIM_SECONDS, WAITS_HOLD, WAITS_OBSERVED, claim
from storage.intents_finish import finish
from storage.intents_keep import Counts, counts, get, listed, mark_enqueued, requeue_dead, resolve, runnable
from storage.intents_outbox import BILLING_ENFORCEMENT, PROVISIONING, QUEUE_OF, REPAIR, Outbox
from storage.intents_rows import IntentRow
from storage.intents_types import (
    MOST_TRIES,
    TRIES_UNTIL_TOLD,
    Again,
    Claim,
    Done,
    Finished,
    GiveUp,
    Outcome,
    Unknown,
)

__all__ = [
    "ADMIN",
    "BILLING_ENFORCEMENT",
    "CLAIM_SECONDS",
    "MOST_TRIES",
    "PROVISIONING",
    "QUEUE_OF",
    "REPAIR",
    "TRIES_UNTIL_TOLD",
    "WAITS_HOLD",
    "WAITS_OBSERVED",
    "Again",
    "Claim",
    "Counts",
    "Done",
    "Finished",
    "GiveUp",
    "IntentRow",
    "Outbox",
    "Outcome",
    "Unknown",
    "ask",
    "ask_again",
    "ask_server",
    "claim",
    "counts",
    "finish",
    "get",
    "listed",
    "mark_enqueued",
    "requeue_dead",
    "resolve",
    "runnable",
]
