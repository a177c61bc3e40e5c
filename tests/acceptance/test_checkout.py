"""A newcomer clicks through all of it with no account anywhere: subscribe, late, suspended, another card, restored."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.system import System, left_behind, poll
from tests.web.pages.browser import Browser

PASSWORD = "a few words are easy"


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    data = tmp_path / "a shop with spaces"
    running = System(data)
    running.start("--stripe-double")
    yield running
    if running.process is not None:
        running.stop()
    assert left_behind(data) == []


@pytest.fixture
def browser(system: System) -> Iterator[Browser]:
    made = Browser(system.url)
    yield made
    made.close()


def shows(browser: Browser, path: str, words: str) -> Browser:
    """Open a page again and again, as somebody who waits does, until it says so."""
    for _ in poll(30, 0.2):
        if words in browser.open(path).text:
            return browser
    raise AssertionError(f"`{words}` is not on {path}: {browser.text}")


def click(browser: Browser, url: str, **values: str) -> None:
    """Send a form of the stand-in's pages."""
    browser.answer = browser.client.post(url, data=values)
    assert browser.answer.status_code < 400, browser.text


def registered(system: System, browser: Browser) -> None:
    """Register, open the link in the letter, and sign in there."""
    given = {"name": "Ada", "email": "ada@shop.example", "password": PASSWORD, "zone": "UTC"}
    browser.open("/register").send("/register", **given)
    browser.open(system.mailed("ada@shop.example", "/verify")).send("/sign-in", password=PASSWORD)
    assert "Hello Ada" in browser.text, browser.text


def test_newcomer_clicks_from_subscribing_to_being_restored(system: System, browser: Browser) -> None:
    registered(system, browser)
    stripe = system.stand_in

    browser.open("/plan").send("/plan/subscribe", plan="game")
    assert str(browser.answer.url).startswith(f"{stripe}/c/pay/")
    click(browser, str(browser.answer.url), card="fails_later")
    assert browser.path == "/plan/return"
    back = str(browser.answer.url)
    shows(browser, back, "Your plan is active")

    # Stripe's desk: time comes to the renewal, the bank says no, and days go by.
    click(browser, f"{stripe}/delivery", twice="1", shuffled="1", delay="0")
    browser.open(stripe)
    renew = next(form.action for form in browser.forms if form.action.endswith("/renew"))
    click(browser, stripe + renew)
    shows(browser, "/", "Payment required")
    for title in ("Backups disabled due to billing status", "Server suspended due to billing status"):
        for _ in range(10):
            click(browser, f"{stripe}/pass", hours="24")
            if title in browser.open("/").text:
                break
        shows(browser, "/", title)
    assert "Update payment method" in browser.text

    browser.open("/plan").send("/plan/portal")
    click(browser, str(browser.answer.url), card="works")
    assert "What was open is paid" in browser.text
    shows(browser, "/", "Everything is in order")
    (account,) = (each["accountId"] for each in accounts_of(system))
    happened = [each["action"] for each in system.events(account) if each["kind"] == "transition"]
    # Before that, shuffled events may have said for a moment that nothing was owed.
    assert happened.count("suspend") == 1
    assert [each for each in happened[happened.index("suspend") :] if each == "paid"] == ["paid"]


def accounts_of(system: System) -> list[dict[str, str]]:
    """Return every account, as an admin lists them."""
    answer = system.admin.get("/api/admin/accounts")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    return list(found["accounts"] if isinstance(found, dict) else found)
