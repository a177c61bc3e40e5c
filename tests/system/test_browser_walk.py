"""A customer walks the whole ladder in a real browser, up and down again: with a mouse, and with nothing but keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.acceptance.system import System
from tests.system.newcomers import ordered, registered, subscribed
from tests.system.people import Hand, Person

RUNGS = {  # what the overview says on each
    "past_due": "Account past due",
    "overdue_warning": "Payment required",
    "final_warning": "Backups disabled due to billing status",
    "suspended": "Server suspended due to billing status",
    "retained": "Data retained until",
}


@pytest.mark.parametrize("hand", ["mouse", "keys"])
def test_late_customer_walks_up_the_ladder_and_pays_and_starts_the_server(
    shop: System, visit: Callable[..., Person], hand: Hand
) -> None:
    person, faults = visit(hand=hand), list[str]()

    def looks(name: str) -> None:
        """Take a picture and note what is wrong; once is enough."""
        if hand == "mouse":
            faults.extend(person.looks(name))

    registered(shop, person, f"{hand}@shop.example")
    account_id = subscribed(shop, person)

    ordered(person, "Castle")
    looks("walk-0-running")

    # The renewal fails, and days go by. Nothing but the clock moves the account on.
    person.open(shop.stand_in)
    person.press("Renew now")
    met: list[str] = []
    for _ in range(14):
        shop.drain()
        rung = shop.view(account_id)["billingStatus"]
        if rung not in met:
            met.append(rung)
            person.finds("/", RUNGS[rung])
            person.sees("Times in Europe/Zurich.")
            if rung not in ("suspended", "retained"):
                person.sees("Your servers would be stopped; your files and backups stay")
            looks(f"walk-{len(met)}-{rung}")
        if rung == "retained":
            break
        shop.advance(24)
    assert met == list(RUNGS)

    person.press("Castle", "link")
    person.sees("Server suspended due to billing status")
    assert person.page.get_by_role("button", name="Start", exact=True).is_disabled()
    assert person.page.get_by_role("button", name="Stop", exact=True).is_disabled()
    looks("walk-6-suspended-server")

    person.open("/plan")
    person.press("Update payment method, see invoices")
    person.page.wait_for_url(f"{shop.stand_in}/**")
    person.press("Keep this card and pay what is open")
    person.sees("What was open is paid")
    person.finds("/", "Everything is in order")
    looks("walk-7-restored")

    person.press("Castle", "link")
    person.sees("Your server is stopped.")  # nothing is started by itself
    person.press("Start")
    person.sees("Your server runs.")
    looks("walk-8-running-again")
    person.press("Sign out")
    person.sees("I am new here")
    assert faults == []


def test_first_key_leads_past_what_is_on_every_page(visit: Callable[..., Person]) -> None:
    person = visit(hand="keys").open("/sign-in")
    person.press("Skip to the content", "link")
    assert person.page.evaluate("document.activeElement.id") == "main"
    person.page.keyboard.press("Tab")
    assert person.page.evaluate("document.activeElement.name") == "email"
