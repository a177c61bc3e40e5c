"""The pages on which people pay, and a desk at which whoever tries things out plays Stripe, the bank and time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any

from tests.doubles import stripe_bank
from tests.doubles.stripe_books import AFTER_RETRIES, CARDS, Books, Document, Refused

FRAME = (
    "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    "<title>{title}</title><body style='font-family:system-ui;max-width:44rem;margin:2rem auto;padding:0 1rem'>"
    "<p><small>A stand-in for Stripe. No card is charged, nothing leaves this machine.</small></p>"
    "<h1>{title}</h1>{body}</body></html>"
)


@dataclass(frozen=True, slots=True)
class Shown:
    """A page, or the way to another."""

    html: str = ""
    status: int = 200
    to: str = ""


FOREIGN = Shown("This form is not ours.", 403)


@dataclass
class Delivery:
    """How events reach whoever listens. Everything may be switched while it runs."""

    copies: int = 1
    shuffled: bool = False
    delay_seconds: float = 0.0
    off: bool = False


@dataclass
class Desk:
    """What whoever tries things out may do. `let_pass` moves the clock by so many hours; None: nobody can."""

    delivery: Delivery = field(default_factory=Delivery)
    let_pass: Callable[[float], str] | None = None


def show(books: Books, desk: Desk, method: str, path: str, given: Mapping[str, Any]) -> Shown:
    """Return the page at a path."""
    try:
        with books.lock:
            match path.strip("/").split("/"):
                case ["c", "pay", session_id]:
                    return _checkout(books, books.get(session_id, "checkout.session"), method, given)
                case ["p", "session", session_id]:
                    return _portal(books, books.get(session_id, "billing_portal.session"), method, given)
                case ["i", invoice_id]:
                    return _invoice(books, books.get(invoice_id, "invoice"), method, given)
                case ["subscriptions", subscription_id, what] if method == "POST":
                    return _act(books, books.get(subscription_id, "subscription"), what)
                case ["disputes", dispute_id, "won" | "lost" as status] if method == "POST":
                    stripe_bank.decide(books, books.get(dispute_id, "dispute"), status)
                    return Shown(status=303, to="/")
                case ["delivery" | "retries" as what] if method == "POST":
                    return _choose(books, desk.delivery, what, given)
                case [""]:
                    return _desk(books, desk)
    except Refused as error:
        return _page("This does not work", f"<p>{escape(str(error))}</p>", error.status)
    if path == "/pass" and method == "POST" and desk.let_pass is not None:
        # Without the lock: whoever moves the clock asks the API meanwhile.
        told = desk.let_pass(float(given.get("hours", "24")))
        return Shown(status=303, to="/") if not told else _page("The clock did not move", f"<p>{escape(told)}</p>", 502)
    return _page("There is nothing here", "", 404)


def _page(title: str, body: str, status: int = 200) -> Shown:
    return Shown(FRAME.format(title=escape(title), body=body), status)


def _cards(words: str, only: tuple[str, ...] = tuple(CARDS)) -> str:
    choices = "".join(
        f"<p><label><input type='radio' name='card' value='{card}'{' checked' if card == only[0] else ''}> "
        f"a card that {CARDS[card]}</label></p>"
        for card in only
    )
    return f"{choices}<button>{words}</button>"


def _money(cents: int) -> str:
    return f"{cents / 100:.2f} USD"


def _checkout(books: Books, session: Document, method: str, given: Mapping[str, Any]) -> Shown:
    fault = ""
    if method == "POST":
        if books.complete(session, str(given.get("card", ""))):
            return Shown(status=303, to=str(session["success_url"]).replace("{CHECKOUT_SESSION_ID}", session["id"]))
        fault = "<p role='alert'><strong>Your card was declined. Try another.</strong></p>"
    if session["status"] != "open":
        return _page("This checkout is over", "<p>Go back and begin again.</p>", 410)
    price = books.objects[session["double"]["price"]]
    body = (
        f"<p>{escape(price['id'])}: {_money(price['unit_amount'])} a month</p>{fault}"
        f"<form method='post' action='/c/pay/{session['id']}'>{_cards('Subscribe')}</form>"
        f"<p><a href='{escape(str(session['cancel_url']))}'>Go back</a></p>"
    )
    return _page("Subscribe", body, 402 if fault else 200)


def _portal(books: Books, session: Document, method: str, given: Mapping[str, Any]) -> Shown:
    customer, told = session["customer"], ""
    if method == "POST":
        card = str(given.get("card", ""))
        books.set_card(customer, card if card in CARDS else "declined")
        paid = [books.charge(invoice) for invoice in books.of("invoice", customer=customer, status="open")[::-1]]
        told = "<p role='status'><strong>Your card is kept."
        told += (" What was open is paid." if all(paid) else " It was declined.") if paid else ""
        told += "</strong></p>"
    invoices = "".join(
        f"<li><a href='/i/{each['id']}'>{each['id']}</a>: {_money(each['amount_due'])}, {each['status']}</li>"
        for each in books.of("invoice", customer=customer)
    )
    body = (
        f"{told}<form method='post' action='/p/session/{session['id']}'>"
        f"{_cards('Keep this card and pay what is open', ('works', 'fails_later'))}</form>"
        f"<h2>Invoices</h2><ul>{invoices}</ul><p><a href='{escape(str(session['return_url']))}'>Go back</a></p>"
    )
    return _page("Your payment method", body)


def _invoice(books: Books, invoice: Document, method: str, given: Mapping[str, Any]) -> Shown:
    if method == "POST" and given.get("confirm"):
        books.confirm(invoice)
    elif method == "POST":
        books.objects[invoice["customer"]]["invoice_settings"]["default_payment_method"] = "pm_card_works"
        books.charge(invoice)
    pay = f"<form method='post' action='/i/{invoice['id']}'><button>Pay with a card that works</button></form>"
    if invoice.get("asked"):
        pay += (
            f"<form method='post' action='/i/{invoice['id']}'><input type='hidden' name='confirm' value='1'>"
            "<button>Confirm the payment with the bank</button></form>"
        )
    body = f"<p>{_money(invoice['amount_due'])}, {invoice['status']}</p>{pay if invoice['status'] == 'open' else ''}"
    return _page(f"Invoice {invoice['id']}", body)


# ---- the desk --------------------------------------------------------------------------------------------------------


def _act(books: Books, subscription: Document, what: str) -> Shown:
    """Do to a subscription what time or a bank would do."""
    if what == "renew":
        subscription["items"]["data"][0]["current_period_end"] = books.now()
        books.pass_time()
    elif what == "fail":
        books.set_card(subscription["customer"], "fails_later")
    elif what == "cancel":
        books.cancel(subscription)
    elif what == "dispute":
        stripe_bank.dispute(books, stripe_bank.last_charge(books, subscription["customer"]))
    elif what == "refund":
        stripe_bank.refund(books, stripe_bank.last_charge(books, subscription["customer"]))
    else:
        raise Refused(404, "resource_missing", f"nothing is called `{what}`")
    return Shown(status=303, to="/")


def _choose(books: Books, delivery: Delivery, what: str, given: Mapping[str, Any]) -> Shown:
    if what == "delivery":
        return switch(delivery, given)
    stripe_bank.plan_retries(books, str(given.get("days", "")), str(given.get("after", "")))
    return Shown(status=303, to="/")


def switch(delivery: Delivery, given: Mapping[str, Any]) -> Shown:
    """Choose how events are sent from now on. Raises Refused."""
    try:
        delay_seconds = float(given.get("delay") or 0)
    except ValueError:
        raise Refused(400, "parameter_invalid", "a delay is a number of seconds") from None
    delivery.copies = 2 if given.get("twice") else 1
    delivery.shuffled = bool(given.get("shuffled"))
    delivery.off = bool(given.get("off"))
    delivery.delay_seconds = min(3_600.0, max(0.0, delay_seconds))
    return Shown(status=303, to="/")


def _button(action: str, words: str) -> str:
    return f"<form method='post' action='{action}' style='display:inline'><button>{words}</button></form> "


def _desk(books: Books, desk: Desk) -> Shown:
    rows = "".join(
        f"<tr><td>{each['id']}<br>{escape(str(books.objects[each['customer']]['email']))}</td>"
        f"<td>{each['items']['data'][0]['price']['id']}, {each['status']}</td><td>"
        + _button(f"/subscriptions/{each['id']}/fail", "Let the card fail from now on")
        + _button(f"/subscriptions/{each['id']}/renew", "Renew now")
        + _button(f"/subscriptions/{each['id']}/cancel", "End it")
        + _button(f"/subscriptions/{each['id']}/dispute", "Let the bank take the last payment back")
        + _button(f"/subscriptions/{each['id']}/refund", "Give the last payment back")
        + "</td></tr>"
        for each in books.of("subscription")
    )
    disputes = "".join(
        f"<tr><td>{each['id']}</td><td>{_money(each['amount'])}, {each['status']}</td><td>"
        + _button(f"/disputes/{each['id']}/won", "The bank decides for the seller")
        + _button(f"/disputes/{each['id']}/lost", "The bank decides for the customer")
        + "</td></tr>"
        for each in books.of("dispute")
    )
    retries = ", ".join(map(str, books.retry_days))
    ends = "".join(
        f"<option{' selected' if each == books.after_retries else ''}>{each}</option>" for each in AFTER_RETRIES
    )
    delivery = desk.delivery
    checks = "".join(
        f"<p><label><input type='checkbox' name='{name}' value='1'{' checked' if is_on else ''}> {words}</label></p>"
        for name, words, is_on in (
            ("twice", "send every event twice", delivery.copies > 1),
            ("shuffled", "send events in any order", delivery.shuffled),
            ("off", "send nothing for now", delivery.off),
        )
    )
    told = "".join(f"<li>{event['type']} <small>{event['id']}</small></li>" for event in books.events[:-16:-1])
    clock = "".join(
        f"<form method='post' action='/pass' style='display:inline'><input type='hidden' name='hours' value='{hours}'>"
        f"<button>Let {words} pass</button></form> "
        for hours, words in ((1, "an hour"), (24, "a day"), (72, "three days"))
    )
    body = (
        f"<h2>Subscriptions</h2><table>{rows or '<tr><td>None yet.</td></tr>'}</table>"
        f"{f'<h2>Disputes</h2><table>{disputes}</table>' if disputes else ''}"
        f"{f'<h2>Time</h2>{clock}' if desk.let_pass else ''}"
        f"<h2>Delivery</h2><form method='post' action='/delivery'>{checks}<p><label>seconds late "
        f"<input name='delay' value='{delivery.delay_seconds:g}'></label></p><button>Keep it so</button></form>"
        f"<h2>Retries of a failed charge</h2><form method='post' action='/retries'>"
        f"<p><label>days after the attempt before <input name='days' value='{retries}'></label></p>"
        f"<p><label>after the last, the subscription is <select name='after'>{ends}</select></label></p>"
        "<button>Keep it so</button></form>"
        f"<h2>Newest events</h2><ul>{told}</ul>"
    )
    return _page("Stripe's desk", body)
