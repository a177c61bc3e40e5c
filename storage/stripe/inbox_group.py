"""One group of events on its way through: screened, placed under the lock, written, decided. All of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Self
from uuid import UUID

import psycopg
from sqlalchemy import Connection

from engine.model import Policy, Value
from storage.alerts import raise_alert
from storage.audit import AuditNote
from storage.database import raw
from storage.errors import StorageError
from storage.gather import World
from storage.intents_outbox import Outbox
from storage.ledger import Recorded, record_many
from storage.settings import Settings
from storage.stripe.event import (
    API_VERSION,
    CheckoutDone,
    CustomerGone,
    InvoiceSeen,
    Named,
    NotAnEvent,
    StripeEvent,
    SubscriptionSeen,
    parse,
)
from storage.stripe.event_disputes import ChargeSeen, DisputeSeen
from storage.stripe.evidence import AccountRow, Mirror, Question, lock_and_read
from storage.stripe.evidence_mirror import Sighting, plan_of
from storage.stripe.evidence_standing import Standing
from storage.stripe.inbox_charges import PARKED_OF_CHARGES, charges_of, remember, with_customers
from storage.stripe.inbox_events import INSERT, KNOWN, UNPARK, UNSETTLED, Status, Verdict, Way, inserting, unparking
from storage.stripe.inbox_ignored import why_ignored
from storage.stripe.inbox_owners import Owner, link_checkout, owner_of, sought
from storage.stripe.thin import NO_KEY, TO_FETCH

ACTOR: Final = "stripe"
PARKED_AT_ONCE: Final = 500

CHECKOUTS: Final = """
SELECT stripe_subscription_id, created_at, id FROM stripe_events
WHERE account_id = %s AND type LIKE 'checkout.session.%%' AND status = 'applied'
  AND stripe_subscription_id IS NOT NULL
"""
PARKED_OF_ACCOUNT: Final = """
SELECT payload FROM stripe_events e WHERE status = 'parked' AND (
    stripe_customer_id = %(customer)s OR stripe_subscription_id = ANY(%(subscriptions)s) OR claims && %(claims)s::uuid[]
    OR stripe_charge_id IN (SELECT id FROM charges WHERE stripe_customer_id = %(customer)s)
) ORDER BY created_at, id LIMIT %(limit)s
"""


class TakenMeanwhile(StorageError):
    """Another process took the same event while this one did; nothing was written, and trying again finds it taken."""

    def __init__(self, event_id: str) -> None:
        self.event_id = event_id
        super().__init__(f"event `{event_id}` was taken by another process meanwhile; nothing was written, try again")


@dataclass(frozen=True, slots=True)
class Terms:
    """What this deployment says about events. `told_versions` are versions that this process has shown already."""

    live: bool | None = None
    """The mode of the configured key; None: either is accepted."""
    world: World = field(default_factory=World)
    told_versions: set[str] = field(default_factory=lambda: {API_VERSION})
    came_by: Way = "webhook"
    """How events reach whoever takes them; written into the log of events, where it changes nothing else."""

    @classmethod
    def of(cls, settings: Settings, came_by: Way = "webhook") -> Self:
        """Describe this deployment."""
        kind = settings.stripe_api_key.split("_")[1:2]
        live = {"live": True, "test": False}.get("".join(kind))
        return cls(live=live, world=World.of(settings), came_by=came_by)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one event. `intents` are new ones, for the queues to be told of after the commit."""

    id: str
    status: Status
    reason: str | None = None
    intents: tuple[Outbox, ...] = ()


class Group:
    """One group on its way through."""

    def __init__(self, conn: Connection, policy: Policy, terms: Terms) -> None:
        self.conn = conn
        self.pg = raw(conn)
        self.policy = policy
        self.terms = terms
        self.known: Mapping[str, str] = {}
        self.notes: dict[UUID, list[tuple[StripeEvent, dict[str, Value]]]] = {}
        self.alerts: list[tuple[str, str, UUID | None, str]] = []
        self.linked: list[UUID] = []

    def take(self, events: Sequence[StripeEvent]) -> list[Taken]:
        unique = {event.id: event for event in with_customers(self.pg, events)}
        verdicts = [self._screened(event) for event in unique.values()]
        placing = [verdict.event for verdict in verdicts if verdict.status == "applied"]
        mirror = self._read(placing, list(unique))
        decided = [self._place(mirror, verdict) for verdict in sorted(verdicts, key=_checkouts_first)]
        outcomes = self._write(mirror, decided)
        charges = charges_of(placing)
        if charges:
            remember(self.pg, charges)
        taken = [outcomes.pop(event.id, Taken(event.id, "duplicate")) for event in events]
        for account_id in self.linked:
            Group(self.conn, self.policy, self.terms).welcome(account_id)
        if charges:
            self._take_disputes([charge.id for charge in charges])
        return taken

    def _take_disputes(self, charges: list[str]) -> None:
        """Take disputes that came before the charge that says whose they are."""
        events = read_again(self.pg.execute(PARKED_OF_CHARGES, [charges, PARKED_AT_ONCE]))
        if events:
            Group(self.conn, self.policy, self.terms).take(events)

    def welcome(self, account_id: UUID) -> list[Taken]:
        """Take what waited for this account."""
        find = "SELECT stripe_customer_id, stripe_subscription_id, customer_id FROM accounts WHERE id = %s"
        row = self.pg.execute(find, [account_id]).fetchone()
        if row is None:
            return []
        customer_id, subscription_id, person_id = row
        if subscription_id is not None:
            self._claim_back(account_id, customer_id, subscription_id)
        more = self.pg.execute("SELECT id FROM subscriptions WHERE account_id = %s", [account_id])
        given = {
            "customer": customer_id,
            "subscriptions": [subscription_id, *[each for (each,) in more]],
            "claims": [account_id, person_id],
            "limit": PARKED_AT_ONCE,
        }
        events = read_again(self.pg.execute(PARKED_OF_ACCOUNT, given))
        taken = Group(self.conn, self.policy, self.terms).take(events) if events else []
        return [each for each in taken if each.status == "applied"]

    def _claim_back(self, account_id: UUID, customer_id: str, subscription_id: str) -> None:
        """Give an account what another of the same Stripe customer held for want of a better owner."""
        about = replace(sought(()), customers=frozenset({customer_id}), subscriptions=frozenset({subscription_id}))
        mirror = lock_and_read(self.pg, self.policy, about)
        mirror.adopt(subscription_id, account_id)
        if mirror.touched:
            mirror.write(self.pg)
            note = AuditNote(
                "evidence", "subscription_adopted", ACTOR, facts={"stripe_subscription_id": subscription_id}
            )
            touched = sorted(mirror.touched)
            evidence = dict.fromkeys(touched, note)
            record_many(self.conn, self.policy, touched, actor=ACTOR, evidence=evidence, world=self.terms.world)

    # ---- before the lock ---------------------------------------------------------------------------------------------

    def _screened(self, event: StripeEvent) -> Verdict:
        """Say what is clear from the event alone; `applied` where its account has to be found."""
        if self.terms.live is not None and event.livemode is not None and event.livemode is not self.terms.live:
            mode, ours = ("live" if live else "test" for live in (event.livemode, self.terms.live))
            return Verdict(event, "ignored", f"a {mode} event, and the configured key is a {ours} key")
        if event.fault is not None:
            return Verdict(event, "quarantined", event.fault)
        if event.subject is None:
            return Verdict(event, "ignored", why_ignored(event.type))
        if isinstance(event.subject, Named):
            return Verdict(event, "parked", TO_FETCH if self.terms.world.stripe_key else NO_KEY)
        if isinstance(event.subject, ChargeSeen) and event.subject.customer_id is None:
            return Verdict(event, "ignored", "a charge of nobody whom Stripe knows as a customer")
        return Verdict(event, "applied")

    def _read(self, placing: list[StripeEvent], ids: list[str]) -> Mirror:
        if not placing:
            return Mirror(self.policy)
        question = Question(KNOWN, {"ids": ids})
        mirror = lock_and_read(self.pg, self.policy, sought(placing), more=[question])
        self.known = dict(question.rows())
        return mirror

    # ---- under the lock ----------------------------------------------------------------------------------------------

    def _place(self, mirror: Mirror, verdict: Verdict) -> Verdict:
        event, known = verdict.event, self.known.get(verdict.event.id)
        if known is not None and (known not in UNSETTLED or verdict.status != "applied"):
            return replace(verdict, status="duplicate")
        if verdict.status != "applied":
            if verdict.reason == NO_KEY:
                self._alert("event_parked", f"{event.type} `{event.id}` is parked: {NO_KEY}", None, "no_key")
            if verdict.status == "quarantined":
                self._alert(
                    "event_quarantined", f"{event.type} `{event.id}` is quarantined: {verdict.reason}", None, event.id
                )
            return verdict
        if isinstance(event.subject, ChargeSeen) and not event.subject.is_refund:
            return verdict  # remembered, and nobody's account changes
        owner = owner_of(mirror, event)
        if not owner.accounts:
            return self._parked(verdict, owner, known)
        if isinstance(event.subject, CheckoutDone):
            reason = self._link(mirror, event, owner.accounts[0])
            if reason is not None:
                self._alert(
                    "event_quarantined", f"checkout `{event.id}` is quarantined: {reason}", owner.accounts[0], event.id
                )
                return replace(verdict, status="quarantined", reason=reason, accounts=owner.accounts)
        for account_id in owner.accounts:
            self._see(mirror, event, account_id)
        self._show_version(event)
        return replace(verdict, accounts=owner.accounts)

    def _parked(self, verdict: Verdict, owner: Owner, known: str | None) -> Verdict:
        if known is not None:
            return replace(verdict, status="duplicate")
        day = verdict.event.created_at.date().isoformat()
        words = (
            f"events wait for an account, the first of {day}: {verdict.event.type} `{verdict.event.id}`: {owner.reason}"
        )
        self._alert("event_parked", words, None, day)
        return replace(verdict, status="parked", reason=owner.reason)

    def _link(self, mirror: Mirror, event: StripeEvent, account_id: UUID) -> str | None:
        rows: list[tuple[Any, ...]] = self.pg.execute(CHECKOUTS, [account_id]).fetchall()
        if event.about.subscription_id is not None:
            rows.append((event.about.subscription_id, event.created_at, event.id))
        newest_first = [row[0] for row in sorted(rows, key=lambda row: row[1:], reverse=True)]
        reason = link_checkout(mirror, event, mirror.accounts[account_id], newest_first)
        if reason is None:
            self.linked.append(account_id)
        return reason

    def _see(self, mirror: Mirror, event: StripeEvent, account_id: UUID) -> None:
        subject = event.subject
        mirror.credit(account_id, event.created_at, event.id)
        facts: dict[str, Value] = {"stripe_created_at": event.created_at, "stripe_object": event.object_id}
        if isinstance(subject, InvoiceSeen):
            facts |= {"invoice_status": subject.status, "amount_remaining_cents": subject.remaining_cents}
        if isinstance(subject, SubscriptionSeen):
            facts["subscription_status"] = subject.status
            if subject.pause is not None:
                facts["pause"] = subject.pause
            self._check_price(event, subject, account_id)
        if isinstance(subject, CheckoutDone):
            facts["payment_status"] = subject.payment_status
        if isinstance(subject, DisputeSeen):
            facts |= {"dispute_status": subject.status, "amount_cents": subject.amount_cents, "reason": subject.reason}
        if isinstance(subject, ChargeSeen):
            facts |= {"refunded_cents": subject.refunded_cents, "amount_cents": subject.amount_cents}
        if isinstance(subject, InvoiceSeen | SubscriptionSeen | DisputeSeen):
            mirror.see(Sighting(account_id, event.created_at, event.id, event.about, subject))
        if isinstance(subject, CustomerGone):
            words = f"Stripe customer `{subject.id}` was deleted in Stripe: nothing can be charged there any more"
            self._alert("customer_deleted", words, account_id, f"{subject.id}:{account_id}")
        self.notes.setdefault(account_id, []).append((event, facts))

    def _check_price(self, event: StripeEvent, subject: SubscriptionSeen, account_id: UUID) -> None:
        if subject.prices and plan_of(self.policy.standing, subject.prices, subject.plan_name) is None:
            prices = ", ".join(f"`{name}`" for name in subject.prices[:5])
            words = (
                f"no plan of the policy has the price {prices} of subscription `{subject.id}`; the plan stays as it was"
            )
            self._alert("unknown_price", words, account_id, f"{subject.id}:{subject.prices[0]}")

    def _show_version(self, event: StripeEvent) -> None:
        version = event.api_version
        if version is not None and version not in self.terms.told_versions:
            self.terms.told_versions.add(version)
            words = (
                f"Stripe sends events of version `{version}`, and `{API_VERSION}` is the one read last; both are read"
            )
            self._alert("api_version_differs", words, None, version)

    def _alert(self, kind: str, words: str, account_id: UUID | None, key: str) -> None:
        self.alerts.append((kind, words, account_id, f"{kind}:{key}"))

    # ---- writing -----------------------------------------------------------------------------------------------------

    def _write(self, mirror: Mirror, verdicts: list[Verdict]) -> dict[str, Taken]:
        """Write events and mirror, and decide what follows; return what became of each event."""
        news = [each for each in verdicts if each.status != "duplicate"]
        new = [each for each in news if each.event.id not in self.known]
        formerly_parked = [each for each in news if each.event.id in self.known]
        questions = [Question(INSERT, inserting(new, self.terms.came_by))] if new else []
        if formerly_parked:
            questions.append(Question(UNPARK, unparking(formerly_parked)))
        standings = mirror.settle()

        def send(pg: psycopg.Connection[Any]) -> None:
            for question in questions:
                question.ask(pg)
            mirror.send(pg)

        recorded = self._record(mirror, standings, send)
        mirror.check()
        self._refetch_undecided(mirror)
        for kind, words, account_id, key in self.alerts:
            raise_alert(self.conn, kind, words, account_id, key)
        written = {each.event.id for each in formerly_parked}
        if new:
            written.update(event_id for (event_id,) in questions[0].rows())
        outcomes = {verdict.event.id: self._outcome(verdict, written) for verdict in verdicts}
        self._tell_intents(recorded, outcomes)
        return outcomes

    def _record(
        self, mirror: Mirror, standings: dict[UUID, Standing], send: Callable[[psycopg.Connection[Any]], None]
    ) -> list[Recorded]:
        """Decide the accounts that were touched, the rows of events and mirror going ahead in the same round trip."""
        touched = sorted(mirror.touched)
        if not touched:
            with self.pg.pipeline():
                send(self.pg)
            return []
        evidence = {
            account_id: [
                _note(event, facts, standings[account_id], mirror.accounts[account_id]) for event, facts in notes
            ]
            for account_id, notes in self.notes.items()
        }
        return record_many(
            self.conn, self.policy, touched, actor=ACTOR, evidence=evidence, world=self.terms.world, first=send
        )

    def _tell_intents(self, recorded: list[Recorded], outcomes: dict[str, Taken]) -> None:
        """Hand an account's new intents out with the last of its events."""
        for each in recorded:
            if each.intents and each.account_id in self.notes:
                event_id = self.notes[each.account_id][-1][0].id
                outcomes[event_id] = replace(outcomes[event_id], intents=outcomes[event_id].intents + each.intents)

    def _refetch_undecided(self, mirror: Mirror) -> None:
        """Let nothing be enforced before Stripe was asked, where two sightings of one second contradict each other."""
        if mirror.undecided and self.terms.world.stripe_key:
            stale = "UPDATE accounts SET standing_fetched_at = NULL WHERE id = ANY(%s)"
            self.pg.execute(stale, [list(mirror.undecided)])

    def _outcome(self, verdict: Verdict, written: set[str]) -> Taken:
        if verdict.status == "duplicate" or verdict.event.id in written:
            return Taken(verdict.event.id, verdict.status, verdict.reason)
        if verdict.status == "applied":
            raise TakenMeanwhile(verdict.event.id)
        return Taken(verdict.event.id, "duplicate")


def read_again(payloads: Iterable[tuple[str]]) -> list[StripeEvent]:
    """Parse stored events again. One that this version no longer reads as an event stays parked, and shown."""
    events = []
    for (payload,) in payloads:
        try:
            events.append(parse(payload.encode()))
        except NotAnEvent:
            continue
    return events


def _checkouts_first(verdict: Verdict) -> tuple[bool, datetime, str]:
    """What links a subscription to its account comes before what is about the subscription."""
    return not isinstance(verdict.event.subject, CheckoutDone), verdict.event.created_at, verdict.event.id


def _note(event: StripeEvent, facts: dict[str, Value], standing: Standing, account: AccountRow) -> AuditNote:
    after: dict[str, Value] = {
        "overdue_invoices": standing.overdue_invoices,
        "past_due_since": standing.past_due_since,
        "subscription": standing.subscription_status,
        "plan": account.plan,
        **standing.rare,
    }
    return AuditNote("evidence", event.type, ACTOR, because=event.id, facts={**facts, **after})
