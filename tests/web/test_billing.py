"""Subscribing, changing the plan, managing payment: against a Stripe that answers as the real one does."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from storage import accounts, policies
from storage.settings import SHIPPED_POLICY
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_double import StripeDouble
from tests.doubles.stripe_sender import Sender
from tests.web.site import Site, Tenant


@pytest.fixture
def stripe(site: Site) -> Iterator[StripeDouble]:
    """A Stripe of its own, which the site talks to."""
    services = site.app.state.services
    before = services.settings
    seconds = itertools.count(int(time.time()) - 7_200)  # nothing happens in the same second as anything else
    with StripeDouble(now=lambda: next(seconds)) as double:
        services.settings = replace(before, stripe_api_key=KEY, stripe_api_base=double.url)
        yield double
    services.settings = before


def newcomer(site: Site) -> Tenant:
    """Make a customer as registering does: an account without a plan, of whom Stripe has never heard."""
    tenant = site.tenant()
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE accounts SET stripe_customer_id = NULL, plan = NULL, has_active_plan = false WHERE id = :id"),
            {"id": tenant.account_id},
        )
    return tenant


def ask(tenant: Tenant, what: str = "checkout", **more: str) -> httpx.Response:
    """Ask for a checkout, a change of plan, or the portal."""
    return tenant.client.post(f"/api/billing/{what}", json={"accountId": tenant.account_id, **more})


def told(site: Site, stripe: StripeDouble) -> None:
    """Deliver everything that happened, in order."""
    sender = Sender(site.url)
    for event in stripe.books.events:
        assert sender.deliver(event).status_code == 200
    sender.client.close()


def subscribed(site: Site, stripe: StripeDouble, plan: str = "game") -> Tenant:
    """Make a customer who has paid for a plan."""
    tenant = newcomer(site)
    assert ask(tenant, plan=plan).status_code == 200
    assert stripe.books.complete(stripe.books.of("checkout.session")[0], "works")
    told(site, stripe)
    return tenant


def test_checkout_carries_our_ids_and_its_payment_makes_the_plan_active(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    answer = ask(tenant, plan="game")
    assert answer.status_code == 200, answer.text
    (session,) = stripe.books.of("checkout.session")
    assert answer.json() == {"url": session["url"]}
    ids = {"userId": tenant.customer_id, "accountId": tenant.account_id, "plan": "game"}
    assert session["client_reference_id"] == tenant.account_id
    assert session["double"]["subscription_data"]["metadata"] == ids
    (customer,) = stripe.books.of("customer")
    assert customer["metadata"] == {"userId": tenant.customer_id, "accountId": tenant.account_id}
    assert stripe.books.complete(session, "works")
    told(site, stripe)
    told(site, stripe)  # a second time changes nothing
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert (view["plan"], view["subscriptionStatus"], view["billingStatus"]) == ("game", "active", "active")
    assert site.scalar("SELECT has_active_plan FROM accounts WHERE id = :id", id=tenant.account_id) is True


def test_many_at_once_are_one_customer_and_one_checkout(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(tenant, plan="game"), range(8)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["url"] for answer in answers}) == 1
    assert len(stripe.books.of("customer")) == len(stripe.books.of("checkout.session")) == 1


def test_customer_who_was_made_and_never_linked_is_found_again(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    ask(tenant, plan="game")
    with site.database.begin() as conn:  # as if we had stopped between Stripe's answer and our commit, days ago
        conn.execute(text("UPDATE accounts SET stripe_customer_id = NULL WHERE id = :id"), {"id": tenant.account_id})
    stripe.forget_keys()
    assert ask(tenant, plan="game").status_code == 200
    assert len(stripe.books.of("customer")) == 1


def test_another_plan_closes_the_checkout_that_is_open(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    first = ask(tenant, plan="game").json()["url"]
    second = ask(tenant, plan="dev").json()["url"]
    assert first != second
    assert [each["status"] for each in stripe.books.of("checkout.session")] == ["open", "expired"]


def test_nobody_pays_twice(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    ask(tenant, plan="game")
    stripe.books.complete(stripe.books.of("checkout.session")[0], "works")
    again = ask(tenant, plan="game")  # Stripe has not told us yet
    assert (again.status_code, again.json()["code"]) == (409, "SUBSCRIPTION_EXISTS")


def test_smaller_plan_keeps_what_there_is_and_denies_what_is_new(site: Site, stripe: StripeDouble) -> None:
    tenant = subscribed(site, stripe)
    for _ in range(3):
        site.add_server(tenant.account_id)
    assert ask(tenant, "plan", plan="dev").status_code == 202
    told(site, stripe)
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert (view["plan"], len(view["servers"]), view["serverBillingState"]) == ("dev", 4, "allowed")
    order = {"name": "fifth", "kind": "game", "accountId": tenant.account_id}
    denied = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "fifth"})
    assert (denied.status_code, denied.json()["code"]) == (402, "PLAN_LIMIT_REACHED")
    assert ask(tenant, "plan", plan="game").status_code == 202
    told(site, stripe)
    assert tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "more"}).status_code == 202


def test_plan_is_not_changed_while_something_is_owed(site: Site, stripe: StripeDouble) -> None:
    tenant = subscribed(site, stripe)
    (subscription,) = stripe.books.of("subscription")
    subscription["status"] = "past_due"
    answer = ask(tenant, "plan", plan="dev")
    assert (answer.status_code, answer.json()["code"]) == (409, "PAYMENT_FIRST")


def test_portal_is_the_customers_own(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    early = ask(tenant, "portal")
    assert (early.status_code, early.json()["code"]) == (409, "NOTHING_TO_MANAGE")
    tenant = subscribed(site, stripe)
    assert ask(tenant, "portal").json()["url"].startswith(f"{stripe.url}/p/session/")
    customer = site.scalar("SELECT stripe_customer_id FROM accounts WHERE id = :id", id=tenant.account_id)
    assert [each["customer"] for each in stripe.books.of("billing_portal.session")] == [customer]


def test_exempt_account_pays_nothing(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    with site.database.begin() as conn:
        until = datetime.now(UTC) + timedelta(days=1)
        accounts.exempt(conn, policies.in_force(conn), UUID(tenant.account_id), until, by="test")
    answer = ask(tenant, plan="game")
    assert (answer.status_code, answer.json()["code"]) == (409, "NOTHING_TO_PAY")
    assert stripe.books.of("customer") == []


@pytest.mark.parametrize("what", ["checkout", "plan", "portal"])
def test_another_tenants_account_is_not_there(site: Site, stripe: StripeDouble, what: str) -> None:
    mine, other = newcomer(site), newcomer(site)
    body = {"accountId": other.account_id, **({} if what == "portal" else {"plan": "game"})}
    answer = mine.client.post(f"/api/billing/{what}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
    assert site.admin.post(f"/api/billing/{what}", json=body).status_code == 403
    assert stripe.requests == []


@pytest.mark.parametrize("status", [429, 500, 401])
def test_stripe_that_does_not_answer_is_said_and_nothing_is_kept(site: Site, stripe: StripeDouble, status: int) -> None:
    tenant = newcomer(site)
    stripe.fail_with = status
    answer = ask(tenant, plan="game")
    assert (answer.status_code, answer.json()["code"]) == (503, "PAYMENT_AWAY")
    assert KEY not in answer.text
    assert site.scalar("SELECT stripe_customer_id FROM accounts WHERE id = :id", id=tenant.account_id) is None


def test_without_a_key_or_with_an_unknown_plan_nobody_is_asked(site: Site, stripe: StripeDouble) -> None:
    tenant = newcomer(site)
    assert ask(tenant, plan="palace").status_code == 400
    site.app.state.services.settings = replace(site.app.state.services.settings, stripe_api_key="")
    answer = ask(tenant, plan="game")
    assert (answer.status_code, answer.json()["code"]) == (409, "PAYMENT_NOT_SET_UP")
    assert stripe.requests == []
    assert {"plan": "game", "servers": 10} in tenant.client.get("/api/billing/plans").json()


def test_servers_without_a_plan_are_as_many_as_the_policy_gives(site: Site, tmp_path: Path) -> None:
    tenant = newcomer(site)
    with site.database.begin() as conn:
        conn.execute(text("UPDATE servers SET lifecycle = 'deleted' WHERE account_id = :id"), {"id": tenant.account_id})

    def order(number: int) -> tuple[int, str | None]:
        body = {"name": "first", "kind": "game", "accountId": tenant.account_id}
        key = {"Idempotency-Key": f"free-{number}"}
        answer = tenant.client.post("/api/instances", json=body, headers=key)
        return answer.status_code, answer.json().get("code")

    assert order(0) == (402, "BILLING_NO_ACTIVE_PLAN"), "as shipped, a server needs a plan"
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    for name, old, new in (
        ("standing.yaml", "free_servers: 0", "free_servers: 1"),
        ("guarantees.yaml", "free_servers: {account: 0}", "free_servers: {account: 1}"),
    ):
        (folder / name).write_text((folder / name).read_text().replace(old, new))
    policies.deploy_folder(site.database.engine, folder, {}, by="test")
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = sorted(pool.map(order, range(1, 9)), key=str)
    finally:
        policies.deploy_folder(site.database.engine, SHIPPED_POLICY, {}, by="test")
    assert answers == [(202, None)] + [(402, "BILLING_NO_ACTIVE_PLAN")] * 7


def test_a_trial_is_for_the_first_subscription(site: Site, stripe: StripeDouble, tmp_path: Path) -> None:
    tenant = newcomer(site)
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    file = folder / "standing.yaml"
    file.write_text(file.read_text().replace("servers: 10}", "servers: 10, trial_days: 14}"))
    policies.deploy_folder(site.database.engine, folder, {}, by="test")
    try:
        assert ask(tenant, plan="game").status_code == 200
        stripe.books.complete(stripe.books.of("checkout.session")[0], "works")
        (first,) = stripe.books.of("subscription")
        assert (first["status"], stripe.books.of("invoice")) == ("trialing", [])
        told(site, stripe)
        (seen,) = tenant.client.get("/api/account").json()
        assert (seen["planBy"], seen["subscriptionStatus"], seen["trialEndsAt"] is not None) == (
            "subscription", "trialing", True,
        )  # fmt: skip
        stripe.books.cancel(first)
        assert ask(tenant, plan="game").status_code == 200
        stripe.books.complete(stripe.books.of("checkout.session", status="open")[0], "works")
    finally:
        policies.deploy_folder(site.database.engine, SHIPPED_POLICY, {}, by="test")
    assert {each["status"] for each in stripe.books.of("subscription")} == {"canceled", "active"}


def test_plan_without_a_price_is_not_sold(site: Site, stripe: StripeDouble, tmp_path: Path) -> None:
    tenant = newcomer(site)
    folder = tmp_path / "policy"
    shutil.copytree(SHIPPED_POLICY, folder)
    file = folder / "standing.yaml"
    file.write_text(file.read_text().replace("[price_dev]", "[]"))
    policies.deploy_folder(site.database.engine, folder, {}, by="test")
    try:
        answer = ask(tenant, plan="dev")
        plans = tenant.client.get("/api/billing/plans").json()
    finally:
        policies.deploy_folder(site.database.engine, SHIPPED_POLICY, {}, by="test")
    assert (answer.status_code, answer.json()["code"]) == (409, "NOT_SOLD")
    assert [each["plan"] for each in plans] == ["game"]
    assert stripe.requests == []
