"""Poll alone, webhooks alone, both, or webhooks that were away for days: the same end, and no notice twice."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, replace
from typing import Any, NamedTuple
from uuid import UUID

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from jobs.controller import Controller
from jobs.stripe.reconcile import Reconciliation
from storage import wakeups
from storage.accounts import create_account, create_customer
from storage.settings import Settings
from storage.stripe import inbox
from storage.stripe.inbox import Terms
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.jobs.floor import Floor
from tests.storage.billing import read

FACTS = "billing_status, subscription_status, plan, overdue_invoices, past_due_since, last_billing_event_at"
WAYS = ("webhooks", "poll", "both", "away")
SENT = text(
    "SELECT intent, episode, round FROM intents "
    "WHERE kind = 'notice' AND status = 'done' AND account_id = :id ORDER BY 1, 2, 3"
)
OUT_OF_THE_WAY = (
    "UPDATE accounts SET stripe_customer_id = NULL, due_at = NULL, held_until = NULL, billing_status = 'active'",
    "UPDATE clock SET offset_by = '0', seen_at = NULL",
    "UPDATE stripe_reader SET read_to = NULL, read_at = NULL, reconciled_at = NULL, ask_since = NULL",
    "DELETE FROM brake_slots",
)
STEP_HOURS = 24
LONG_AFTER = (72, 72, 96)  # time enough for every rung with its notice
Schedule = list[str]


class End(NamedTuple):
    """How an account ended, and which notices left on the way."""

    facts: tuple[Any, ...]
    notices: list[tuple[Any, ...]]


@dataclass
class Life:
    """One account whose Stripe lives the same life as the others', and how its events get here."""

    floor: Floor
    way: str
    stripe: StripeDouble
    account: UUID
    controller: Controller
    subscription: dict[str, Any]
    sent: int = 0
    """How many of its events webhooks have brought."""

    def happen(self, what: str) -> None:
        """Let something happen at Stripe."""
        books, customer = self.stripe.books, self.subscription["customer"]
        books.pass_time()
        if what in ("works", "fails_later"):
            books.set_card(customer, what)
        if what == "renew" and self.subscription["status"] in ("active", "past_due"):
            books.bill(self.subscription)
        if what == "charge":
            for invoice in books.of("invoice", customer=customer, status="open"):
                books.charge(invoice)
        if what == "cancel" and self.subscription["status"] != "canceled":
            books.cancel(self.subscription)

    def deliver(self, order: random.Random) -> None:
        """Let webhooks come: in any order, in groups, some of them twice."""
        events = self.stripe.books.events[self.sent :]
        self.sent = len(self.stripe.books.events)
        events = events + order.sample(events, len(events) // 3)
        order.shuffle(events)
        with self.floor.begin() as conn:
            inbox.take(conn, self.floor.policy, [read(each) for each in events], terms=Terms.of(self.floor.settings))

    def settle(self) -> None:
        """Let controller and workers do all that can be done now."""
        with self.floor.begin() as conn:
            wakeups.request(conn, "controller")
        self.floor.run(self.controller)

    def end(self) -> End:
        """Return how it ended, and take the account out of the way of the next."""
        with self.floor.begin() as conn:
            facts = conn.execute(text(f"SELECT {FACTS} FROM accounts WHERE id = :id"), {"id": self.account}).one()
            sent = conn.execute(SENT, {"id": self.account}).all()
            for statement in OUT_OF_THE_WAY:
                conn.execute(text(statement))
        return End(tuple(facts), [tuple(row) for row in sent])


def lived(floor: Floor, way: str, schedule: Schedule, base: int, seed: int) -> End:
    """Let an account live through a schedule, and then long enough."""
    hours = [0.0]
    with StripeDouble(now=lambda: base + round(hours[0] * 3600) + len(double.books.events)) as double:
        life = begun(floor, way, double)
        order = random.Random(seed)
        steps = [*((what, STEP_HOURS) for what in schedule), *(("nothing", each) for each in LONG_AFTER)]
        for number, (what, pause) in enumerate(steps):
            life.happen(what)
            away = way == "away" and number < len(schedule)
            double.fail_with = 503 if away else 0
            if way != "poll" and not away:
                life.deliver(order)
            life.settle()
            if away and number == len(schedule) - 1:
                double.fail_with = 0
                reconciled(life)
                life.sent = len(double.books.events)  # what was not taken then never comes again
            floor.advance(pause)
            hours[0] += pause
        life.settle()
        life.controller.stopping.set()
        life.controller.run()
        life.controller.context.presence.leave()
        return life.end()


def begun(floor: Floor, way: str, double: StripeDouble) -> Life:
    """Make the account, and whatever its events come by."""
    with floor.begin() as conn:
        customer = create_customer(conn, f"a{time.monotonic_ns()}@example.org", "Ada")
        at_stripe = double.books.customer({"name": "Ada"})
        account = create_account(conn, floor.policy, customer.id, stripe_customer_id=at_stripe["id"], plan="game")
    double.books.set_card(at_stripe["id"], "works")
    subscription = double.books.subscribe(at_stripe["id"], "price_game", metadata={"accountId": str(account)})
    key = "" if way == "webhooks" else KEY
    mode: Any = {"poll": "poll", "both": "both"}.get(way, "webhook")
    told: Settings = replace(floor.settings, stripe_api_key=key, stripe_api_base=double.url, stripe_mode=mode)
    floor.context = replace(floor.context, settings=told)
    return Life(floor, way, double, account, floor.controller(), subscription)


def reconciled(life: Life) -> None:
    """Do what `forbear stripe reconcile` does."""
    run = Reconciliation(life.floor.context.settings, life.floor.database, life.floor.policy)
    run.events(lambda _: None)
    assert run.found.reading.failed == 0
    run.to_ask(everybody=True)
    run.accounts(lambda _: None)
    life.settle()


HAPPENING = st.sampled_from(["nothing", "works", "fails_later", "renew", "charge", "cancel"])
SCHEDULES = st.lists(HAPPENING, min_size=2, max_size=4)
FOUR_DAYS = ["fails_later", "renew", "nothing", "charge"]


@settings(max_examples=1, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(schedule=SCHEDULES, seed=st.integers(0, 999))
@example(schedule=FOUR_DAYS, seed=1)
def test_whatever_way_events_come_the_account_ends_the_same(floor: Floor, schedule: Schedule, seed: int) -> None:
    ends_the_same(floor, schedule, seed)


def ends_the_same(floor: Floor, schedule: Schedule, seed: int) -> None:
    """Live one life in all four ways, and compare."""
    base = int(time.time()) - 1800
    ends = {way: lived(floor, way, schedule, base, seed) for way in WAYS}
    straight = ends["webhooks"]
    assert [end.facts for end in ends.values()] == [straight.facts] * len(WAYS)
    assert ends["poll"].notices == ends["both"].notices == straight.notices
    for way, end in ends.items():
        once = {(kind, episode) for kind, episode, _ in end.notices}
        assert len(once) == len(end.notices), (way, end.notices)
    assert {kind for kind, *_ in ends["away"].notices} <= {kind for kind, *_ in straight.notices}
