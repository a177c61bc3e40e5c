"""Where customers pay: who they are at Stripe, made once; checkouts, changes of plan, and Stripe's own portal.

Nothing here moves a billing state: what Stripe then says, it says by webhook.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import quote
from uuid import UUID

from engine.model import Plan
from jobs.stripe.client import client_of
from storage import accounts, clock, policies
from storage.accounts import AccountView
from storage.database import Database
from storage.errors import PlanUnknown
from storage.gather import World
from storage.settings import Settings

if TYPE_CHECKING:
    from stripe import StripeClient, StripeObject
    from stripe.params.checkout import SessionCreateParamsSubscriptionData

READ_SECONDS: Final = 8.0
RETRIES: Final = 2
LIVE: Final = frozenset({"trialing", "active", "past_due", "unpaid", "paused"})
CHANGEABLE: Final = frozenset({"trialing", "active"})
PAGE: Final = 100


class CheckoutRefused(Exception):
    """The request is right and the account's present state does not allow it. `code` names why."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code
        super().__init__(reason)


class PaymentAway(Exception):
    """Nobody can pay at the moment; nothing was changed that matters. `reason` is for the log, without secrets."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"payments cannot be taken at the moment: {reason}")


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a checkout sells."""

    plan: str
    price: str
    trial_days: int


@dataclass(frozen=True, slots=True)
class Cashier:
    """Leads one account's customer to Stripe and back. Holds no lock while Stripe is asked."""

    settings: Settings
    database: Database
    account_id: UUID
    actor: str

    def checkout(self, plan: str) -> str:
        """Return the address where the account subscribes to a plan. Raises PlanUnknown, CheckoutRefused, PaymentAway.

        An account has one open checkout at most: the same wish is led to it again, another one closes it first.
        """
        client = self._client()
        view, sold = self._wish(plan)
        try:
            customer = self._ensure_customer(client)
            before = _subscriptions(client, customer, status="all")
            if any(each["status"] in LIVE for each in before):
                words = "there is a subscription already; change its plan instead of making a second one"
                raise CheckoutRefused("SUBSCRIPTION_EXISTS", words)
            price = _price_id(client, sold.prices[0])
            return self._session(client, view, customer, _Offer(plan, price, 0 if before else sold.trial_days))
        except Exception as error:
            raise _explained(error) from error

    def change(self, plan: str) -> None:
        """Move the running subscription to another plan, prorated by Stripe. Raises as `checkout` does."""
        client = self._client()
        view, sold = self._wish(plan)
        try:
            running = self._running(client, view)
            if running["status"] not in CHANGEABLE:
                raise CheckoutRefused(
                    "PAYMENT_FIRST", "an invoice is open; pay it, and the plan can be changed at once"
                )
            items = running["items"]["data"]
            if len(items) != 1:
                raise CheckoutRefused("ASK_SUPPORT", "this subscription has several parts; support can change it")
            price = _price_id(client, sold.prices[0])
            if items[0]["price"]["id"] == price:
                return
            # Without a key of ours: to and fro within a day are two wishes, and the same one twice changes nothing.
            client.v1.subscriptions.update(
                running["id"],
                {
                    "items": [{"id": items[0]["id"], "price": price}],
                    "proration_behavior": "create_prorations",
                    "metadata": {"plan": plan},
                },
            )
        except Exception as error:
            raise _explained(error) from error

    def portal(self) -> str:
        """Return the address of Stripe's portal: cards, invoices, the end. Raises CheckoutRefused, PaymentAway."""
        client = self._client()
        with self.database.begin() as conn:
            customer = accounts.account_view(conn, self.account_id).stripe_customer_id
        if customer is None:
            raise CheckoutRefused("NOTHING_TO_MANAGE", "there is no subscription yet; choose a plan first")
        try:
            back = f"{self.settings.portal_url}/plan"
            return client.v1.billing_portal.sessions.create({"customer": customer, "return_url": back}).url
        except Exception as error:
            raise _explained(error) from error

    # ---- steps -------------------------------------------------------------------------------------------------------

    def _client(self) -> StripeClient:
        if not self.settings.stripe_api_key:
            raise CheckoutRefused("PAYMENT_NOT_SET_UP", "payments are not set up here; support can help")
        return client_of(self.settings, READ_SECONDS, retries=RETRIES)

    def _wish(self, plan: str) -> tuple[AccountView, Plan]:
        """Return the account, and the plan as it is sold."""
        with self.database.begin() as conn:
            policy = policies.in_force(conn)
            view = accounts.account_view(conn, self.account_id)
            is_exempt = view.exempt_until is not None and view.exempt_until > clock.now(conn)
        if plan not in policy.standing.plans:
            raise PlanUnknown(plan, tuple(policy.standing.plans))
        if is_exempt:
            raise CheckoutRefused("NOTHING_TO_PAY", "this account is exempt: there is nothing to pay")
        sold = policy.standing.plans[plan]
        if not sold.prices:
            raise CheckoutRefused("NOT_SOLD", "this plan cannot be bought; support can give it")
        return view, sold

    def _ensure_customer(self, client: StripeClient) -> str:
        """Return who the account is at Stripe, made at the first call. Two at once make one."""
        with self.database.begin() as conn:
            view = accounts.account_view(conn, self.account_id)
            customer = accounts.customer(conn, view.customer_id)
        if view.stripe_customer_id is not None:
            return view.stripe_customer_id
        # Stripe forgets idempotency keys after a day; whoever was made before that, and never linked, is found by name.
        there = client.v1.customers.list({"email": customer.email, "limit": PAGE}).data
        own = str(self.account_id)
        found = next((each.id for each in there if _metadata(each).get("accountId") == own), None)
        if found is None:
            metadata = {"userId": str(customer.id), "accountId": own}
            wish = {"email": customer.email, "name": customer.name, "metadata": metadata}
            made = client.v1.customers.create(wish, {"idempotency_key": _key("customer", wish)})  # type: ignore[arg-type]
            found = made.id

        def link(conn: Any) -> str:
            policy, world = policies.in_force(conn), World.of(self.settings)
            return accounts.link_stripe_customer(conn, policy, self.account_id, found, actor=self.actor, world=world)

        return self.database.transact(f"account `{self.account_id}`", link)

    def _session(self, client: StripeClient, view: AccountView, customer: str, offer: _Offer) -> str:
        plan, price = offer.plan, offer.price
        latest = next(iter(client.v1.checkout.sessions.list({"customer": customer, "limit": 1}).data), None)
        if latest is not None and latest.status == "open":
            said = _metadata(latest)
            if (said.get("plan"), said.get("price")) == (plan, price) and latest.url:
                return latest.url
            client.v1.checkout.sessions.expire(latest.id)
        metadata = {"userId": str(view.customer_id), "accountId": str(view.id), "plan": plan}
        back = f"{self.settings.portal_url}/plan"
        about = f"account={view.id}&plan={quote(plan)}"
        subscription_data: SessionCreateParamsSubscriptionData = {"metadata": metadata}
        if offer.trial_days:
            subscription_data["trial_period_days"] = offer.trial_days
        made = client.v1.checkout.sessions.create(
            {
                "mode": "subscription",
                "customer": customer,
                "client_reference_id": str(view.id),
                "line_items": [{"price": price, "quantity": 1}],
                "metadata": {**metadata, "price": price},
                "subscription_data": subscription_data,
                "success_url": f"{back}/return?{about}&session={{CHECKOUT_SESSION_ID}}",
                "cancel_url": back,
            },
            # Two at once have seen the same latest one: the same wish gets one session, another wish is refused.
            {"idempotency_key": _key("checkout", [str(view.id), latest.id if latest else None])},
        )
        if not made.url:
            raise PaymentAway("a checkout without an address")
        return made.url

    def _running(self, client: StripeClient, view: AccountView) -> Mapping[str, Any]:
        """Return the one subscription that lives, the linked one before others."""
        if view.stripe_customer_id is None:
            raise CheckoutRefused("NO_SUBSCRIPTION", "there is no subscription yet; choose a plan first")
        live = [each for each in _subscriptions(client, view.stripe_customer_id) if each["status"] in LIVE]
        linked = [each for each in live if each["id"] == view.stripe_subscription_id]
        if not linked and len(live) > 1:
            raise CheckoutRefused("ASK_SUPPORT", "there are several subscriptions; support can change the right one")
        if not live:
            raise CheckoutRefused("NO_SUBSCRIPTION", "there is no subscription yet; choose a plan first")
        return (linked or live)[0]


def _subscriptions(client: StripeClient, customer: str, **only: Literal["all"]) -> list[Mapping[str, Any]]:
    asked: Any = {"customer": customer, "limit": PAGE, **only}
    return [each.to_dict() for each in client.v1.subscriptions.list(asked).data]


def _metadata(document: StripeObject) -> Mapping[str, Any]:
    return document.to_dict().get("metadata") or {}


def _price_id(client: StripeClient, name: str) -> str:
    """Return the id of a price that the policy names by its lookup key or its id."""
    found = client.v1.prices.list({"lookup_keys": [name], "active": True, "limit": 1}).data
    return found[0].id if found else name


def _key(what: str, wish: Any) -> str:
    digest = hashlib.sha256(json.dumps(wish, sort_keys=True).encode()).hexdigest()
    return f"forbear-{what}-{digest[:40]}"


def _explained(error: Exception) -> Exception:
    """Return what to raise instead of an error of the SDK, without what may hold a key or a customer's data."""
    import stripe

    if isinstance(error, stripe.IdempotencyError):
        return CheckoutRefused("CHECKOUT_UNDERWAY", "another checkout was begun at the same moment; try again")
    if isinstance(error, stripe.StripeError):
        status = f" with status {error.http_status}" if error.http_status else ""
        return PaymentAway(f"{type(error).__name__}{status}{f' ({error.code})' if error.code else ''}")
    return error
