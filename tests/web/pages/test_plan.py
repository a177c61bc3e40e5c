"""The page of plans, and the way to Stripe and back, in a browser without JavaScript."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from storage import accounts, policies
from tests.doubles import stripe as shapes
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.doubles.stripe_sender import Sender
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]


@pytest.fixture
def stripe(site: Site) -> Iterator[StripeDouble]:
    """A Stripe of its own, which leads back to the site."""
    services = site.app.state.services
    before = services.settings
    with StripeDouble() as double:
        services.settings = replace(
            before, stripe_api_key=KEY, stripe_api_base=double.url, portal_url=site.url, public_url=site.url
        )
        yield double
    services.settings = before


@pytest.fixture
def tenant(site: Site) -> Tenant:
    """Somebody who has registered and not subscribed."""
    made = site.tenant()
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE accounts SET stripe_customer_id = NULL, plan = NULL, has_active_plan = false WHERE id = :id"),
            {"id": made.account_id},
        )
    return made


def tell(site: Site, stripe: StripeDouble) -> None:
    """Deliver everything that happened, the newest first."""
    sender = Sender(site.url)
    for event in reversed(stripe.books.events):
        assert sender.deliver(event).status_code == 200
    sender.client.close()


def test_subscribing_waits_for_stripes_word_and_says_so(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn
) -> None:
    browser = signed_in(tenant).open("/plan")
    assert "No plan yet" in browser.text
    assert f"form-action 'self' {stripe.url} " in browser.answer.headers["content-security-policy"]
    browser.send("/plan/subscribe", plan="game")
    assert str(browser.answer.url).startswith(stripe.url)
    paying = browser.forms[0].action
    browser.client.post(f"{stripe.url}{paying}", data={"card": "declined"})
    browser.answer = browser.client.post(f"{stripe.url}{paying}", data={"card": "works"})
    assert browser.path == "/plan/return"
    assert "waiting for Stripe" in browser.text
    assert 'http-equiv="refresh"' in browser.answer.text
    tell(site, stripe)
    again = browser.open(str(browser.answer.url))
    assert "Your plan is active" in again.text
    assert "refresh" not in again.answer.text
    assert "Plan: game" in browser.open("/plan").text
    browser.send("/plan/portal")
    assert str(browser.answer.url).startswith(f"{stripe.url}/p/session/")


def test_plan_is_changed_and_the_page_waits_again(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn
) -> None:
    browser = signed_in(tenant).open("/plan").send("/plan/subscribe", plan="game")
    stripe.books.complete(stripe.books.of("checkout.session")[0], "works")
    tell(site, stripe)
    stripe.books.now = lambda: int(datetime.now(UTC).timestamp()) + 60
    browser.open("/plan").send("/plan/change", plan="dev")
    assert "waiting for Stripe" in browser.text
    tell(site, stripe)
    assert "Your plan is active" in browser.open(str(browser.answer.url)).text


def test_waiting_comes_to_an_end(stripe: StripeDouble, tenant: Tenant, signed_in: SignIn) -> None:
    browser = signed_in(tenant)
    for looked, waits in (("39", True), ("40", False), ("x", True), ("99999", True)):
        browser.open(f"/plan/return?account={tenant.account_id}&plan=game&looked={looked}")
        assert ('http-equiv="refresh"' in browser.answer.text) is waits, looked
    assert browser.open("/plan/return?account=none&plan=game").answer.status_code == 404


def test_exempt_and_given_plans_are_shown_as_such(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn
) -> None:
    given = site.tenant()
    assert "given to you by our team" in signed_in(given).open("/plan").text
    with site.database.begin() as conn:
        until = datetime.now(UTC) + timedelta(days=9)
        accounts.exempt(conn, policies.in_force(conn), UUID(tenant.account_id), until, by="test")
    browser = signed_in(tenant).open("/plan")
    assert "exempt until" in browser.text
    assert [form.action for form in browser.forms] == ["/sign-out"]


def test_forms_about_another_tenants_account_find_nothing(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn
) -> None:
    other = site.tenant()
    browser = signed_in(tenant).open("/plan")
    proof = browser.form("/sign-out").fields["proof"]
    for what in ("subscribe", "change", "portal"):
        form = {"proof": proof, "accountId": other.account_id, "plan": "game"}
        assert browser.client.post(f"/plan/{what}", data=form).status_code == 404
    assert stripe.requests == []


PAUSED = {"status": "active", "pause_collection": {"behavior": "void", "resumes_at": 1_900_000_000}}


def test_a_trial_and_a_pause_say_what_they_mean(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn
) -> None:
    now, browser = int(datetime.now(UTC).timestamp()), signed_in(tenant)
    customer = f"cus_{tenant.account_id}"
    with site.database.begin() as conn:
        link = text("UPDATE accounts SET stripe_customer_id = :customer WHERE id = :id")
        conn.execute(link, {"customer": customer, "id": tenant.account_id})
    sender = Sender(site.url)
    stories: tuple[tuple[dict[str, Any], str], ...] = (
        ({"status": "trialing", "trial_end": 1_900_000_000}, "until it ends, on Sunday, 17 March 2030"),
        ({"status": "paused"}, "the trial ended, and there is no card to charge"),
        (PAUSED, "nothing is charged until Sunday, 17 March 2030"),
    )
    for second, (more, words) in enumerate(stories):
        told = shapes.subscription_event("updated", f"sub_{customer}", created=now + second, customer=customer, **more)
        assert sender.deliver(told).status_code == 200
        assert words in browser.open("/plan").text
    sender.client.close()
    (seen,) = tenant.client.get("/api/account").json()
    assert (seen["planBy"], seen["pausedBecause"], seen["trialEndsAt"]) == ("subscription", "void", None)
    assert seen["resumesAt"].startswith("2030-03-17T")


@pytest.mark.parametrize("story", [("bank", "Your plan is active"), ("bank_fails", "Your bank has not paid")], ids=str)
def test_a_bank_that_takes_days_is_waited_for_in_words(
    site: Site, stripe: StripeDouble, tenant: Tenant, signed_in: SignIn, story: tuple[str, str]
) -> None:
    card, words = story
    browser = signed_in(tenant).open("/plan").send("/plan/subscribe", plan="game")
    back = str(browser.client.post(f"{stripe.url}{browser.forms[0].action}", data={"card": card}).url)
    sender = Sender(site.url)
    for event in [each for each in stripe.books.events if each["type"].startswith("checkout.")]:
        assert sender.deliver(event).status_code == 200
    assert "your bank takes some days to pay" in browser.open(back).text
    later = int(datetime.now(UTC).timestamp()) + 4 * 86_400
    stripe.books.now = lambda: later
    stripe.books.pass_time()
    sender.client.close()
    tell(site, stripe)
    assert words in browser.open(back).text
