"""What a timeline is made of: what happens to one account and when, and what was seen to follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from engine.decide import blank
from engine.model import FactType, Origin, Place, Policy, Value
from engine.model_permits import PermitKind
from engine.snapshot import Asked, Command, Hold, ServerState, Snapshot, Step, Waiting
from engine.timeline.invoices import InvoiceWord
from engine.timeline.servers import ServerMove

START = datetime(2026, 3, 1, 8, tzinfo=UTC)

Post = Literal["auto", "failed", "unknown", "delayed"]  # what becomes of each notice from now on
Sending = Literal["claimed", "delivered", "failed", "unknown", "again"]  # what becomes of one notice now


@dataclass(frozen=True, slots=True)
class Item:
    """What happens at one instant; every part may be absent. `at` counts from the timeline's start."""

    at: timedelta
    set: Mapping[str, Value] = field(default_factory=dict)  # evidence
    command: Command | None = None
    holds: Mapping[str, Hold | None] = field(default_factory=dict)  # by kind; None ends the hold
    permits: Mapping[str, bool | None] = field(default_factory=dict)  # answers from now on; None is unknown
    post: Post | None = None  # from now on
    send: Mapping[str, Sending] = field(default_factory=dict)  # one notice, now
    servers: Mapping[str, str] = field(default_factory=dict)  # an event for one server
    observe: Mapping[str, str] = field(default_factory=dict)  # what the host shows of one server
    obeys: bool | None = None  # whether the host does as it is told, from now on
    place: Place | None = None
    invoices: Mapping[str, InvoiceWord] = field(default_factory=dict)  # what becomes of one invoice
    by: str | None = None  # the role of whoever sends events to servers; None: one that may


@dataclass(frozen=True, slots=True)
class Timeline:
    """One account from `start` on. `snapshot` is where it begins; None: a customer in good standing."""

    start: datetime = START
    zone: str = "UTC"
    items: tuple[Item, ...] = ()
    servers: tuple[str, ...] = ("s1",)
    begins: Mapping[str, str] = field(
        default_factory=dict
    )  # the lifecycle of servers that are not running at the start
    given: Mapping[str, Value] = field(default_factory=dict)  # evidence that differs from good standing
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one round of a notice. `promise_at` is the date that it told."""

    intent: str
    machine: str
    round: int
    outcome: Sending
    promise_at: datetime | None
    snapshot: Snapshot  # as it was when the notice was written


@dataclass(frozen=True, slots=True)
class Moment:
    """One instant and everything that happened at it. `item` is the index of the item that it belongs to, if any."""

    at: datetime
    item: int | None
    steps: tuple[Step, ...]
    sent: tuple[Sent, ...]
    moves: tuple[ServerMove, ...]
    refused: str | None  # why nobody took the item's command
    snapshot: Snapshot
    server: ServerState
    due_at: datetime | None
    waiting: tuple[Waiting, ...]

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What the account's rules asked for."""
        return tuple(asked for step in self.steps for asked in step.asked)

    @property
    def notices(self) -> tuple[str, ...]:
        """The notices that reached the customer."""
        return tuple(sent.intent for sent in self.sent if sent.outcome == "delivered")

    @property
    def quiet(self) -> bool:
        """Tell whether nothing happened."""
        return not (self.steps or self.sent or self.moves or self.refused)


def good_standing(policy: Policy) -> dict[str, Value]:
    """Return the evidence of a customer who owes nothing and has a plan."""
    usual: dict[str, Value] = {"subscription": "active", "has_active_plan": True}
    facts: dict[str, Value] = {}
    for fact in policy.facts.values():
        if fact.origin not in {Origin.STANDING, Origin.ADMIN, Origin.SETTINGS} or fact.of is not None:
            continue
        if any(fact.name in machine.facts for machine in policy.machines.values() if machine.of != "account"):
            continue
        facts[fact.name] = fact.default if fact.default is not None else _neutral(fact.type, fact.minimum, fact.values)
        if fact.name in usual and (not fact.values or usual[fact.name] in fact.values):
            facts[fact.name] = usual[fact.name]
    return facts


def newcomer(policy: Policy, timeline: Timeline) -> Snapshot:
    """Return the account at the start of the timeline, before anything is decided."""
    if timeline.snapshot is not None:
        return timeline.snapshot
    states, episodes = blank(policy)
    facts = good_standing(policy) | dict(timeline.given)
    answers = {name: True for name, p in policy.permits.items() if p.kind in {PermitKind.SERVICE, PermitKind.BRAKE}}
    return Snapshot("account", states, episodes, facts, permits=answers, zone=timeline.zone)


def _neutral(kind: FactType, minimum: int | None, values: tuple[str, ...]) -> Value:
    if kind is FactType.BOOL:
        return False
    if kind is FactType.INT:
        return minimum or 0
    return values[0] if kind is FactType.ENUM and values else None
