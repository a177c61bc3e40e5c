"""What a worker holds while it applies an intent, and the outcomes that it may report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from engine.model import IntentKind, Policy
from engine.snapshot import Snapshot

# A person is told after so many tries, and after so many more it is given up: then the controller's repairs, the next
# rung's wait, or a person take over.
TRIES_UNTIL_TOLD: Final = 3
MOST_TRIES: Final = {
    IntentKind.NOTICE: 24,
    IntentKind.EFFECT: 24,
    IntentKind.COMMAND: 8,
    IntentKind.REPAIR: 5,
}


@dataclass(frozen=True, slots=True)
class Claim:
    """One try of one intent, held by one worker: what its action needs, fixed when it was claimed."""

    intent_id: UUID
    token: UUID
    """Names this try. Finishing under a token that is no longer the row's is late."""
    key: str
    account_id: UUID
    server_id: UUID | None
    machine: str
    episode: int
    round: int
    intent: str
    kind: IntentKind
    queue: str
    args: Mapping[str, Any]
    actor: str
    tries: int
    """This one included."""
    promise_at: datetime | None
    """The date that this notice tells; nothing acts on the account earlier."""
    created_at: datetime
    claimed_at: datetime
    claimed_until: datetime
    """Real time: afterwards the try counts as lost."""
    waited_for: bool
    """For a notice that waits for an observation: whether it came, or the wait was given up."""
    policy: Policy
    snapshot: Snapshot


@dataclass(frozen=True, slots=True)
class Done:
    """The effect is there, or the notice has left."""

    what: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Nothing has happened for good; try again later."""

    after: timedelta
    reason: str = ""
    counts: bool = True
    """Whether this try counts towards giving up. Waiting for something that is on its way does not."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """It will never work like this: a person has to look."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The notice may have left: it is not sent again by itself. An effect that reports this is simply tried again."""

    reason: str = ""


Outcome = Done | Again | GiveUp | Unknown


@dataclass(frozen=True, slots=True)
class Finished:
    """What finishing came to."""

    status: str
    """The intent's status now."""
    late: bool
    """Whether the claim had been lost meanwhile."""
    intents: tuple[Any, ...] = field(default=())
    """New intents that follow from a delivery (`storage.intents_outbox.Outbox`)."""
