"""Delivers the events of the books, signed, until each was taken: twice, in any order, late or not at all if asked."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field

import httpx

from jobs.certificates import certificates
from tests.doubles import stripe as shapes
from tests.doubles.stripe_books import Books, Document
from tests.doubles.stripe_pages import Delivery

AT_ONCE = 50
LONGEST_PAUSE_SECONDS = 60.0


@dataclass
class Deliverer:
    """Sends what nobody has taken yet. `pending_webhooks` of an event says whether somebody has."""

    books: Books
    how: Delivery
    url: str
    secret: str = field(repr=False)
    seen_at: dict[str, float] = field(default_factory=dict)
    pauses: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Of what was not taken: the pause, and when it is over."""

    def __post_init__(self) -> None:
        self.client = httpx.Client(timeout=30, trust_env=False, verify=certificates())

    def step(self) -> int:
        """Deliver what is waiting now; return how many events were taken."""
        if self.how.off:
            return 0
        with self.books.lock:
            waiting = [each for each in self.books.events if each["pending_webhooks"] and self._is_due(each)]
        if self.how.shuffled:
            random.shuffle(waiting)
        taken = [each for each in waiting[:AT_ONCE] if self._deliver(each)]
        if taken:
            with self.books.lock:
                for event in taken:
                    event["pending_webhooks"] = 0
                self.books.save()
        return len(taken)

    def _is_due(self, event: Document) -> bool:
        now = time.monotonic()
        first = self.seen_at.setdefault(event["id"], now)
        return now >= max(first + self.how.delay_seconds, self.pauses.get(event["id"], (0.0, 0.0))[1])

    def _deliver(self, event: Document) -> bool:
        body = shapes.body_of(event)
        answers = [self._post(body) for _ in range(self.how.copies)]
        if all(answers):
            self.seen_at.pop(event["id"], None)
            self.pauses.pop(event["id"], None)
            return True
        pause = min(LONGEST_PAUSE_SECONDS, 2 * self.pauses.get(event["id"], (0.25, 0.0))[0])
        self.pauses[event["id"]] = pause, time.monotonic() + pause
        return False

    def _post(self, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "Stripe-Signature": shapes.signature(body, self.secret)}
        try:
            return self.client.post(self.url, content=body, headers=headers).status_code == httpx.codes.OK
        except httpx.TransportError:
            return False
