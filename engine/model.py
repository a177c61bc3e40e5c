"""The immutable model that a policy folder is loaded into: the truth that decisions, analysis and pictures run on.

Nothing here reads files (`engine.load`) or decides (`engine.decide`). Names match the policy's keys letter for letter.
Permits, gates, repairs and words stand in `engine.model_…`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from engine.guarantees import Guarantee
    from engine.model_gates import Gates
    from engine.model_permits import Permit, Window
    from engine.model_repairs import Repairs
    from engine.model_words import Announcement, LetterWords, NoticeText, StateText

Value = bool | int | str | datetime | None
Runner = Literal["account", "server", "invoice"]  # what runs a machine
OVERDUE = "overdue"  # the state of an invoice in which it is evidence against the accounts that it bills


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written: file relative to the policy folder, line and column counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class FactType(StrEnum):
    """What values a fact may take."""

    BOOL = "bool"
    INT = "int"
    INSTANT = "instant"
    ENUM = "enum"
    STATE = "state"  # the state of another machine


class Origin(StrEnum):
    """Who writes a fact."""

    STANDING = "standing"  # storage, from the mirror of invoices and subscriptions
    ADMIN = "admin"  # a person's command
    SETTINGS = "settings"  # the deployment
    DELIVERED = "delivered"  # the engine, when the named notice was delivered
    ENTERED = "entered"  # the engine, when the named state was entered
    MARK = "mark"  # the engine, when the named mark was set
    MACHINE = "machine"  # the state of another machine
    OBSERVED = "observed"  # the host, seen by the controller


@dataclass(frozen=True, slots=True)
class Fact:
    """One declared fact. `of` is what stamps it: a notice, a state, a mark or a machine, by `origin`."""

    name: str
    type: FactType
    origin: Origin
    place: Place
    of: str | None = None
    plus: timedelta = timedelta(0)  # added to a stamp when it is set, e.g. retention
    values: tuple[str, ...] = ()  # of an enum or state
    minimum: int | None = None
    default: Value = None
    null: str | None = None  # what null means, in words


# ---- guards: typed atoms joined by all, any, not ---------------------------------------------------------------------


Op = Literal["eq", "ne", "lt", "lte", "gt", "gte", "in", "between", "is_null"]


@dataclass(frozen=True, slots=True)
class Atom:
    """`fact op value`. A null fact satisfies nothing but `is_null: true`."""

    fact: str
    op: Op
    value: Value | tuple[Value, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; holds when empty."""

    parts: tuple[Guard, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Any:
    """Some part holds; does not hold when empty."""

    parts: tuple[Guard, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Guard
    place: Place


@dataclass(frozen=True, slots=True)
class Named:
    """A predicate used by name; `guard` is what it stands for."""

    name: str
    guard: Guard
    place: Place


Guard = Atom | All | Any | Not | Named


# ---- machines --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One number of the policy with the environment override already resolved into `value`."""

    name: str
    value: timedelta
    default: timedelta
    place: Place
    env: str | None = None
    env_unit: Literal["hours", "days", "minutes", "seconds"] | None = None
    minimum: timedelta | None = None
    at_least: str | None = None  # another setting that this one may not undercut


@dataclass(frozen=True, slots=True)
class Timer:
    """`anchor: duration` of an `after` or `before` map. `setting` is the name the duration came from, if any."""

    anchor: str
    duration: timedelta
    place: Place
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """One entry of `do`: an intent, once or for each server of the account."""

    intent: str
    each_server: bool
    place: Place


class RuleKind(StrEnum):
    """Which list a rule stands in."""

    RELIEF = "relief"  # tried first, descends, needs no permit
    PRESSURE = "pressure"  # climbs one rung or sets one mark
    MOVE = "move"  # of a lifecycle


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `relief`, `pressure` or `moves`. Exactly one of `to` and `mark` is set."""

    id: str
    machine: str
    kind: RuleKind
    sources: tuple[str, ...]
    place: Place
    to: str | None = None
    mark: str | None = None
    when: Guard | None = None
    event: str | None = None
    by: str | None = None  # role that may send the event: admin, worker, customer
    other_than: str | None = None  # the event whose sender may not send this one
    after: tuple[Timer, ...] = ()
    before: tuple[Timer, ...] = ()  # due at anchor - duration
    needs: tuple[str, ...] = ()  # permits, groups already expanded, `every_pressure` included
    do: tuple[Ask, ...] = ()

    @property
    def name(self) -> str:
        """The rule's name across machines, as audit and counterexamples show it."""
        return f"{self.machine}.{self.id}"


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One line of `servers`: the first that holds gives the servers' billing state and the code of a denial."""

    is_: str
    place: Place
    in_: tuple[str, ...] = ()  # empty: any state
    when: Guard | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """One state machine. `ladder` is the order of severity; a lifecycle (of no account) has `moves`."""

    name: str
    of: Runner
    initial: str
    ladder: tuple[str, ...]
    settings: Mapping[str, Setting]
    facts: Mapping[str, Fact]  # declared here
    predicates: Mapping[str, Guard]
    servers: tuple[ServerLine, ...]
    relief: tuple[Rule, ...]
    pressure: tuple[Rule, ...]
    moves: tuple[Rule, ...]
    place: Place
    cause: str | None = None  # debt, dispute, abuse, ended, admin, tenant
    each_server: bool = False  # a single server may stand on a rung of its own in it
    mapping: Mapping[str, str] = field(default_factory=dict)  # a rung that an earlier policy had -> where it leads now

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules, in the order in which they are tried."""
        return self.relief + self.pressure + self.moves


# ---- intents ---------------------------------------------------------------------------------------------------------


class IntentKind(StrEnum):
    """What applying an intent means."""

    NOTICE = "notice"  # a message; a crash in the middle leaves it unknown
    EFFECT = "effect"  # idempotent enforcement or its lifting
    LETTER = "letter"  # a mail about one invoice; a crash in the middle leaves it unknown
    COMMAND = "command"  # idempotent work on a server that a person or the lifecycle asked for
    REPAIR = "repair"  # idempotent work that the controller asked for


@dataclass(frozen=True, slots=True)
class WaitsFor:
    """A notice waits for this observation of all servers, but not longer than `at_most`."""

    observed: str
    at_most: timedelta


@dataclass(frozen=True, slots=True)
class Intent:
    """An effect that a decision may ask for, and while it is still wanted. Both `wanted_…` empty: always."""

    name: str
    kind: IntentKind
    place: Place
    per_server: bool = False
    wanted_in: tuple[tuple[str, str], ...] = ()  # (machine, state)
    wanted_for: tuple[str, ...] = ()  # server billing states
    promises: str | None = None  # rule name `machine.rule` whose date the notice tells
    waits_for: WaitsFor | None = None
    destructive: bool = False
    starts_servers: bool = False
    enforcement: bool = False  # recorded as lastEnforcementAction and told to audit-log


@dataclass(frozen=True, slots=True)
class Plan:
    """What a customer may have: which Stripe prices mean it, and how many servers."""

    name: str
    prices: tuple[str, ...]
    servers: int
    place: Place
    trial_days: int = 0  # of a customer's first subscription


@dataclass(frozen=True, slots=True)
class Standing:
    """Which evidence counts: invoice statuses that are owed, subscription statuses that are late, plans."""

    owed_invoice_statuses: tuple[str, ...]
    late_subscription_statuses: tuple[str, ...]
    active_subscription_statuses: tuple[str, ...]
    plans: Mapping[str, Plan]
    facts: Mapping[str, Fact]
    predicates: Mapping[str, Guard]
    open_dispute_statuses: tuple[str, ...] = ()
    lost_dispute_statuses: tuple[str, ...] = ()
    free_servers: int = 0  # of an account without a plan


@dataclass(frozen=True, slots=True, eq=False)
class Policy:
    """A checked policy folder. `digest` covers its meaning with overrides resolved, not its formatting.

    Equal only to itself, so that what was found out about one can be kept with it; equal digests mean the same.
    """

    digest: str
    machines: Mapping[str, Machine]  # in the order of severity of their code: billing first
    standing: Standing
    facts: Mapping[str, Fact]  # all, by name; a name means one thing everywhere
    permits: Mapping[str, Permit]
    intents: Mapping[str, Intent]
    gates: Gates
    repairs: Repairs
    notices: Mapping[str, NoticeText]
    state_texts: Mapping[tuple[str, str], StateText]
    alerts: Mapping[str, str]  # alert kind -> Discord channel
    calendars: Mapping[str, tuple[Window, ...]]  # named lists
    dates: Mapping[str, frozenset[str]]  # named lists of ISO dates
    guarantees: tuple[Guarantee, ...] = ()  # what it promises about itself
    announce: tuple[Announcement, ...] = ()  # which windows customers are told of
    letter_words: Mapping[str, LetterWords] = field(default_factory=dict)  # language -> what stands below a notice

    @property
    def account_machines(self) -> tuple[Machine, ...]:
        """The machines that an account runs, billing first."""
        return tuple(m for m in self.machines.values() if m.of == "account")

    def rule(self, name: str) -> Rule:
        """Return the rule called `machine.id`. Raises KeyError."""
        machine, _, rule_id = name.partition(".")
        return next(r for r in self.machines[machine].rules if r.id == rule_id)


SERVER_BILLING_STATES = ("allowed", "backup_blocked", "suspended_shutdown", "retained")  # in order of severity
STOPPED_BILLING_STATES = frozenset({"suspended_shutdown", "retained"})  # in these a server never runs
