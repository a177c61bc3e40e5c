"""The stand-in for Stripe: what it sends ends the same in any order and number; what it keeps outlives a restart."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from jobs import up_double
from jobs.certificates import certificates
from storage.beside import STRIPE_FILE, with_double
from tests.doubles.stripe_api import KEY
from tests.doubles.stripe_books import DAY, RETRY_DAYS
from tests.doubles.stripe_delivery import Deliverer
from tests.doubles.stripe_double import StripeDouble
from tests.doubles.stripe_pages import Delivery
from tests.doubles.stripe_program import configure
from tests.web.site import SECRET, Site

STATE = ("billingStatus", "subscriptionStatus", "plan")


def lived(double: StripeDouble, account_id: str) -> None:
    """Let a customer subscribe, fail, be tried again, and pay."""
    books = double.books
    customer = books.customer({"email": "a@example.org", "metadata": {"accountId": account_id}})
    books.set_card(customer["id"], "works")
    subscription = books.subscribe(customer["id"], "price_dev", metadata={"accountId": account_id})
    books.set_card(customer["id"], "fails_later")
    books.bill(subscription)
    books.set_card(customer["id"], "works")
    books.charge(books.of("invoice", status="open")[0])


@pytest.mark.parametrize("how", [Delivery(), Delivery(copies=3), Delivery(shuffled=True, copies=2)], ids=str)
def test_whatever_way_it_sends_the_account_ends_the_same(site: Site, how: Delivery) -> None:
    tenant = site.tenant()
    seconds = itertools.count(int(time.time()) - 7_200)
    double = StripeDouble(now=lambda: next(seconds))
    lived(double, tenant.account_id)
    with double:
        deliverer = Deliverer(double.books, how, f"{site.url}/api/billing/webhook", SECRET)
        assert deliverer.step() == len(double.books.events)
        assert deliverer.step() == 0
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert tuple(view[name] for name in STATE) == ("active", "active", "dev")


def test_what_is_not_taken_is_sent_again_later_and_switched_off_nothing_is_sent(site: Site) -> None:
    with StripeDouble() as double:
        double.books.customer({"email": "b@example.org"})
        wrong = Deliverer(double.books, Delivery(), f"{site.url}/api/billing/webhook", "whsec_wrong")
        assert wrong.step() == 0
        assert wrong.pauses
        right = replace(wrong, secret=SECRET, pauses={}, how=Delivery(off=True))
        assert right.step() == 0
        right.how.off, right.how.delay_seconds = False, 3_600
        assert right.step() == 0
        right.how.delay_seconds = 0
        assert right.step() == 1


@pytest.mark.parametrize(("after", "status"), [("past_due", "past_due"), ("unpaid", "unpaid"), ("cancel", "canceled")])
def test_retries_follow_the_plan_and_end_in_what_was_chosen(after: str, status: str) -> None:
    now = [int(time.time())]
    double = StripeDouble(now=lambda: now[0])
    configure(double, f"twice,delay=7,retries=1+2,after={after}")
    assert (double.desk.delivery.copies, double.desk.delivery.delay_seconds) == (2, 7.0)
    lived(double, "nobody")
    (subscription,) = double.books.of("subscription")
    double.books.set_card(subscription["customer"], "fails_later")
    double.books.bill(subscription)
    for days in (1, 2):
        assert subscription["status"] == "past_due"
        now[0] += days * DAY
        double.books.pass_time()
    (invoice,) = double.books.of("invoice", status="open")
    assert (invoice["attempt_count"], invoice["next_payment_attempt"], subscription["status"]) == (3, None, status)


@pytest.mark.parametrize("days", ["", "0", "61", "1,x", "1,2,3,4,5,6,7,8,9"])
def test_a_plan_of_retries_that_makes_no_sense_is_refused_on_its_page(days: str) -> None:
    with (
        StripeDouble() as double,
        httpx.Client(verify=certificates(), base_url=double.url, follow_redirects=True) as browser,
    ):
        assert browser.post("/retries", data={"days": days, "after": "cancel"}).status_code == 400
        assert browser.post("/retries", data={"days": "2, 4", "after": "later"}).status_code == 400
        assert str(double.books.retry_days) == str(RETRY_DAYS)
        assert "value='2, 4'" in browser.post("/retries", data={"days": "2, 4", "after": "unpaid"}).text
    assert double.books.after_retries == "unpaid"


@pytest.mark.parametrize(
    ("behaviour", "is_fine"),
    [
        ("", True), ("twice,shuffled,off", True), ("delay=5,retries=1+2+3,after=unpaid", True), ("thrice", False),
        ("delay=x", False), ("retries=0", False), ("after=sale", False), ("twice;shuffled", False),
    ],
)  # fmt: skip
def test_the_flag_takes_what_the_stand_in_can_do(behaviour: str, is_fine: bool) -> None:
    if is_fine:
        up_double.check_behaviour(behaviour)
        configure(StripeDouble(), behaviour)
        return
    with pytest.raises(up_double.DoubleRefused, match="cannot be"):
        up_double.check_behaviour(behaviour)


def test_a_bank_takes_a_payment_back_and_decides_in_the_pages_of_the_stand_in(site: Site) -> None:
    tenant = site.tenant()
    seconds = itertools.count(int(time.time()) - 7_200)
    with (
        StripeDouble(now=lambda: next(seconds)) as double,
        httpx.Client(verify=certificates(), base_url=double.url) as browser,
    ):
        books = double.books
        customer = books.customer({"email": "a@example.org", "metadata": {"accountId": tenant.account_id}})
        books.set_card(customer["id"], "works")
        subscription = books.subscribe(customer["id"], "price_dev", metadata={"accountId": tenant.account_id})
        with site.database.begin() as conn:
            link = text("UPDATE accounts SET stripe_customer_id = :customer WHERE id = :id")
            conn.execute(link, {"customer": customer["id"], "id": tenant.account_id})
        deliverer = Deliverer(books, Delivery(shuffled=True), f"{site.url}/api/billing/webhook", SECRET)
        for path, rung in ((f"/subscriptions/{subscription['id']}/dispute", "opened"), ("lost", "opened")):
            (dispute,) = books.of("dispute") or [{"id": ""}]
            address = path if path.startswith("/") else f"/disputes/{dispute['id']}/{path}"
            assert browser.post(address).status_code == 303
            deliverer.step()
            view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
            assert view["states"]["dispute"] == rung
        assert browser.post(f"/disputes/{books.of('dispute')[0]['id']}/won").status_code == 400


def test_failed_charge_is_tried_again_on_its_days_and_no_longer(tmp_path: Path) -> None:
    now = [int(time.time())]
    file = tmp_path / "books.json"
    double = StripeDouble(now=lambda: now[0], file=file)
    lived(double, "nobody")
    (subscription,) = double.books.of("subscription")
    double.books.set_card(subscription["customer"], "fails_later")
    double.books.bill(subscription)
    for tried, days in enumerate((*RETRY_DAYS, 9), start=1):
        (invoice,) = double.books.of("invoice", status="open")
        assert invoice["attempt_count"] == tried
        now[0] += days * DAY - 1
        double.books.pass_time()
        assert invoice["attempt_count"] == tried
        now[0] += 1
        double.books.pass_time()
    assert invoice["attempt_count"] == len(RETRY_DAYS) + 1
    assert subscription["status"] == "past_due"
    again = StripeDouble(now=lambda: now[0], file=file)
    assert again.books.events == double.books.events
    assert again.books.of("invoice") == double.books.of("invoice")
    for each in (double, again):
        with each:
            pass


def test_events_are_listed_in_pages_and_foreign_forms_and_keys_are_refused() -> None:
    with StripeDouble() as double, httpx.Client(verify=certificates(), base_url=double.url, trust_env=False) as client:
        lived(double, "nobody")
        assert client.get("/v1/events").status_code == 401
        client.headers["Authorization"] = f"Bearer {KEY}"
        found: list[str] = []
        more = True
        while more:
            query = {"limit": "3", **({"starting_after": found[-1]} if found else {})}
            page = client.get("/v1/events", params=query).json()
            found += [each["id"] for each in page["data"]]
            more = page["has_more"]
        assert found == [event["id"] for event in double.books.events][::-1]
        foreign = {"Origin": "https://evil.example"}
        assert client.post("/delivery", data={"off": "1"}, headers=foreign).status_code == 403
        assert not double.desk.delivery.off


def test_commands_beside_it_find_it_while_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORBEAR_STRIPE_MODE", "poll")
    told = {"STRIPE_API_KEY": KEY, "STRIPE_API_BASE": "http://127.0.0.1:2"}
    up_double.tell_commands(tmp_path, told)
    file = tmp_path / "secrets" / STRIPE_FILE
    assert file.stat().st_mode & 0o077 == 0
    assert with_double({}, file) == {**told, "FORBEAR_STRIPE_MODE": "poll"}
    assert with_double({"STRIPE_API_KEY": "sk_own"}, file) == {"STRIPE_API_KEY": "sk_own"}
    up_double.tell_commands(tmp_path, {})
    assert with_double({}, file) == {}


@pytest.mark.parametrize("name", ["STRIPE_API_KEY", "STRIPE_API_BASE"])
def test_with_anything_of_stripes_there_is_no_stand_in(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "sk_live_not_a_key")
    with pytest.raises(up_double.DoubleRefused, match=name):
        up_double.environment_beside(8080)
    monkeypatch.delenv(name)
    assert up_double.environment_beside(8080)["STRIPE_API_KEY"] == KEY
    monkeypatch.setattr(up_double, "PROGRAM", Path("/nowhere"))
    with pytest.raises(up_double.DoubleRefused, match="checkout of its source"):
        up_double.environment_beside(8080)
