"""Asks Stripe itself, where a key is configured: the invoices and subscriptions of an account, complete or not at all.

Enforcement waits for an answer that is minutes old. Whatever goes wrong here leaves the standing as stale as it was.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from engine.model import Policy
from jobs.logs import say
from storage.alerts import raise_alert
from storage.database import Database
from storage.gather import World
from storage.leases import Fence
from storage.settings import Settings
from storage.stripe import event_list
from storage.stripe.event import (
    Mirrored,
    about_invoice,
    about_subscription,
    read_fetched_invoice,
    read_subscription,
)
from storage.stripe.event_disputes import about_dispute, read_dispute
from storage.stripe.event_fields import About, Unreadable
from storage.stripe.evidence_fetch import Asking, Fetched, asking_about, late_accounts, record_fetched, waiting_accounts

if TYPE_CHECKING:
    from stripe import StripeClient
    from stripe._base_address import BaseAddresses

CONNECT_SECONDS = 2.0
READ_SECONDS = 3.0
PAGE = 100
PAGES = 50  # 5,000 invoices of one customer; more is not an answer that a decision can be based on
ACCOUNTS_AT_ONCE = 50
WALK_AT_ONCE = 10
FIRST = UUID(int=0)
BUDGET_SECONDS = 3.0  # of one look: the controller has a lease to renew
LATE_EVERY_SECONDS = 60.0
PAUSE_SECONDS = 15.0  # after a failure, so that a Stripe that is down is not asked every second

log = logging.getLogger(__name__)


class StandingUnknown(Exception):
    """Stripe gave no complete answer; nothing may be enforced on what is known."""

    def __init__(self, reason: str, *, everybody: bool) -> None:
        self.reason = reason
        self.everybody = everybody
        """Whether asking about another account would fail the same way."""
        super().__init__(f"stripe gave no complete answer: {reason}")


def client_of(settings: Settings, read_seconds: float = READ_SECONDS, *, retries: int = 0) -> StripeClient:
    """Make a client with bounded times. retries: none where the controller asks again by itself."""
    import stripe

    base: BaseAddresses | None = {"api": settings.stripe_api_base} if settings.stripe_api_base else None
    http = stripe.RequestsClient(timeout=(CONNECT_SECONDS, read_seconds))
    return stripe.StripeClient(
        settings.stripe_api_key, http_client=http, base_addresses=base, max_network_retries=retries
    )


def fetch_standing(client: StripeClient, asking: Asking, deadline: float = float("inf")) -> Fetched:
    """Return all invoices, subscriptions and disputes that Stripe knows of an account. Raises StandingUnknown."""
    found: dict[str, tuple[About, Mirrored]] = {}
    ask = Asker(client, deadline)
    for customer in asking.customers:
        for document in ask.pages("/v1/subscriptions", customer=customer, status="all"):
            _keep(found, document, lambda it: (about_subscription(it), read_subscription(it, asking.began_at)))
        for document in ask.pages("/v1/invoices", customer=customer):
            _keep(found, document, lambda it: (about_invoice(it), read_fetched_invoice(it)))
    for invoice_id in asking.owed_invoices:
        if invoice_id not in found:
            document = ask.one(f"/v1/invoices/{quote(invoice_id, safe='')}")
            _keep(found, document, lambda it: (about_invoice(it), read_fetched_invoice(it)))
    if asking.subscription_id is not None and asking.subscription_id not in found:
        document = ask.one(f"/v1/subscriptions/{quote(asking.subscription_id, safe='')}")
        _keep(found, document, lambda it: (about_subscription(it), read_subscription(it, asking.began_at)))
    for dispute_id in asking.disputes:
        document = ask.one(f"/v1/disputes/{quote(dispute_id, safe='')}")
        _keep(found, document, lambda it: (about_dispute(it), read_dispute(it)))
    return Fetched(asking, tuple(found.values()))


def _keep(
    found: dict[str, tuple[About, Mirrored]],
    document: Mapping[str, Any],
    read: Callable[[Mapping[str, Any]], tuple[About, Mirrored]],
) -> None:
    """Read one object. Raises StandingUnknown where it cannot be read: half an answer is none."""
    try:
        about, subject = read(document)
    except Unreadable as error:
        raise StandingUnknown(str(error), everybody=False) from error
    if not subject.id:
        raise StandingUnknown("an object without an id", everybody=False)
    found[subject.id] = about, subject


class Asker:
    """Sends GET requests until a deadline."""

    def __init__(self, client: StripeClient, deadline: float = float("inf")) -> None:
        self._client = client
        self._deadline = deadline

    def pages(self, path: str, **query: str) -> Iterator[Mapping[str, Any]]:
        """Return all objects of a list, page by page."""
        after: dict[str, str] = {}
        for _ in range(PAGES):
            data, last = self.page(path, limit=PAGE, **query, **after)
            yield from data
            if last is None:
                return
            after = {"starting_after": last}
        raise StandingUnknown(f"`{path}` has more than {PAGES} pages", everybody=False)

    def page(self, path: str, **query: Any) -> tuple[list[Mapping[str, Any]], str | None]:
        """Return one page of a list, and after which object the next one begins; None: it is the last."""
        page = self.one(path, **query)
        data = page.get("data")
        if not isinstance(data, list) or not all(isinstance(each, dict) for each in data):
            raise StandingUnknown(f"`{path}` is no list", everybody=True)
        if page.get("has_more") is not True:
            return data, None
        if not data or not isinstance(last := data[-1].get("id"), str):
            raise StandingUnknown(f"`{path}` says that there is more and does not say after what", everybody=True)
        return data, last

    def one(self, path: str, **query: Any) -> Mapping[str, Any]:
        """Return one answer."""
        import stripe

        if time.monotonic() > self._deadline:
            raise StandingUnknown("it takes too long", everybody=True)
        try:
            answer = self._client.raw_request("get", path, **query)
        except stripe.InvalidRequestError as error:
            raise StandingUnknown(_said(path, error), everybody=False) from error
        except stripe.StripeError as error:
            raise StandingUnknown(_said(path, error), everybody=True) from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:  # an answer that the SDK cannot read
            raise StandingUnknown(f"`{path}` cannot be read", everybody=True) from error
        document = getattr(answer, "data", None)
        if not isinstance(document, dict):
            raise StandingUnknown(f"`{path}` is no object", everybody=True)
        return document


def _said(path: str, error: Exception) -> str:
    """Name what went wrong without what may hold a key or a customer's data."""
    status = getattr(error, "http_status", None)
    return f"`{path}`: {type(error).__name__}" + (f" with status {status}" if status else "")


class StandingPoll:
    """Keeps the standing of those accounts fresh that something depends on. Used by the controller, one look a tick."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        clock: Callable[[], float] = time.monotonic,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._settings = settings
        self._database = database
        self._clock = clock
        self._read_seconds = read_seconds
        self._client: StripeClient | None = None
        self._paused_until = float("-inf")
        self._late_at = float("-inf")
        self._account_paused_until: dict[UUID, float] = {}
        self._walked_to: UUID | None = None
        self._walking: list[UUID] = []

    def walk(self) -> None:
        """From the next look on, ask about every account that was never asked about, or not since events were lost."""
        if self._walked_to is None:
            self._walked_to = FIRST

    @property
    def walks(self) -> bool:
        """Whether that is still under way."""
        return self._walked_to is not None

    def run(self, policy: Policy, fence: Fence | None = None) -> int:
        """Ask about accounts whose standing is stale; return how many are fresh now. Without a key nobody is asked."""
        now = self._clock()
        if not self._settings.stripe_api_key or now < self._paused_until:
            return 0
        stale = self._stale(policy, now)
        self._account_paused_until = {key: until for key, until in self._account_paused_until.items() if until > now}
        fresh = 0
        deadline = time.monotonic() + BUDGET_SECONDS
        for account_id in stale + self._next_of_walk():
            if account_id in self._account_paused_until:
                self._passed(account_id)
                continue
            try:
                self.refresh(policy, account_id, fence=fence, deadline=deadline)
                fresh += 1
            except StandingUnknown as error:
                if time.monotonic() > deadline and fresh:
                    break  # the rest has its turn in the next look
                self._failed(account_id, error)
                if error.everybody:
                    break
            self._passed(account_id)
        return fresh

    def _next_of_walk(self) -> list[UUID]:
        """Return some accounts that the walk comes to next; one that Stripe does not answer about is passed by."""
        self._walking = []
        if self._walked_to is not None:
            with self._database.begin() as conn:
                since = event_list.cursor(conn).ask_since
                self._walking = event_list.unasked(conn, since, self._walked_to, WALK_AT_ONCE)
            if not self._walking:
                self._walked_to = None
        return self._walking

    def _passed(self, account_id: UUID) -> None:
        if account_id in self._walking:
            self._walked_to = account_id

    def _stale(self, policy: Policy, now: float) -> list[UUID]:
        """Choose whom to ask about: what is due and waits comes first."""
        with self._database.begin() as conn:
            found = waiting_accounts(conn, policy, ACCOUNTS_AT_ONCE)
            if now >= self._late_at:
                late = late_accounts(conn, ACCOUNTS_AT_ONCE)
                self._late_at = now if len(late) == ACCOUNTS_AT_ONCE else now + LATE_EVERY_SECONDS
                found += late
        return list(dict.fromkeys(found))

    def refresh(
        self, policy: Policy, account_id: UUID, *, fence: Fence | None = None, deadline: float = float("inf")
    ) -> frozenset[UUID]:
        """Ask about one account without holding any lock, then write down what was answered. Raises StandingUnknown.

        Returns the accounts of which it said something that was not known.
        """
        if self._client is None:
            self._client = client_of(self._settings, self._read_seconds)
        with self._database.begin() as conn:
            asking = asking_about(conn, policy, account_id)
        fetched = fetch_standing(self._client, asking, deadline)
        world = World.of(self._settings)
        return self._database.transact(
            f"account `{account_id}`", lambda conn: record_fetched(conn, policy, fetched, world=world, fence=fence)
        )

    def _failed(self, account_id: UUID, error: StandingUnknown) -> None:
        until = self._clock() + PAUSE_SECONDS
        self._account_paused_until[account_id] = until
        if error.everybody:
            self._paused_until = until
        say(log, logging.WARNING, "the standing is unknown, enforcement waits", account=account_id, reason=error.reason)
        words = f"the standing of an account is unknown, enforcement waits: {error.reason}"
        with self._database.begin() as conn:
            day = conn.exec_driver_sql("SELECT clock_timestamp()::date").scalar_one()
            key = f"standing_stale:{day}:{'everybody' if error.everybody else account_id}"
            raise_alert(conn, "standing_stale", words, None if error.everybody else account_id, key=key)
