"""What a decision reads and what it returns: an account as it is known now, and the steps that follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from engine.model import IntentKind, Value


class NoticeStatus(StrEnum):
    """Where one round of a notice stands. The engine sets open and void; the ledger the rest, from what happened."""

    OPEN = "open"  # asked for; not known to have left
    DELIVERED = "delivered"
    UNKNOWN = "unknown"  # the worker died in the middle: a person decides
    FAILED = "failed"  # given up: a person decides
    VOID = "void"  # delivered, but its promise no longer holds: issued again once nothing holds


@dataclass(frozen=True, slots=True)
class NoticeState:
    """The latest round of one kind of notice in the running episode."""

    episode: int
    round: int
    status: NoticeStatus
    claimed_at: datetime | None = None  # when the promise was fixed
    promise_at: datetime | None = None  # nothing may act on the account earlier
    machine: str = ""  # the machine that asked for this round
    floor_at: datetime | None = (
        None  # the latest date that an earlier round of the episode told; a later round keeps it
    )


@dataclass(frozen=True, slots=True)
class Hold:
    """Enforcement paused until an instant; `until` None: until somebody ends it."""

    kind: str  # extension, processor_outage
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a decision about an account reads of one of its servers."""

    server_id: str
    lifecycle: str
    observed: str
    states: Mapping[str, str] = field(default_factory=dict)
    """Its own rungs, by machine, where it has left the first: of machines with `each_server`."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One account as it is known now.

    `facts` holds evidence and stamps, flat, by declared name; an absent name is null. `permits` holds the answers of
    services and brakes by permit name; absent or None is unknown. `recheck_at` is an instant at which evidence changes
    by itself (an exemption that ends).
    """

    account_id: str
    states: Mapping[str, str]
    episodes: Mapping[str, int]
    facts: Mapping[str, Value]
    notices: Mapping[str, NoticeState] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    permits: Mapping[str, bool | None] = field(default_factory=dict)
    servers: tuple[ServerFacts, ...] = ()
    zone: str = "UTC"
    recheck_at: datetime | None = None
    senders: Mapping[str, str] = field(
        default_factory=dict
    )  # event -> actor, of the running episodes: for `other_than`


@dataclass(frozen=True, slots=True)
class Command:
    """An event sent by a person or a worker: `role` is admin, customer or worker; `actor` names who."""

    event: str
    role: str
    actor: str
    machine: str | None = None  # None: whichever machine knows the event


@dataclass(frozen=True, slots=True)
class Asked:
    """An intent that a step asks for. (account, machine, episode, intent, round, server) is unique for ever."""

    intent: str
    kind: IntentKind
    machine: str
    episode: int
    round: int
    server_id: str | None = None

    def key(self, account_id: str) -> str:
        """The outbox key; a second intent with the same key is the same effect."""
        return f"{account_id}:{self.machine}:{self.episode}:{self.intent}:{self.round}:{self.server_id or '-'}"


class StepKind(StrEnum):
    """What a step changed."""

    TRANSITION = "transition"
    MARK = "mark"
    VOID = "void"  # a promise was voided and its stamp cleared
    REISSUE = "reissue"  # a voided notice was asked for again


@dataclass(frozen=True, slots=True)
class Step:
    """One change of a settlement, with its reasons."""

    kind: StepKind
    machine: str
    because: str  # rule name, e.g. `billing.suspend`; for void and reissue the notice
    place: str  # file:line of the rule
    from_: str
    to: str  # equals `from_` unless a transition
    mark: str | None
    facts: Mapping[str, Value]  # those that the rule read
    asked: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A rule that is due and not permitted. `until` None: not known."""

    rule: str
    permit: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class ServerState:
    """The strictest of what the machines say about an account's servers."""

    state: str
    machine: str
    code: str | None


@dataclass(frozen=True, slots=True)
class Settlement:
    """What follows from a snapshot now, with nothing left to do: `steps` in order, the next snapshot and due instant.

    `due_at` is in the past only while `waiting` says what holds it. `brakes` names the permits of kind brake that steps
    relied on, one entry a step, so that *record* can give out slots.
    """

    steps: tuple[Step, ...]
    snapshot: Snapshot
    server: ServerState
    due_at: datetime | None
    waiting: tuple[Waiting, ...]
    brakes: tuple[str, ...] = ()
