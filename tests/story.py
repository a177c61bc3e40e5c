"""An account that lives through a timeline, for tests that tell what becomes of a customer."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from engine.decide import settle
from engine.delivered import claimed, stamped
from engine.due import held
from engine.model import IntentKind, Policy, Value
from engine.snapshot import Asked, Command, Hold, NoticeStatus, ServerFacts, Settlement, Snapshot
from engine.wanted import wanted
from tests.factories import START, at, small_policy, snapshot_of

SMALL = small_policy()


class Story:
    """An account that lives through a timeline: settled after every change, its notices delivered unless told not."""

    def __init__(self, policy: Policy, snapshot: Snapshot | None = None, *, post: bool = True) -> None:
        self.policy = policy
        self.snapshot = snapshot or snapshot_of(policy, servers=(ServerFacts("s1", "running", "running"),))
        self.post = post
        self.now = START
        self.open: list[Asked] = []  # notices that have not left
        self.asked: list[tuple[datetime, Asked]] = []
        self.delivered: list[tuple[datetime, Asked, datetime | None]] = []  # when, what, and the date that it told
        self.rules: list[tuple[datetime, str]] = []
        self.last = self.settle()

    def settle(self, command: Command | None = None) -> Settlement:
        """Settle now, and deliver what was asked for, until nothing follows."""
        self.last = settle(self.policy, self.snapshot, self.now, command)
        self._take(self.last)
        while self.post and self.deliver():
            pass
        return self.last

    def until(self, when: float) -> Settlement:
        """Go on to so many hours after START, settling at every due instant on the way, and then there."""
        target = at(when)
        while self.last.due_at is not None and self.now < self.last.due_at < target:
            self.now = self.last.due_at
            self.settle()
        self.now = target
        return self.settle()

    def jump(self, when: float) -> Settlement:
        """Be away until so many hours after START, and settle only there."""
        self.now = at(when)
        return self.settle()

    def evidence(self, **facts: Value) -> Settlement:
        """Learn something, and settle."""
        self.snapshot = replace(self.snapshot, facts={**self.snapshot.facts, **facts})
        return self.settle()

    def hold(self, *holds: Hold) -> Settlement:
        """Have exactly these holds from now on, and settle."""
        self.snapshot = replace(self.snapshot, holds=holds)
        return self.settle()

    def permit(self, **answers: bool | None) -> Settlement:
        """Have permits answer so from now on, and settle."""
        self.snapshot = replace(self.snapshot, permits={**self.snapshot.permits, **answers})
        return self.settle()

    def admin(self, event: str, actor: str = "ada") -> Command:
        """Return an admin's command."""
        return Command(event, "admin", actor)

    def deliver(self) -> bool:
        """Deliver the first open notice that may be sent now, and settle. Return whether there was one."""
        for asked in self.open:
            state = self.snapshot.notices.get(asked.intent)
            if state is None or (state.episode, state.round) != (asked.episode, asked.round):
                continue
            if held(self.policy, asked.intent, self.snapshot, self.now):
                continue
            self.open.remove(asked)
            if not wanted(self.policy, self.snapshot, asked.intent, asked.machine, asked.episode, self.now).ok:
                return True
            claim = claimed(self.policy, self.snapshot, asked.intent, asked.round, self.now)
            told = claim.notices[asked.intent].promise_at
            self.delivered.append((self.now, asked, told))
            self.snapshot = stamped(self.policy, claim, asked.intent, asked.episode, asked.round, self.now)
            self.last = settle(self.policy, self.snapshot, self.now)
            self._take(self.last)
            return True
        return False

    def state(self, machine: str = "billing") -> str:
        """Return the machine's state."""
        return self.snapshot.states[machine]

    def promised(self, notice: str = "send_final_warning") -> datetime | None:
        """Return the date that the notice's standing round tells."""
        state = self.snapshot.notices.get(notice)
        return state.promise_at if state is not None and state.status is not NoticeStatus.VOID else None

    def notices(self) -> list[str]:
        """Return the notices that have left, in order."""
        return [asked.intent for _, asked, _ in self.delivered]

    def _take(self, settlement: Settlement) -> None:
        self.snapshot = settlement.snapshot
        for step in settlement.steps:
            self.rules.append((self.now, step.because))
            for asked in step.asked:
                self.asked.append((self.now, asked))
                if asked.kind is IntentKind.NOTICE:
                    self.open.append(asked)


def late_customer_after(count: float) -> Story:
    """Return a late customer's account under the small policy, so many hours after the failed payment."""
    story = Story(SMALL)
    story.evidence(overdue_invoices=1, past_due_since=START)
    story.until(count)
    return story
