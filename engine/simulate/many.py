"""Random account-years under a policy: how late accounts are when suspended, how much is written, who pays where.

Every account draws its own numbers from the seed and its number, so the result does not depend on how many processes
share the work. What customers do is an assumption, in `HABITS`; what the policy does is decided by the real `settle`.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

from engine.compiled import compiled
from engine.decide import settle
from engine.delivered import claimed, stamped
from engine.due import held
from engine.model import STOPPED_BILLING_STATES, IntentKind, Policy, Value
from engine.snapshot import Asked, Hold, NoticeStatus, Settlement, Snapshot
from engine.timeline.items import START, Timeline, newcomer
from engine.timeline.play import next_instant

YEAR = timedelta(days=365)
CHUNK = 2_000  # accounts that a process takes at once
MOST_STEPS = 200  # decisions in one debt; more means that the policy never comes to rest
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Habits:
    """What customers and the post are assumed to do."""

    charges: int = 12  # a year
    fails: float = 0.04  # of each charge
    pays: tuple[tuple[float, float, float], ...] = (  # share, and between how many days after the failure it is paid
        (0.55, 0.0, 3.0),
        (0.25, 3.0, 6.0),
        (0.12, 6.0, 30.0),
    )  # the rest does not pay within the year
    asks_for_time: float = 0.03  # of each debt: an extension of up to ten days, from a day of the first five
    post_hours: float = 2.0  # a notice takes up to so long
    bounces: float = 0.005  # of each notice: given up, and nobody looks


HABITS = Habits()


class Dice:
    """A stream of numbers for one account: splitmix64, the same on every machine and Python."""

    __slots__ = ("_state",)

    def __init__(self, seed: int, account: int) -> None:
        self._state = (seed * 0x9E3779B97F4A7C15 + account * 0xD1B54A32D192ED03 + 0x632BE59BD9B4E019) & _MASK
        self.share()

    def share(self) -> float:
        """Return a number from 0 up to, not including, 1."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return ((z ^ (z >> 31)) >> 11) / (1 << 53)

    def between(self, low: float, high: float) -> float:
        """Return a number between two bounds."""
        return low + (high - low) * self.share()


@dataclass(slots=True)
class Totals:
    """What was counted. Sums of whole numbers only, so their order does not matter."""

    accounts: int = 0
    debts: int = 0
    decisions: int = 0
    late_days: Counter[int] = field(default_factory=Counter)  # whole days from the failure to the suspension
    notices: Counter[int] = field(default_factory=Counter)  # accounts by how many notices they got in the year
    kinds: Counter[str] = field(default_factory=Counter)  # notices by kind
    paid_in: Counter[str] = field(default_factory=Counter)  # debts by the state in which they were paid
    ends_in: Counter[str] = field(default_factory=Counter)  # unpaid debts by the state at the year's end
    stopped: int = 0  # accounts whose servers were stopped at least once
    shortest_notice_hours: int | None = None  # from the delivery of a promise to what it promised

    def add(self, other: Totals) -> None:
        """Take in what another process counted."""
        self.accounts += other.accounts
        self.debts += other.debts
        self.decisions += other.decisions
        self.stopped += other.stopped
        for name in ("late_days", "notices", "kinds", "paid_in", "ends_in"):
            getattr(self, name).update(getattr(other, name))
        hours = [h for h in (self.shortest_notice_hours, other.shortest_notice_hours) if h is not None]
        self.shortest_notice_hours = min(hours, default=None)


def play_many(
    policy: Policy, count: int, seed: int, processes: int, habits: Habits = HABITS, *, progress: bool = True
) -> Totals:
    """Play so many account-years and count; the same seed counts the same whatever the number of processes."""
    totals = Totals()
    with _Bar(count, shown=progress) as bar:
        for part in _parts(policy, count, seed, processes, habits):
            totals.add(part)
            bar.advance(part.accounts)
    return totals


def _parts(policy: Policy, count: int, seed: int, processes: int, habits: Habits) -> Iterator[Totals]:
    chunks = [(seed, first, min(first + CHUNK, count), habits) for first in range(0, count, CHUNK)]
    if processes <= 1 or len(chunks) == 1:
        _begin(policy)
        yield from map(_chunk, chunks)
        return
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("fork" if "fork" in kinds else "spawn")
    with context.Pool(min(processes, len(chunks)), _begin, (policy,)) as pool:
        yield from pool.imap_unordered(_chunk, chunks)


_policy: list[Policy] = []  # of this process


def _begin(policy: Policy) -> None:
    _policy[:] = [policy]
    compiled(policy)


def _chunk(work: tuple[int, int, int, Habits]) -> Totals:
    seed, first, end, habits = work
    totals = Totals()
    fresh = newcomer(_policy[0], Timeline())
    fresh = settle(_policy[0], fresh, START).snapshot
    for account in range(first, end):
        Life(_policy[0], fresh, Dice(seed, account), habits, totals).live()
    return totals


class Life:
    """One account through one year."""

    def __init__(self, policy: Policy, fresh: Snapshot, dice: Dice, habits: Habits, totals: Totals) -> None:
        self.policy = policy
        self.snapshot = fresh
        self.dice = dice
        self.habits = habits
        self.totals = totals
        self.now = START
        self.told = 0
        self.was_stopped = False
        self.post: list[tuple[datetime, Asked, bool]] = []  # when it arrives, and whether it does
        self.first = policy.account_machines[0].name

    def live(self) -> None:
        """Go through the year's charges, and through each debt until it is paid or the year is over."""
        totals, dice = self.totals, self.dice
        totals.accounts += 1
        end = START + YEAR
        for charge in range(self.habits.charges):
            at = START + YEAR * charge / self.habits.charges
            if dice.share() < self.habits.fails and at >= self.now:
                self.now = at
                self._debt(end)
        totals.notices[self.told] += 1
        totals.stopped += self.was_stopped

    def _debt(self, end: datetime) -> None:
        dice, failed = self.dice, self.now
        paid = self._pays(failed)
        held = dice.share() < self.habits.asks_for_time
        hold_from = failed + timedelta(days=dice.between(0, 5)) if held else None
        hold_days = dice.between(1, 10) if held else 0.0
        self.totals.debts += 1
        last = self._learn({"overdue_invoices": 1, "past_due_since": failed})
        stop = min(paid, end) if paid is not None else end
        for _ in range(MOST_STEPS):
            instants = [at for at, _, _ in self.post if at > self.now]
            instants += [hold_from] if hold_from is not None else []
            due = next_instant(self.policy, self.snapshot, last, self.now)
            now = min([*instants, *([due] if due is not None else []), stop])
            if now >= stop:
                break
            self.now = now
            if hold_from is not None and now >= hold_from:
                hold = Hold(self._hold_kind(), now + timedelta(days=hold_days))
                self.snapshot, hold_from = replace(self.snapshot, holds=(hold,)), None
            self._deliver()
            last = self._settle(failed)
        self.now = stop
        state = self.snapshot.states[self.first]
        if paid is not None and paid < end:
            self.totals.paid_in[state] += 1
            self.snapshot = replace(self.snapshot, holds=())
            self._learn({"overdue_invoices": 0, "past_due_since": None})
            self.now += timedelta(hours=self.habits.post_hours)
            self._deliver()
            self.post.clear()
        else:
            self.totals.ends_in[state] += 1

    def _pays(self, failed: datetime) -> datetime | None:
        share = self.dice.share()
        for part, low, high in self.habits.pays:
            if share < part:
                return failed + timedelta(seconds=int(self.dice.between(low, high) * 86_400))
            share -= part
        return None

    def _hold_kind(self) -> str:
        return next((kind for permit in self.policy.permits.values() for kind in permit.holds), "extension")

    def _learn(self, evidence: dict[str, Value]) -> Settlement:
        self.snapshot = replace(self.snapshot, facts={**self.snapshot.facts, **evidence})
        return self._settle(self.now)

    def _settle(self, failed: datetime) -> Settlement:
        settlement = settle(self.policy, self.snapshot, self.now)
        self.totals.decisions += 1
        self.snapshot = settlement.snapshot
        stopped = settlement.server.state in STOPPED_BILLING_STATES
        for step in settlement.steps:
            for asked in step.asked:
                if asked.kind is IntentKind.NOTICE:
                    arrives = self.now + timedelta(seconds=int(self.dice.between(0, self.habits.post_hours * 3600)))
                    self.post.append((arrives, asked, self.dice.share() >= self.habits.bounces))
            if stopped and step.from_ != step.to and self._stops(step.machine, step.from_, step.to):
                self._count_stop(failed, step.because)
        return settlement

    def _stops(self, machine: str, before: str, after: str) -> bool:
        """Tell whether this step is the one that stopped the servers."""
        lines = compiled(self.policy).by_name[machine].lines

        def stopped(state: str) -> bool:
            return any(line.server.state in STOPPED_BILLING_STATES for line in lines[state] if line.check is None)

        return stopped(after) and not stopped(before)

    def _count_stop(self, failed: datetime, rule: str) -> None:
        self.was_stopped = True
        self.totals.late_days[(self.now - failed).days] += 1
        for name, notice in self.snapshot.notices.items():
            if self.policy.intents[name].promises == rule and notice.claimed_at is not None:
                hours = int((self.now - notice.claimed_at).total_seconds() // 3600)
                least = self.totals.shortest_notice_hours
                self.totals.shortest_notice_hours = hours if least is None else min(least, hours)

    def _deliver(self) -> None:
        """Deliver what has arrived by now; what a hold keeps back waits for the next time."""
        waiting = []
        for arrives, asked, arrived in self.post:
            state = self.snapshot.notices.get(asked.intent)
            if arrives > self.now:
                waiting.append((arrives, asked, arrived))
            elif state is None or state.status is not NoticeStatus.OPEN or not arrived:
                continue
            elif held(self.policy, asked.intent, self.snapshot, self.now):
                waiting.append((max(hold.until or self.now for hold in self.snapshot.holds), asked, arrived))
            else:
                self.snapshot = claimed(self.policy, self.snapshot, asked.intent, asked.round, self.now)
                self.snapshot = stamped(self.policy, self.snapshot, asked.intent, asked.episode, asked.round, self.now)
                self.told += 1
                self.totals.kinds[asked.intent] += 1
        self.post = waiting


class _Bar:
    """A progress bar on the terminal, and nowhere else."""

    def __init__(self, count: int, *, shown: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("account-years"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console,
            transient=True, disable=not (shown and console.is_terminal),
        )  # fmt: skip
        self._task = self._progress.add_task("", total=count)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def advance(self, count: int) -> None:
        """Note that so many are done."""
        self._progress.advance(self._task, count)
