"""A random walk over the real decisions: concrete times, any evidence, permits, post, people, holds and outages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random

from engine.compiled import compiled
from engine.decide import blank, settle
from engine.delivered import ended, issued_again, stamped
from engine.errors import CommandRefused
from engine.guards import holds
from engine.model import FactType, Guard, IntentKind, Policy, Value
from engine.model_permits import PermitKind
from engine.snapshot import Asked, Command, Hold, NoticeStatus, ServerFacts, Settlement, Snapshot
from engine.timeline.items import good_standing
from engine.wanted import wanted
from tests.factories import START

SECONDS = (0, 0, 1, 59, 3600, 86_400, 200_000)
PEOPLE = ("ada", "grace")


@dataclass(frozen=True)
class Happened:
    """One thing that happened: a settlement, or a delivery. `before` is the account right before it."""

    at: datetime
    before: Snapshot
    after: Snapshot
    settlement: Settlement | None = None
    command: Command | None = None
    delivered: str | None = None


@dataclass
class Walk:
    """One account under way; `steps` yields all that happens to it."""

    policy: Policy
    random: Random
    now: datetime = START
    snapshot: Snapshot = field(init=False)
    due_at: datetime | None = None
    open: list[Asked] = field(default_factory=list)
    happened: list[Happened] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Begin as a newcomer in good standing."""
        states, episodes = blank(self.policy)
        self.snapshot = Snapshot("walker", states, episodes, good_standing(self.policy))
        self.events = sorted({r.event for m in self.policy.account_machines for r in m.rules if r.event is not None})
        self.roles = {r.event: r.by or "customer" for m in self.policy.account_machines for r in m.rules}
        self.kinds = sorted({kind for permit in self.policy.permits.values() for kind in permit.holds})
        spans = {timer.duration for m in self.policy.account_machines for r in m.rules for timer in r.after + r.before}
        self.spans = sorted(spans) or [timedelta(hours=1)]
        self.permit(ease=True)

    def steps(self, count: int) -> Iterator[Happened]:
        """Yield what happens in so many actions, each at its place in the order."""
        acts = (self._evidence, self._evidence_like_life, self._wait, self._wait, self._wait, self._post, self._post,
                self._post, self._send_command, self._hold, self.permit, self._live_on, self._live_on)  # fmt: skip
        for _ in range(count):
            self.random.choice(acts)()
            yield from self.happened
            self.happened.clear()

    # ---- what may happen ---------------------------------------------------------------------------------------------

    def settle(self, command: Command | None = None) -> None:
        before = self.snapshot
        settlement = settle(self.policy, before, self.now, command)
        self.snapshot, self.due_at = settlement.snapshot, settlement.due_at
        self.happened.append(Happened(self.now, before, self.snapshot, settlement, command))
        for step in settlement.steps:
            self.open += [each for each in step.asked if each.kind is IntentKind.NOTICE]

    def _evidence(self) -> None:
        """Learn anything about one or all facts, however unlikely."""
        facts = [name for name, fact in self.policy.facts.items() if name in self.snapshot.facts and self._given(name)]
        chosen = facts if self.random.random() < 0.2 else [self.random.choice(facts)]
        self.snapshot = replace(self.snapshot, facts={**self.snapshot.facts, **{n: self.value(n) for n in chosen}})
        self.settle()

    def _given(self, name: str) -> bool:
        return name in good_standing(self.policy)

    def value(self, name: str) -> Value:
        fact = self.policy.facts[name]
        if fact.type is FactType.BOOL:
            return self.random.random() < 0.3
        if fact.type is FactType.INT:
            return self.random.randint(0, 2)
        if fact.type is FactType.ENUM:
            return self.random.choice(fact.values)
        return None if self.random.random() < 0.2 else self.now - self._span() * self.random.choice((0, 1, 3))

    def _evidence_like_life(self) -> None:
        """Learn of a debt, of a payment, or of the end of a subscription, as storage would put it."""
        ago = self.now - self._span() * self.random.choice((0, 0, 1, 2))
        stories: tuple[dict[str, Value], ...] = (
            {"overdue_invoices": 1, "past_due_since": ago, "exempt": False},
            {"overdue_invoices": 1, "past_due_since": ago, "exempt": False},
            {"overdue_invoices": 0, "past_due_since": None, "subscription": "active", "subscription_ended_at": None},
            {"overdue_invoices": 0, "past_due_since": None, "subscription": "canceled", "subscription_ended_at": ago,
             "exempt": False},
        )  # fmt: skip
        story = {name: value for name, value in self.random.choice(stories).items() if self._given(name)}
        self.snapshot = replace(self.snapshot, facts={**self.snapshot.facts, **story})
        self.settle()

    def _span(self) -> timedelta:
        return self.random.choice(self.spans) + timedelta(seconds=self.random.choice((-1, 0, 0, 1)))

    def _wait(self) -> None:
        """Go on, most often to where something is due; perhaps nobody looks for a while."""
        if self.due_at is not None and self.due_at > self.now and self.random.random() < 0.7:
            self.now = max(self.now, self.due_at + timedelta(seconds=self.random.choice((-1, 0, 0, 1, 7200))))
        else:
            some = timedelta(seconds=self.random.choice(SECONDS))
            self.now += max(timedelta(0), self.random.choice((self._span(), some)))
        if self.random.random() < 0.9:
            self.settle()

    def _post(self, likely: float = 0.6) -> None:
        """Have the post deliver one open notice, lose it or give it up; or have a person send it again."""
        known = self.snapshot.notices
        latest = {(name, state.episode, state.round) for name, state in known.items()}
        self.open = [each for each in self.open if (each.intent, each.episode, each.round) in latest]
        if not self.open:
            return
        each = self.random.choice(self.open)
        if self.random.random() < likely:
            before = self.snapshot
            self.snapshot = stamped(self.policy, before, each.intent, each.episode, each.round, self.now)
            if self.snapshot is not before:
                self.happened.append(Happened(self.now, before, self.snapshot, delivered=each.intent))
        elif known[each.intent].status in {NoticeStatus.UNKNOWN, NoticeStatus.FAILED}:
            self.snapshot, again = issued_again(self.policy, self.snapshot, each.intent, self.now)
            self.open.append(again)
        else:
            status = self.random.choice((NoticeStatus.UNKNOWN, NoticeStatus.FAILED))
            self.snapshot = ended(self.snapshot, each.intent, each.episode, each.round, status)
        if self.random.random() < 0.8:
            self.settle()

    def _send_command(self) -> None:
        if not self.events:
            return
        states = self.snapshot.states
        apt = [
            str(rule.event)
            for machine in self.policy.account_machines
            for rule in machine.rules
            if rule.event is not None and states[machine.name] in rule.sources
        ]
        event = self.random.choice(apt if apt and self.random.random() < 0.7 else self.events)
        try:
            self.settle(Command(event, self.roles[event], self.random.choice(PEOPLE)))
        except CommandRefused:
            self.settle()

    def _hold(self) -> None:
        ends = (None, *(self.now + self._span() for _ in range(3)))
        holds = tuple(Hold(kind, self.random.choice(ends)) for kind in self.kinds if self.random.random() < 0.4)
        self.snapshot = replace(self.snapshot, holds=holds if self.random.random() < 0.4 else ())
        self.settle()

    def permit(self, *, ease: bool = False) -> None:
        answers: dict[str, bool | None] = {
            name: True if ease or self.random.random() < 0.8 else self.random.choice((False, None))
            for name, permit in self.policy.permits.items()
            if permit.kind in {PermitKind.SERVICE, PermitKind.BRAKE}
        }
        lifecycle = "running" if ease or self.random.random() < 0.8 else "backing_up"
        servers = (ServerFacts("s1", lifecycle, "running"),)
        self.snapshot = replace(self.snapshot, permits=answers, servers=servers)
        self.settle()

    def _live_on(self) -> None:
        """Have nothing in the way for a while, so that the walk gets high up."""
        self.permit(ease=True)
        self.snapshot = replace(self.snapshot, holds=())
        for _ in range(self.random.randint(1, 6)):
            self._post(likely=1.0)
            if self.random.random() < 0.2:
                self._send_command()
            if self.due_at is not None and self.due_at > self.now:
                self.now = self.due_at
            self.settle()


def fair_end(walk: Walk, guard: Guard, evidence: Mapping[str, Value]) -> Snapshot | None:
    """Have everybody do their part from now on, under evidence that stays; None where the guard does not stay so."""
    walk.snapshot = replace(walk.snapshot, facts={**walk.snapshot.facts, **evidence}, holds=())
    walk.permit(ease=True)
    for _ in range(60):
        states = walk.snapshot.states
        mirrors = {
            fact.name: states[fact.of]
            for fact in walk.policy.facts.values()
            if fact.of is not None and fact.of in states
        }
        if not holds(guard, {**walk.snapshot.facts, **mirrors}):
            return None
        for notice, state in list(walk.snapshot.notices.items()):
            each = (notice, state.machine, state.episode)
            if wanted(walk.policy, walk.snapshot, *each, walk.now, round_=state.round).ok:
                walk.snapshot = stamped(walk.policy, walk.snapshot, notice, state.episode, state.round, walk.now)
        walk.settle()
        if walk.due_at is not None and walk.due_at > walk.now:
            walk.now = walk.due_at
            walk.settle()
    return walk.snapshot


def stamps_of(policy: Policy, snapshot: Snapshot, names: tuple[str, ...]) -> dict[str, datetime | None]:
    """Return when each stamp was set, what is added to it taken off again; None for those that are not set."""
    found: dict[str, datetime | None] = {}
    plus = {name: span for stamps in compiled(policy).delivered.values() for name, span in stamps}
    for name in names:
        at = snapshot.facts.get(name)
        span = plus.get(name, policy.facts[name].plus)
        found[name] = at - span if isinstance(at, datetime) else None
    return found
