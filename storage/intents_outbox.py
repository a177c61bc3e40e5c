"""The outbox: intents as rows. The id is made from the key, so a second ask for the same effect is the same row."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from engine.model import IntentKind

BILLING_ENFORCEMENT: Final = "billing_enforcement"
PROVISIONING: Final = "provisioning"
REPAIR: Final = "repair"

# Notices ride with enforcement, so that a suspension and the letter about it are worked in one order.
QUEUE_OF: Final = {
    IntentKind.NOTICE: BILLING_ENFORCEMENT,
    IntentKind.EFFECT: BILLING_ENFORCEMENT,
    IntentKind.COMMAND: PROVISIONING,
    IntentKind.REPAIR: REPAIR,
}


@dataclass(frozen=True, slots=True)
class Outbox:
    """An intent that was written down: what a queue has to be told."""

    intent_id: UUID
    queue: str
    intent: str


def intent_id(key: str) -> UUID:
    """Return the id of the intent with this key."""
    return UUID(bytes=hashlib.blake2b(key.encode(), digest_size=16).digest())
