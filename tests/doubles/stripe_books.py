"""The books of a Stripe that lives beside us: customers, subscriptions, invoices and cards, and what time does to them.

Every change is an event, appended in order. Written from Stripe's documentation, with nothing of Forbear in it.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.doubles import stripe as shapes

DAY = 86_400
PERIOD_SECONDS = 30 * DAY
RETRY_DAYS = (3, 5, 7)  # after the attempt before
DEBIT_DAYS = 3
AFTER_RETRIES = ("past_due", "unpaid", "cancel")
CARDS = {
    "works": "works",
    "fails_later": "works now, fails at the next charge",
    "asks": "works now, and whose bank wants a confirmation at the next charge",
    "bank": "is a bank account, and pays in three days",
    "bank_fails": "is a bank account, and bounces in three days",
    "declined": "is declined at once",
}
DEBITS = ("bank", "bank_fails")
ALIVE = ("trialing", "active", "past_due", "unpaid", "paused")
Document = dict[str, Any]


class Refused(Exception):
    """Stripe says no: `status` and `code` as its API gives them."""

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        super().__init__(message)

    def document(self) -> Document:
        """Return the body of the answer."""
        kind = "idempotency_error" if self.code == "idempotency_error" else "invalid_request_error"
        return {"error": {"type": kind, "code": self.code, "message": str(self)}}


@dataclass
class Books:
    """Everything that this Stripe knows. Use from any thread. `file`: where it is kept from one start to the next."""

    url: str
    now: Callable[[], int]
    prices: Mapping[str, int]
    """Id of each price, and what it costs a month in cents."""
    file: Path | None = None
    objects: dict[str, Document] = field(default_factory=dict)
    events: list[Document] = field(default_factory=list)
    retry_days: tuple[int, ...] = RETRY_DAYS
    after_retries: str = "past_due"
    """What becomes of a subscription whose last retry has failed."""
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        if self.file is not None and self.file.exists():
            kept = json.loads(self.file.read_text(encoding="utf-8"))
            self.objects, self.events = kept["objects"], kept["events"]
        for price, cents in self.prices.items():
            product: Document = {
                "id": f"prod_{price}",
                "object": "product",
                "name": price.removeprefix("price_"),
                "active": True,
            }
            self.objects[product["id"]] = product
            self.objects[price] = {
                "id": price,
                "object": "price",
                "active": True,
                "currency": "usd",
                "lookup_key": price,
                "metadata": {},
                "product": product["id"],
                "recurring": {"interval": "month", "interval_count": 1},
                "unit_amount": cents,
            }

    def save(self) -> None:
        """Keep everything in the file, whole or not at all."""
        if self.file is not None:
            with self.lock:
                text = json.dumps({"objects": self.objects, "events": self.events})
                new = self.file.with_suffix(".new")
                new.write_text(text, encoding="utf-8")
                new.replace(self.file)

    def get(self, object_id: str, kind: str | None = None) -> Document:
        """Return an object. Raises Refused."""
        found = self.objects.get(object_id)
        if found is None or (kind is not None and found["object"] != kind) or found.get("deleted"):
            raise Refused(404, "resource_missing", f"No such {(kind or 'object').replace('.', ' ')}: '{object_id}'")
        return found

    def of(self, kind: str, **same: Any) -> list[Document]:
        """Return the objects of a kind, the newest first."""
        found = [each for each in self.objects.values() if each["object"] == kind and not each.get("deleted")]
        found = [each for each in found if all(each.get(name) == value for name, value in same.items())]
        return found[::-1]

    def tell(self, kind: str, document: Document) -> None:
        """Append an event about an object as it is now."""
        copy = json.loads(json.dumps(document))
        event = shapes.event(kind, copy, created=self.now(), event_id=new_id("evt"))
        self.events.append(event)
        self.save()

    def endpoint(self, url: str, *, is_enabled: bool = True, types: list[str] | None = None, version: str = "") -> None:
        """Know where webhooks go. The account has one endpoint."""
        self.objects["we_1"] = {
            "id": "we_1",
            "object": "webhook_endpoint",
            "url": url,
            "status": "enabled" if is_enabled else "disabled",
            "enabled_events": types or ["*"],
            "api_version": version or shapes.API_VERSION,
        }

    # ---- customers and checkouts -------------------------------------------------------------------------------------

    def customer(self, given: Mapping[str, Any]) -> Document:
        """Make a customer."""
        made: Document = {
            "id": new_id("cus"),
            "object": "customer",
            "created": self.now(),
            "email": given.get("email"),
            "name": given.get("name"),
            "metadata": dict(given.get("metadata", {})),
            "invoice_settings": {"default_payment_method": None},
            "livemode": False,
        }
        self.objects[made["id"]] = made
        self.tell("customer.created", made)
        return made

    def checkout(self, given: Mapping[str, Any]) -> Document:
        """Open a checkout of a subscription. Raises Refused."""
        customer = self.get(str(given.get("customer", "")), "customer")
        items = list(given.get("line_items", {}).values())
        if given.get("mode") != "subscription" or len(items) != 1:
            raise Refused(400, "parameter_invalid", "This double takes checkouts of one subscription")
        price = self.get(str(items[0].get("price", "")), "price")
        session_id = new_id("cs_test")
        made = {
            "id": session_id,
            "object": "checkout.session",
            "created": self.now(),
            "mode": "subscription",
            "status": "open",
            "payment_status": "unpaid",
            "customer": customer["id"],
            "subscription": None,
            "client_reference_id": given.get("client_reference_id"),
            "metadata": dict(given.get("metadata", {})),
            "success_url": given.get("success_url"),
            "cancel_url": given.get("cancel_url"),
            "url": f"{self.url}/c/pay/{session_id}",
            "expires_at": self.now() + DAY,
            "double": {"price": price["id"], "subscription_data": given.get("subscription_data", {})},
        }
        self.objects[session_id] = made
        return made

    def complete(self, session: Document, card: str) -> bool:
        """Pay a checkout with a card; tell whether it was taken. Raises Refused when it is over."""
        if session["status"] != "open":
            raise Refused(400, "checkout_session_not_open", "This checkout is over")
        if card not in CARDS or card == "declined":
            return False
        wanted = session["double"]
        trial_days = int(wanted["subscription_data"].get("trial_period_days", 0))
        is_debit = card in DEBITS
        method = f"pm_card_{card if is_debit else 'works'}"
        self.get(session["customer"])["invoice_settings"]["default_payment_method"] = method
        subscription = self.subscribe(
            session["customer"],
            wanted["price"],
            metadata=dict(wanted["subscription_data"].get("metadata", {})),
            trial_days=trial_days,
        )
        self.set_card(session["customer"], card)
        session |= {
            "status": "complete",
            "payment_status": "unpaid" if is_debit else "paid",
            "subscription": subscription["id"],
            "url": None,
        }
        self.tell("checkout.session.completed", session)
        return True

    def expire(self, session: Document) -> Document:
        """Close a checkout that nobody paid. Raises Refused."""
        if session["status"] != "open":
            raise Refused(400, "checkout_session_not_open", "Only open sessions can be expired")
        session |= {"status": "expired", "url": None}
        self.tell("checkout.session.expired", session)
        return session

    def set_card(self, customer_id: str, card: str) -> None:
        """Put another card on file."""
        customer = self.get(customer_id, "customer")
        customer["invoice_settings"]["default_payment_method"] = f"pm_card_{card}"
        self.tell("customer.updated", customer)

    # ---- subscriptions and invoices ----------------------------------------------------------------------------------

    def subscribe(self, customer_id: str, price_id: str, *, metadata: dict[str, Any], trial_days: int = 0) -> Document:
        """Make a subscription and pay its first invoice; during a trial nothing is charged."""
        length = trial_days * DAY or PERIOD_SECONDS
        made = shapes.subscription(
            new_id("sub"),
            customer=customer_id,
            status="trialing" if trial_days else "active",
            price=price_id,
            lookup_key=price_id,
            period_end=self.now() + length,
            metadata=metadata,
            created=self.now(),
            start_date=self.now(),
            latest_invoice=None,
            trial_end=self.now() + length if trial_days else None,
        )
        self.objects[made["id"]] = made
        self.tell("customer.subscription.created", made)
        if not trial_days:
            self.bill(made)
        return made

    def bill(self, subscription: Document) -> Document:
        """Write the invoice of a period and charge the card on file."""
        item = subscription["items"]["data"][0]
        cents = self.objects[item["price"]["id"]]["unit_amount"]
        invoice_id = new_id("in")
        invoice = shapes.invoice(
            invoice_id,
            customer=subscription["customer"],
            subscription=subscription["id"],
            cents=cents,
            metadata=subscription["metadata"],
            created=self.now(),
            hosted_invoice_url=f"{self.url}/i/{invoice_id}",
            attempted=False,
            attempt_count=0,
        )
        self.objects[invoice_id] = invoice
        subscription["latest_invoice"] = invoice_id
        self.tell("invoice.created", invoice)
        self.tell("invoice.finalized", invoice)
        self.charge(invoice)
        return invoice

    def charge(self, invoice: Document) -> bool:
        """Charge an open invoice once; tell whether it is paid now."""
        if invoice["status"] != "open":
            return bool(invoice["status"] == "paid")
        card = self.get(invoice["customer"])["invoice_settings"]["default_payment_method"]
        if str(card).removeprefix("pm_card_") in DEBITS:
            self._wait(invoice, works=card == "pm_card_bank")
            return False
        invoice |= {"attempted": True, "attempt_count": invoice["attempt_count"] + 1, "next_payment_attempt": None}
        if card == "pm_card_asks" and not invoice.get("asked"):
            invoice["asked"] = True
            self._wait(invoice, works=False)
            self.tell("invoice.payment_action_required", invoice)
            return False
        return self._end(invoice, works=card == "pm_card_works")

    def _wait(self, invoice: Document, *, works: bool) -> None:
        """Wait for a bank, or for its customer's word; how it ends unless somebody pays before."""
        at = self.now() + DEBIT_DAYS * DAY
        invoice |= {"attempted": True, "next_payment_attempt": None, "debit": {"at": at, "works": works}}

    def confirm(self, invoice: Document) -> None:
        """Take the customer's word, which their bank wanted, and the payment."""
        if invoice["status"] == "open" and invoice.get("asked"):
            self._end(invoice, works=True)

    def _end(self, invoice: Document, *, works: bool) -> bool:
        """Let one attempt end well or not; tell whether the invoice is paid now."""
        subscription = self.objects[invoice["parent"]["subscription_details"]["subscription"]]
        if works:
            invoice.pop("debit", None)
            invoice |= {"status": "paid", "amount_paid": invoice["amount_due"], "amount_remaining": 0}
            self._receive(invoice)
            self.tell("invoice.paid", invoice)
            self.tell("invoice.payment_succeeded", invoice)
            still_owed = self.of("invoice", customer=invoice["customer"], status="open")
            if subscription["status"] in ("past_due", "unpaid") and not still_owed:
                self._status(subscription, "active")
            return True
        tried = invoice["attempt_count"]
        if tried <= len(self.retry_days):
            invoice["next_payment_attempt"] = self.now() + self.retry_days[tried - 1] * DAY
        self.tell("invoice.payment_failed", invoice)
        if subscription["status"] in ("active", "trialing"):
            self._status(subscription, "past_due")
        if tried > len(self.retry_days):
            self._give_up(subscription)
        return False

    def _give_up(self, subscription: Document) -> None:
        """Do what was chosen for after the last retry."""
        if self.after_retries == "cancel":
            self.cancel(subscription)
        elif self.after_retries == "unpaid" and subscription["status"] == "past_due":
            self._status(subscription, "unpaid")

    def _settle(self, invoice: Document) -> None:
        """Let a bank that was debited pay, or bounce; a checkout that waited for it is told so."""
        works = bool(invoice.pop("debit")["works"])
        invoice["attempt_count"] += 1
        self._end(invoice, works=works)
        about = {"subscription": invoice["parent"]["subscription_details"]["subscription"], "payment_status": "unpaid"}
        for session in self.of("checkout.session", **about):
            session["payment_status"] = "paid" if works else "unpaid"
            self.tell(f"checkout.session.async_payment_{'succeeded' if works else 'failed'}", session)

    def _receive(self, invoice: Document) -> None:
        """Write the charge of a payment. Since March 2025 neither names the other."""
        charge_id = new_id("ch")
        told = shapes.charge_event(
            "succeeded", charge_id, created=self.now(), customer=invoice["customer"], cents=invoice["amount_due"]
        )
        self.objects[charge_id] = told["data"]["object"]
        self.tell("charge.succeeded", self.objects[charge_id])

    def _status(self, subscription: Document, status: str) -> None:
        subscription["status"] = status
        self.tell("customer.subscription.updated", subscription)

    def change(self, subscription: Document, given: Mapping[str, Any]) -> Document:
        """Change the price, the metadata, or whether it ends with the period. Raises Refused."""
        for item in given.get("items", {}).values():
            price = self.get(str(item.get("price", "")), "price")
            own = subscription["items"]["data"][0]
            if item.get("id") != own["id"]:
                raise Refused(400, "resource_missing", "This double knows one item of a subscription")
            own["price"] = {key: price[key] for key in ("id", "object", "lookup_key", "metadata")}
            own["plan"] = {"id": price["id"], "object": "plan"}
        subscription["metadata"] |= dict(given.get("metadata", {}))
        if "cancel_at_period_end" in given:
            subscription["cancel_at_period_end"] = given["cancel_at_period_end"] in (True, "true")
        self.tell("customer.subscription.updated", subscription)
        return subscription

    def cancel(self, subscription: Document) -> Document:
        """End a subscription now."""
        subscription |= {"status": "canceled", "canceled_at": self.now(), "ended_at": self.now()}
        self.tell("customer.subscription.deleted", subscription)
        return subscription

    # ---- time --------------------------------------------------------------------------------------------------------

    def pass_time(self) -> None:
        """Do what is due: renew subscriptions, try failed charges again, let checkouts expire."""
        with self.lock:
            for subscription in self.of("subscription")[::-1]:
                self._renew(subscription)
            for invoice in self.of("invoice", status="open")[::-1]:
                if "debit" in invoice:
                    if invoice["debit"]["at"] <= self.now():
                        self._settle(invoice)
                    continue
                at = invoice["next_payment_attempt"]
                if at is not None and at <= self.now():
                    self.charge(invoice)
            for session in self.of("checkout.session", status="open"):
                if session["expires_at"] <= self.now():
                    self.expire(session)

    def _renew(self, subscription: Document) -> None:
        item = subscription["items"]["data"][0]
        if subscription["status"] not in ("active", "trialing", "past_due") or item["current_period_end"] > self.now():
            return
        if subscription["cancel_at_period_end"]:
            self.cancel(subscription)
            return
        # One period, however long nobody looked: a double need not write a year of invoices at once.
        item["current_period_end"] = self.now() + PERIOD_SECONDS
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
        self.tell("customer.subscription.updated", subscription)
        self.bill(subscription)


def new_id(prefix: str) -> str:
    """Return an id that nothing else has."""
    return f"{prefix}_{secrets.token_hex(10)}"
