"""An account to which anything may happen, and which checks at every settlement that no guarantee breaks."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from hypothesis import strategies as st

from engine.decide import settle
from engine.delivered import claimed, ended, stamped
from engine.due import held
from engine.errors import CommandRefused
from engine.model import IntentKind, Origin, Policy, Value
from engine.snapshot import Asked, Command, Hold, NoticeStatus, ServerFacts, Settlement, Snapshot, StepKind
from engine.wanted import wanted
from tests.factories import START, hours, snapshot_of

SECOND = timedelta(seconds=1)
FAR = timedelta(days=4000)
FINAL = "send_final_warning"
RUNNING = (ServerFacts("s1", "running", "running"),)
NOTICE_BEFORE_SUSPENSION = hours(48)


_variants: dict[tuple[str, int], Policy] = {}


def with_suspension_after(policy: Policy, count: int) -> Policy:
    """Return the policy with another `suspend_after`, in hours; the same one for the same question."""
    key = (policy.digest, count)
    if key not in _variants:
        billing = policy.machines["billing"]
        pressure = tuple(
            replace(
                rule,
                after=tuple(
                    replace(timer, duration=hours(count)) if timer.anchor == "past_due_since" else timer
                    for timer in rule.after
                ),
            )
            if rule.id == "suspend"
            else rule
            for rule in billing.pressure
        )
        machines = {
            name: replace(billing, pressure=pressure) if name == "billing" else m for name, m in policy.machines.items()
        }
        _variants[key] = replace(policy, machines=machines)
    return _variants[key]


@dataclass(frozen=True)
class Told:
    """A date that left for a customer."""

    at: datetime
    rule: str
    date: datetime
    episode: int


class Life:
    """One account, and everything that was ever asked for it or told to its customer."""

    def __init__(self, policy: Policy) -> None:
        self.home = policy  # what it began under
        self.policy = policy
        self.now = START
        self.snapshot: Snapshot = snapshot_of(policy, servers=RUNNING)
        self.open: list[Asked] = []
        self.told: list[Told] = []
        self.final_delivered: dict[int, list[datetime]] = {}
        self.keys: set[str] = set()
        self.settle()

    def settle(self, command: Command | None = None) -> Settlement:
        """Settle, and check everything that must hold of a settlement."""
        settlement = settle(self.policy, self.snapshot, self.now, command)
        Check(self, self.snapshot, settlement).all()
        self.snapshot = settlement.snapshot
        for step in settlement.steps:
            for asked in step.asked:
                assert asked.key("a") not in self.keys, f"{asked.key('a')} was asked for twice"
                self.keys.add(asked.key("a"))
                if asked.kind is IntentKind.NOTICE:
                    self.open.append(asked)
        return settlement

    def learn(self, **facts: Value) -> None:
        """Learn evidence."""
        self.snapshot = replace(self.snapshot, facts={**self.snapshot.facts, **facts})
        self.settle()

    # ---- what may happen: each takes one value -----------------------------------------------------------------------

    def late(self, ago: int) -> None:
        """Learn of an invoice whose payment failed so many hours ago."""
        self.learn(overdue_invoices=1, past_due_since=self.now + hours(ago))

    def paid(self, _: object = None) -> None:
        """Learn that everything was paid."""
        self.learn(overdue_invoices=0, past_due_since=None, subscription="active")

    def moved(self, ago: int) -> None:
        """Learn that what is owed is owed since another time."""
        if self.snapshot.facts.get("past_due_since") is not None:
            self.learn(past_due_since=self.now + hours(ago))

    def subscription(self, status: str) -> None:
        """Learn another status of the subscription."""
        self.learn(subscription=status, subscription_ended_at=self.now if status == "canceled" else None)

    def exempt(self, exempt: bool) -> None:
        """Have a person exempt the account, or not."""
        self.learn(exempt=exempt)

    def go(self, count: float) -> None:
        """Be away for so many hours."""
        self.now += hours(count)
        self.settle()

    def go_to_due(self, seconds: int) -> None:
        """Go on to so many seconds after the next due instant."""
        due_at = self.settle().due_at
        if due_at is not None and due_at > self.now:
            self.now = due_at + timedelta(seconds=seconds)
            self.settle()

    def live_on(self, rounds: int) -> None:
        """Have the post work, and look at every due instant."""
        for _ in range(rounds):
            for _ in range(4):
                self.post((NoticeStatus.DELIVERED, 0))
            self.go_to_due(0)

    def hold(self, ends: list[int | None]) -> None:
        """Have these holds and no others, each ending in so many hours or when somebody ends it."""
        kinds = itertools.cycle(("extension", "processor_outage"))
        holds = (
            Hold(kind, None if end is None else self.now + hours(end)) for kind, end in zip(kinds, ends, strict=False)
        )
        self.snapshot = replace(self.snapshot, holds=tuple(holds))
        self.settle()

    def permit(self, answer: bool | None) -> None:
        """Have every service and brake answer so."""
        self.snapshot = replace(self.snapshot, permits=dict.fromkeys(self.snapshot.permits, answer))
        self.settle()

    def policy_deployed(self, suspend_after: int) -> None:
        """Deploy a policy that differs in how long after the failed payment servers are suspended."""
        self.policy = with_suspension_after(self.home, suspend_after)
        self.settle()

    def server(self, lifecycle: str) -> None:
        """Have the server there in its lifecycle."""
        self.snapshot = replace(self.snapshot, servers=(ServerFacts("s1", lifecycle, "running"),))
        self.settle()

    def command(self, event: str) -> None:
        """Have an admin try something."""
        try:
            self.settle(Command(event, "admin", "ada"))
        except CommandRefused:
            self.settle()

    def post(self, how: tuple[NoticeStatus, float]) -> None:
        """Send the first open notice that may be sent, with this outcome after so many hours; `open` means unsent."""
        for asked in list(self.open):
            state = self.snapshot.notices.get(asked.intent)
            if state is None or (state.episode, state.round) != (asked.episode, asked.round):
                self.open.remove(asked)
            elif (
                state.status is NoticeStatus.OPEN
                and not held(self.policy, asked.intent, self.snapshot, self.now)
                and wanted(
                    self.policy, self.snapshot, asked.intent, asked.machine, asked.episode, self.now, round_=asked.round
                ).ok
            ):
                self._send(asked, *how)
                return

    def _send(self, asked: Asked, outcome: NoticeStatus, slow: float) -> None:
        self.snapshot = claimed(self.policy, self.snapshot, asked.intent, asked.round, self.now)
        rule = self.policy.intents[asked.intent].promises
        date = self.snapshot.notices[asked.intent].promise_at
        if rule is not None and date is not None and outcome is not NoticeStatus.OPEN:
            self.told.append(Told(self.now, rule, date, asked.episode))
        self.now += hours(slow)
        if outcome is NoticeStatus.DELIVERED:
            self.snapshot = stamped(self.policy, self.snapshot, asked.intent, asked.episode, asked.round, self.now)
            if asked.intent == FINAL:
                self.final_delivered.setdefault(asked.episode, []).append(self.now)
        elif outcome is not NoticeStatus.OPEN:
            self.snapshot = ended(self.snapshot, asked.intent, asked.episode, asked.round, outcome)
        self.settle()


class Check:
    """What must hold of one settlement of a life."""

    def __init__(self, life: Life, before: Snapshot, settlement: Settlement) -> None:
        self.policy, self.now, self.life = life.policy, life.now, life
        self.before, self.after, self.settlement = before, settlement.snapshot, settlement

    def all(self) -> None:
        """Assert everything."""
        self.settling_again_does_nothing()
        self.steps_climb_one_rung_and_follow_each_other()
        self.holds_hold()
        self.suspensions_keep_their_notice_and_every_promise()
        self.the_due_instant_is_honest()
        self.who_owes_nothing_is_active_and_forgotten()

    def settling_again_does_nothing(self) -> None:
        again = settle(self.policy, self.after, self.now)
        assert again.steps == ()
        assert (again.due_at, again.server) == (self.settlement.due_at, self.settlement.server)
        assert again.waiting == self.settlement.waiting

    def steps_climb_one_rung_and_follow_each_other(self) -> None:
        rungs = dict(self.before.states)
        for step in self.settlement.steps:
            ladder = self.policy.machines[step.machine].ladder
            assert step.from_ == rungs[step.machine]
            assert ladder.index(step.to) - ladder.index(step.from_) <= 1, f"{step.because} jumps"
            rungs[step.machine] = step.to
        assert rungs == dict(self.after.states)

    def holds_hold(self) -> None:
        if any(hold.until is None or hold.until > self.now for hold in self.before.holds):
            rules = [
                self.policy.rule(s.because)
                for s in self.settlement.steps
                if s.kind in {StepKind.TRANSITION, StepKind.MARK}
            ]
            assert [r.name for r in rules if "no_hold" in r.needs] == []

    def suspensions_keep_their_notice_and_every_promise(self) -> None:
        for step in self.settlement.steps:
            if step.kind is not StepKind.TRANSITION:
                continue
            episode = self.before.episodes[step.machine]
            for told in self.life.told:
                if (told.rule, told.episode) == (step.because, episode):
                    assert self.now >= told.date, f"{step.because} before {told.date}, told at {told.at}"
            if step.because == "billing.suspend":
                delivered = self.life.final_delivered.get(episode, [])
                assert any(self.now - sent >= NOTICE_BEFORE_SUSPENSION for sent in delivered)

    def the_due_instant_is_honest(self) -> None:
        due_at = self.settlement.due_at
        if due_at is not None and due_at <= self.now:
            assert self.settlement.waiting, "due in the past, and nothing says why"
            return
        horizon = due_at - SECOND if due_at is not None else self.now + FAR
        for instant in (self.now + (horizon - self.now) / 2, horizon):
            if instant > self.now:
                between = settle(self.policy, self.after, instant)
                assert between.steps == (), f"{between.steps[0].because} at {instant}, before {due_at}"
        if due_at is not None:
            then = settle(self.policy, self.after, due_at)
            assert then.steps or then.waiting, f"nothing happens or waits at {due_at}"

    def who_owes_nothing_is_active_and_forgotten(self) -> None:
        facts = self.after.facts
        owes = bool(facts["overdue_invoices"]) or facts["subscription"] in {"past_due", "unpaid"}
        if owes and facts["exempt"] is False:
            return
        assert self.after.states["billing"] == "active"
        origins = {Origin.DELIVERED, Origin.ENTERED, Origin.MARK}
        stamps = [f.name for f in self.policy.machines["billing"].facts.values() if f.origin in origins]
        assert [name for name in stamps if facts.get(name) is not None] == []
        assert FINAL not in self.after.notices


# ---- timelines ------------------------------------------------------------------------------------------------------

Action = tuple[str, object]


def weighted(*choices: tuple[int, str, st.SearchStrategy[object]]) -> st.SearchStrategy[Action]:
    """Return one of the actions, the heavier ones more often: without that, hardly any account is ever suspended."""
    return st.sampled_from([(kind, what) for weight, kind, what in choices for _ in range(weight)]).flatmap(
        lambda chosen: st.tuples(st.just(chosen[0]), chosen[1])
    )


EVENTS = (
    "abuse_reported",
    "abuse_confirmed",
    "abuse_cleared",
    "deletion_requested",
    "deletion_approved",
    "deletion_withdrawn",
)
OUTCOMES = tuple(status for status in NoticeStatus if status is not NoticeStatus.VOID)
ACTIONS = weighted(
    (3, "late", st.integers(-2000, 0)),
    (1, "paid", st.none()),
    (1, "subscription", st.sampled_from(("active", "past_due", "unpaid", "canceled", "paused"))),
    (1, "exempt", st.sampled_from((False, False, True))),
    (2, "moved", st.integers(-500, 0)),
    (2, "go", st.sampled_from((0.01, 1, 23, 24, 25, 47, 48, 72, 73, 120, 400, 9000))),
    (4, "go_to_due", st.sampled_from((0, 1, 30))),
    (3, "post", st.tuples(st.sampled_from(OUTCOMES), st.sampled_from((0, 0, 0.5, 60)))),
    (8, "live_on", st.integers(1, 5)),
    (3, "hold", st.lists(st.none() | st.sampled_from((1, 30, 100, 500)), max_size=2)),
    (2, "permit", st.sampled_from((True, True, None, False))),
    (1, "server", st.sampled_from(("running", "running", "backing_up"))),
    (2, "command", st.sampled_from(EVENTS)),
    (2, "policy_deployed", st.sampled_from((24, 100, 120, 200, 1000))),
)
TIMELINES = st.integers(1, 40).flatmap(lambda length: st.lists(ACTIONS, min_size=length, max_size=length))


def live(policy: Policy, timeline: list[Action]) -> Life:
    """Return an account to which all of this has happened."""
    life = Life(policy)
    for name, value in timeline:
        getattr(life, name)(value)
    return life
