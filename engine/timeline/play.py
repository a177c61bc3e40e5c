"""Plays the life of one account: evidence, people, the post and the host on a timeline, decided by the real `settle`.

Between two items it visits every instant at which something is due. Everybody who is asked does as asked, unless an
item says otherwise: permits answer yes, notices arrive at once, the host obeys.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from engine.compiled import ALWAYS, compiled
from engine.decide import settle
from engine.delivered import claimed, ended, issued_again, stamped
from engine.due import held
from engine.errors import CommandRefused
from engine.model import IntentKind, Policy
from engine.model_permits import PermitKind
from engine.snapshot import Asked, Command, NoticeState, NoticeStatus, Settlement, Snapshot, Step
from engine.timeline.invoices import Invoices
from engine.timeline.items import START, Item, Moment, Post, Sending, Sent, Timeline, good_standing, newcomer
from engine.timeline.servers import Servers
from engine.wanted import wanted

__all__ = [
    "START", "Item", "Moment", "Player", "Sent", "Timeline", "good_standing", "newcomer", "next_instant", "onwards",
    "play", "promises",
]  # fmt: skip

MOST_MOMENTS = 20_000  # a timeline that never comes to an end is a fault of the policy, and is shown as one


def play(policy: Policy, timeline: Timeline, until: datetime | None = None) -> list[Moment]:
    """Return what happens at each item, at each due instant between, and up to `until`, which may be beyond the last.

    The first moment is the start itself, before any item. Each item has exactly one moment.
    """
    return list(Player(policy, timeline).run(until))


def onwards(policy: Policy, snapshot: Snapshot, now: datetime) -> Timeline:
    """Return how an account's life goes on from here if nothing changes.

    An answer that has only grown old, such as when Stripe was asked last, is asked for again once it is needed.
    """
    aging = [name for name, permit in policy.permits.items() if permit.younger_than is not None]
    asked_again = Item(timedelta(0), permits=dict.fromkeys(aging, True))
    return Timeline(now, snapshot.zone, (asked_again,), (), snapshot=snapshot)


def promises(policy: Policy, snapshot: Snapshot) -> dict[str, datetime]:
    """Return the dates that notices told and that still bind, by rule name."""
    found = {}
    for name, notice in snapshot.notices.items():
        intent = policy.intents.get(name)
        if intent is not None and intent.promises is not None and notice.promise_at is not None:
            found[intent.promises] = notice.promise_at
    return found


def next_instant(policy: Policy, snapshot: Snapshot, settlement: Settlement, now: datetime) -> datetime | None:
    """Return the next instant at which anything can follow by the passing of time alone; None: never.

    A rule that is due and not permitted hides what is due later, so then every rule is looked at.
    """
    if settlement.due_at is None or settlement.due_at > now:
        return settlement.due_at
    ready = compiled(policy)
    facts = ready.view(snapshot.states, snapshot.facts)
    instants = [waiting.until for waiting in settlement.waiting]
    instants += [hold.until for hold in snapshot.holds] + [snapshot.recheck_at]
    instants += [notice.promise_at for notice in snapshot.notices.values()]
    for machine in ready.machines:
        state = snapshot.states[machine.name]
        for rule in machine.pressure[state] + machine.relief[state]:
            instants.append(rule.due_at(facts, snapshot.notices))
    return min((at for at in instants if at is not None and at is not ALWAYS and at > now), default=None)


@dataclass(frozen=True, slots=True)
class _Open:
    """A notice that was asked for and has not ended."""

    asked: Asked
    since: datetime


class Player:
    """One account on its way through a timeline."""

    def __init__(self, policy: Policy, timeline: Timeline) -> None:
        self.home = policy
        self.policy = policy
        self.timeline = timeline
        self.now = timeline.start
        self.snapshot = newcomer(policy, timeline)
        self.servers = Servers(policy, timeline, self.snapshot)
        self.invoices = Invoices(policy, self.servers.moves)
        self.post: Post = "auto"
        self.open: list[_Open] = _still_open(policy, self.snapshot, timeline.start)
        self.answers: dict[str, bool | None] = {}
        self._variants: dict[frozenset[str], Policy] = {}
        self.last: Settlement | None = None
        self._counted = self.invoices.evidence()
        self._begin()

    def _begin(self) -> None:
        self._steps: list[Step] = []
        self._sent: list[Sent] = []
        self._refused: str | None = None
        self.servers.moves.clear()

    def run(self, until: datetime | None = None) -> Iterator[Moment]:
        """Yield each moment, in order."""
        count = 0
        yield self._moment(None)
        for index, item in enumerate(self.timeline.items):
            for moment in self._go_on(self.timeline.start + item.at, inclusive=False):
                yield moment
                count += 1
                if count > MOST_MOMENTS:
                    return
            self.now = max(self.now, self.timeline.start + item.at)
            yield self._moment(index, item)
        if until is not None:
            for moment in self._go_on(until, inclusive=True):
                yield moment
                count += 1
                if count > MOST_MOMENTS:
                    return

    def _go_on(self, target: datetime, *, inclusive: bool) -> Iterator[Moment]:
        while True:
            at = self.next_at()
            if at is None or at > target or (at == target and not inclusive):
                return
            self.now = at
            moment = self._moment(None)
            if not moment.quiet:
                yield moment

    def next_at(self) -> datetime | None:
        """Return the next instant at which something may happen by itself."""
        assert self.last is not None
        instants = [
            next_instant(self.policy, self.snapshot, self.last, self.now),
            self.servers.due_at(),
            self.invoices.due_at(),
        ]
        for each in self.open:
            waits = self.policy.intents[each.asked.intent].waits_for
            instants.append(each.since + waits.at_most if waits is not None else None)
            if self.post == "auto" and self.snapshot.holds:
                instants += [hold.until for hold in self.snapshot.holds]
        return min((at for at in instants if at is not None and at > self.now), default=None)

    def _moment(self, index: int | None, item: Item | None = None) -> Moment:
        self._begin()
        self._settle(self._take(item) if item is not None else None)
        if item is not None:
            for name, outcome in item.send.items():
                self._send_named(name, outcome)
        while self._deliver() or self._serve(item):
            item = None
        assert self.last is not None
        return Moment(
            self.now, index, tuple(self._steps), tuple(self._sent), tuple(self.servers.moves), self._refused,
            self.snapshot, self.last.server, self.last.due_at, self.last.waiting,
        )  # fmt: skip

    def _take(self, item: Item) -> Command | None:
        """Let the world change as the item says; return the command that is then sent."""
        before = self.snapshot
        kept = tuple(hold for hold in before.holds if hold.kind not in item.holds)
        new = tuple(hold for hold in item.holds.values() if hold is not None)
        self.answers.update(item.permits)
        self.policy = self._policy_now()
        permits = {**before.permits, **item.permits}
        self.snapshot = replace(before, facts={**before.facts, **item.set}, holds=kept + new, permits=permits)
        if item.post is not None:
            self.post = item.post
        if item.obeys is not None:
            self.servers.obeys = item.obeys
        self._observe(item)
        for name, word in item.invoices.items():
            self.invoices.take(name, word, self.now, mail_leaves=self.post == "auto", by=item.by)
        return item.command

    def _observe(self, item: Item) -> None:
        for server_id, observed in item.observe.items():
            self.servers.observe(server_id, observed, self.now)
        self.snapshot = replace(self.snapshot, servers=self.servers.facts())

    def _policy_now(self) -> Policy:
        """Return the policy in which a permit that an item answered with no or unknown says so, whatever its kind."""
        silent = frozenset(
            name
            for name, answer in self.answers.items()
            if answer is not True and self.home.permits[name].kind not in {PermitKind.SERVICE, PermitKind.BRAKE}
        )
        if not silent:
            return self.home
        if silent not in self._variants:
            permits = {
                name: replace(permit, kind=PermitKind.SERVICE) if name in silent else permit
                for name, permit in self.home.permits.items()
            }
            self._variants[silent] = replace(self.home, permits=permits)
        return self._variants[silent]

    def _settle(self, command: Command | None = None) -> None:
        self._pass_time_of_invoices()
        self.servers.pass_time(self.now, self.snapshot)
        self.snapshot = replace(self.snapshot, servers=self.servers.facts())
        try:
            self.last = settle(self.policy, self.snapshot, self.now, command)
        except CommandRefused as refused:
            self._refused = refused.reason
            self.last = settle(self.policy, self.snapshot, self.now)
        self.snapshot = self.last.snapshot
        self._steps.extend(self.last.steps)
        asked = [each for step in self.last.steps for each in step.asked]
        self.open.extend(_Open(each, self.now) for each in asked if each.kind is IntentKind.NOTICE)
        self.servers.apply(asked, self.snapshot, self.last.server, self.now)
        self.snapshot = replace(self.snapshot, servers=self.servers.facts())

    def _pass_time_of_invoices(self) -> None:
        """Let invoices move on, and what of them became overdue or was paid become evidence."""
        before, _ = self._counted
        self.invoices.pass_time(self.now, mail_leaves=self.post == "auto")
        count, since = self._counted = self.invoices.evidence()
        if count == before:
            return
        facts = self.snapshot.facts
        counted, known = facts["overdue_invoices"], facts["past_due_since"]
        assert isinstance(counted, int), "it is never null"
        overdue = counted + count - before
        earliest = min((at for at in (since, known) if isinstance(at, datetime)), default=None)
        evidence = {"overdue_invoices": overdue, "past_due_since": earliest if overdue else None}
        self.snapshot = replace(self.snapshot, facts={**facts, **evidence})

    def _serve(self, item: Item | None) -> bool:
        """Send the item's events to servers; return whether the account must be looked at again."""
        if item is None or not item.servers:
            return False
        for server_id, event in item.servers.items():
            self.servers.event(server_id, event, self.snapshot, self.now, item.by)
        self._settle()
        return True

    def _deliver(self) -> bool:
        """Let the post have the first notice that may leave; return whether there was one."""
        if self.post == "delayed":
            return False
        for each in list(self.open):
            if self._is_over(each):
                self.open.remove(each)
            elif self._may_leave(each):
                self._send(each, "delivered" if self.post == "auto" else self.post)
                return True
        return False

    def _is_over(self, each: _Open) -> bool:
        state = self.snapshot.notices.get(each.asked.intent)
        gone = state is None or (state.episode, state.round) != (each.asked.episode, each.asked.round)
        return gone and self.snapshot.episodes.get(each.asked.machine) != each.asked.episode

    def _may_leave(self, each: _Open) -> bool:
        asked = each.asked
        state = self.snapshot.notices.get(asked.intent)
        same = state is not None and (state.episode, state.round) == (asked.episode, asked.round)
        if state is not None and same and state.status is not NoticeStatus.OPEN:
            return False
        if held(self.policy, asked.intent, self.snapshot, self.now):
            return False
        waits = self.policy.intents[asked.intent].waits_for
        if (
            waits is not None
            and self.now < each.since + waits.at_most
            and not self.servers.all_observed(waits.observed)
        ):
            return False
        return wanted(
            self.policy, self.snapshot, asked.intent, asked.machine, asked.episode, self.now, round_=asked.round
        ).ok

    def _send_named(self, name: str, outcome: Sending) -> None:
        if outcome == "again":
            self.snapshot, asked = issued_again(self.policy, self.snapshot, name, self.now)
            self.open.append(_Open(asked, self.now))
            return
        for each in reversed(self.open):
            if each.asked.intent == name:
                self._send(each, outcome)
                return

    def _send(self, each: _Open, outcome: Sending) -> None:
        asked = each.asked
        name, episode, round_ = asked.intent, asked.episode, asked.round
        if outcome in {"claimed", "delivered"}:
            known = self.snapshot.notices.get(name)
            if outcome == "claimed" or (known is not None and known.claimed_at is None):
                self.snapshot = claimed(self.policy, self.snapshot, name, round_, self.now)
        written = self.snapshot
        state: NoticeState | None = written.notices.get(name)
        if outcome == "delivered":
            self.snapshot = stamped(self.policy, written, name, episode, round_, self.now)
        elif outcome != "claimed":
            status = NoticeStatus.FAILED if outcome == "failed" else NoticeStatus.UNKNOWN
            self.snapshot = ended(written, name, episode, round_, status)
        if outcome == "delivered" or state is None:
            self.open.remove(each)
        promise_at = state.promise_at if state is not None else None
        self._sent.append(Sent(name, asked.machine, round_, outcome, promise_at, written))
        self._settle()


def _still_open(policy: Policy, snapshot: Snapshot, now: datetime) -> list[_Open]:
    """Return the notices that the account had asked for before the timeline begins."""
    return [
        _Open(Asked(name, IntentKind.NOTICE, state.machine, state.episode, state.round), now)
        for name, state in snapshot.notices.items()
        if state.status is NoticeStatus.OPEN and name in policy.intents
    ]
