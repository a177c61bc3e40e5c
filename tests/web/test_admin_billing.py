"""Prices, organisations and invoices by the admin's routes: changed, previewed, issued, credited, paid, imported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from jobs.invoices.ordered import run_ordered
from storage import accounts, audit, clock, ledger, policies
from storage.errors import ZoneUnknown
from tests.jobs.invoices.papers import bank_xml, entry_xml, payment_xml
from tests.web.site import Site, Tenant

EXAMPLE = Path(__file__).parents[2] / "examples" / "deploy" / "invoice.yaml"
BILLING = "/api/admin/billing"


@pytest.fixture(scope="module", autouse=True)
def creditor(site: Site) -> None:
    """Let the site know who invoices are from."""
    services = site.app.state.services
    services.settings = replace(services.settings, invoice_file=EXAMPLE)


@pytest.fixture(scope="module")
def month(site: Site) -> str:
    """The last month that is over, at prices from long before."""
    with site.database.begin() as conn:
        found = clock.now(conn).date().replace(day=1) - timedelta(days=1)
    since = (found - timedelta(days=400)).isoformat()
    changed = site.admin.put(
        f"{BILLING}/prices", json={"monthlyFee": "49.00", "perMessagePrice": 0.5, "validFrom": since}
    )
    assert changed.status_code == 200, changed.text
    assert (
        site.admin.put(f"{BILLING}/prices/skills/voice", json={"dailyPrice": "0.5", "validFrom": since}).status_code
        == 200
    )
    return f"{found:%Y-%m}"


@pytest.fixture
def payer(site: Site, month: str) -> Tenant:
    """An organisation that pays by invoice, with a tenant that has lived for long."""
    tenant = site.tenant()
    with site.database.begin() as conn:
        conn.execute(text("ALTER TABLE tenant_billing_lifecycle DISABLE TRIGGER USER"))
        old = "UPDATE tenant_billing_lifecycle SET at = at - interval '100 days' WHERE server_id = :id"
        conn.execute(text(old), {"id": tenant.server_id})
        conn.execute(text("ALTER TABLE tenant_billing_lifecycle ENABLE TRIGGER USER"))
    config = {"payByInvoice": True, "street": "Rheinweg", "houseNumber": "7", "postalCode": "4051", "town": "Basel"}
    changed = site.admin.patch(f"{BILLING}/organisations/{tenant.customer_id}", json=config)
    assert (changed.status_code, changed.json()["town"]) == (200, "Basel")
    return tenant


def issue(site: Site, payer: Tenant, month: str) -> httpx.Response:
    return site.admin.post(f"{BILLING}/organisations/{payer.customer_id}/issue", json={"month": month})


def test_prices_are_shown_and_every_change_is_kept(site: Site, month: str) -> None:
    shown = site.admin.get(f"{BILLING}/prices").json()
    assert (shown["monthlyFee"], shown["vatRateChli"], shown["currency"]) == ("49.00", "8.10", "CHF")
    assert shown["skills"] == {"voice": "0.50000"}
    kept = site.admin.get(f"{BILLING}/prices/history").json()
    assert {row["by"] for row in kept} == {"seed", "admin"}
    for wrong in ({"monthlyFee": "-1"}, {"monthlyFee": "1.001"}, {}, {"currency": "chf"}, {"monthlyFee": "x"}):
        answer = site.admin.put(f"{BILLING}/prices", json=wrong)
        assert answer.status_code == 400, answer.text


def test_invoice_is_previewed_issued_shown_paid_and_credited(site: Site, payer: Tenant, month: str) -> None:
    about = f"{BILLING}/organisations/{payer.customer_id}"
    preview = site.admin.get(f"{about}/preview", params={"month": month}).json()
    assert (preview["total"], preview["number"], preview["debtor"]["town"]) == ("52.97", None, "Basel")
    days = site.admin.get(f"{about}/preview", params={"from": f"{month}-01", "until": f"{month}-02"}).json()
    assert days["lines"][0]["quantity"] == "2"
    made = issue(site, payer, month)
    assert made.status_code == 201, made.text
    number = made.json()["number"]
    again = issue(site, payer, month)
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_ISSUED")
    part = site.admin.post(f"{BILLING}/invoices/{number}/paid", json={"amount": "20", "note": "by post"}).json()
    assert (part["state"], part["open"]) == ("partly_paid", "32.97")
    assert (
        site.admin.post(f"{BILLING}/invoices/{number}/paid", json={"amount": "99"}).json()["code"] == "PAYMENT_REFUSED"
    )
    assert site.admin.post(f"{BILLING}/invoices/{number}/paid").json()["state"] == "paid"
    shown = site.admin.get(f"{BILLING}/invoices/{number}").json()
    assert [each["amount"] for each in shown["payments"]] == ["20.00", "32.97"]
    assert shown["invoice"]["reference"] == shown["reference"]
    moved = site.admin.patch(about, json={"zone": "Pacific/Auckland"})
    assert (moved.status_code, moved.json()["code"]) == (409, "ZONE_FIXED")
    note = site.admin.post(f"{BILLING}/invoices/{number}/credit")
    assert (note.status_code, note.json()["kind"]) == (201, "credit_note")
    assert site.admin.post(f"{BILLING}/invoices/{number}/credit").status_code == 409
    assert issue(site, payer, month).status_code == 201
    listed = site.admin.get(f"{BILLING}/invoices", params={"customerId": payer.customer_id}).json()
    assert [each["state"] for each in listed] == ["open", "credit_note", "credited"]
    assert site.admin.get(f"{BILLING}/invoices/F1-1").status_code == 404


def test_payment_that_is_told_again_with_its_key_is_booked_once(site: Site, payer: Tenant, month: str) -> None:
    number, other = issue(site, payer, month).json()["number"], site.tenant()
    about, keyed = f"{BILLING}/invoices/{number}/paid", {"Idempotency-Key": f"k-{other.customer_id}"}

    def pay(wish: dict[str, str]) -> httpx.Response:
        return site.admin.post(about, json=wish, headers=keyed)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(pay, [{"amount": "20"}] * 8))
    assert {(each.status_code, each.json()["open"]) for each in answers} == {(200, "32.97")}
    differs = pay({"amount": "21"})
    assert (differs.status_code, differs.json()["code"]) == (409, "PAYMENT_REFUSED")
    assert "used before" in differs.text
    shown = site.admin.get(f"{BILLING}/invoices/{number}").json()
    assert [each["amount"] for each in shown["payments"]] == ["20.00"]


def test_who_changed_a_price_paid_or_credited_says_why_and_it_is_kept_and_audited(
    site: Site, payer: Tenant, month: str
) -> None:
    soon = (date.fromisoformat(f"{month}-01") + timedelta(days=400)).isoformat()
    changes = {"prices": {"setupFee": "1.00"}, "prices/skills/voice": {"dailyPrice": "0.75"}}
    for where, change in changes.items():
        told = {**change, "validFrom": soon, "reason": f"dearer {where}"}
        assert site.admin.put(f"{BILLING}/{where}", json=told).status_code == 200
    kept = site.admin.get(f"{BILLING}/prices/history").json()
    assert {f"dearer {where}" for where in changes} < {row["reason"] for row in kept}
    with site.database.begin() as conn:
        find = "SELECT canonical FROM audit WHERE account_id = :nobody AND canonical LIKE '%prices_changed%'"
        written = "".join(conn.execute(text(find), {"nobody": audit.NOBODY}).scalars())
    assert all(f"dearer {where}" in written for where in changes)
    made = issue(site, payer, month).json()
    with site.database.begin() as conn:  # as the controller does within a minute: it is audited with its accounts then
        ledger.begin_invoice(conn, policies.in_force(conn), UUID(made["invoiceId"]))
    about = f"{BILLING}/invoices/{made['number']}"
    assert site.admin.post(f"{about}/paid", json={"amount": "5", "reason": "in cash"}).status_code == 200
    assert site.admin.post(f"{about}/paid", json={"amount": "-5", "reason": "counted twice"}).status_code == 200
    assert site.admin.post(f"{about}/credit", json={"reason": "wrong month"}).json()["reason"] == "wrong month"
    assert [each["reason"] for each in site.admin.get(about).json()["payments"]] == ["in cash", "counted twice"]
    rows = site.admin.get(f"/api/admin/accounts/{payer.account_id}/events").json()
    said = [(row["action"], row["because"], row["actor"]) for row in rows if row["kind"] == "admin"]
    assert said[-3:] == [
        ("invoice_paid", "in cash", "admin"),
        ("invoice_payment_taken_back", "counted twice", "admin"),
        ("invoice_credited", "wrong month", "admin"),
    ]
    assert site.admin.post(f"{about}/paid", json={"reason": "x" * 501}).status_code == 400


def test_some_lines_of_an_invoice_are_credited(site: Site, payer: Tenant, month: str) -> None:
    about = f"{BILLING}/invoices/{issue(site, payer, month).json()['number']}"
    for lines in ([], [{"line": 1, "amount": "49.01"}], [{"line": 9}], [{"line": 1, "amount": "x"}], "all"):
        assert site.admin.post(f"{about}/credit", json={"lines": lines}).status_code in {400, 409}
    twice = [{"line": 1, "amount": "1"}, {"line": 1, "amount": "2"}]
    assert site.admin.post(f"{about}/credit", json={"lines": twice}).status_code == 400
    assert site.admin.get(about).json()["credited"] == "0"
    note = site.admin.post(f"{about}/credit", json={"lines": [{"line": 1, "amount": "9.00"}], "reason": "a quarrel"})
    assert (note.status_code, note.json()["total"], note.json()["reason"]) == (201, "9.73", "a quarrel")
    shown = site.admin.get(about).json()
    assert (shown["open"], shown["credited"], shown["creditedBy"], shown["state"]) == ("43.24", "9.73", None, "open")
    assert [each["number"] for each in shown["creditNotes"]] == [note.json()["number"]]
    rest = site.admin.post(f"{about}/credit", json={"lines": [{"line": 1}]}).json()
    assert (rest["total"], site.admin.get(about).json()["state"]) == ("43.24", "credited")


def test_month_is_generated_for_everybody_once(site: Site, payer: Tenant, month: str) -> None:
    answer = site.admin.post(f"{BILLING}/generate", json={"month": month})
    order = answer.json()
    assert (answer.status_code, order["state"], order["month"], order["issued"]) == (202, "waiting", month, 0)
    assert order["left"] >= 1
    again = site.admin.post(f"{BILLING}/generate", json={"month": month}).json()
    assert again["orderId"] == order["orderId"]
    automatic = site.admin.post(f"{BILLING}/generate", json={"month": month, "automatic": True}).json()
    assert (automatic["orderId"] == order["orderId"], automatic["left"]) == (False, 0)
    assert site.admin.get(order["url"]).json() == order
    for _ in range(2):
        assert run_ordered(site.app.state.services.settings, site.database) is not None
    first = site.admin.get(order["url"]).json()
    assert (first["state"], first["failed"], first["left"], first["outcome"]) == ("done", 0, 0, "")
    assert first["issued"] == order["left"] - first["nothing"] >= 1
    assert first["warned"] == len(first["withoutAddress"])
    nobody = site.admin.get(automatic["url"]).json()
    assert (nobody["state"], nobody["issued"], nobody["nothing"]) == ("done", 0, 0)
    second = site.admin.post(f"{BILLING}/generate", json={"month": month}).json()
    assert second["orderId"] != order["orderId"]
    run_ordered(site.app.state.services.settings, site.database)
    second = site.admin.get(second["url"]).json()
    assert (second["state"], second["issued"], second["failed"]) == ("done", 0, 0)
    assert site.admin.post(f"{BILLING}/generate", json={"month": "2030-13"}).status_code == 400
    assert site.admin.get(f"{BILLING}/orders/{payer.customer_id}").status_code == 404


def test_running_month_and_nothing_to_pay_for_are_409(site: Site, payer: Tenant, month: str) -> None:
    with site.database.begin() as conn:
        running = f"{clock.now(conn):%Y-%m}"
    assert issue(site, payer, running).json()["code"] == "MONTH_NOT_OVER"
    everybody = site.admin.post(f"{BILLING}/generate", json={"month": "2099-01"})
    assert (everybody.status_code, everybody.json()["code"]) == (409, "MONTH_NOT_OVER")
    with site.database.begin() as conn:
        assert conn.execute(text("SELECT count(*) FROM invoice_runs WHERE month = '2099-01-01'")).scalar_one() == 0
    assert issue(site, site.tenant(), month).json()["code"] == "NOTHING_TO_INVOICE"


def test_usage_is_taken_whole_or_not_at_all(site: Site, payer: Tenant, month: str) -> None:
    right = f"tenant,kind,date,quantity\n{payer.name},messages,{month}-01,10\n"
    where = f"{BILLING}/usage?source=meter"
    wrong = site.admin.post(where, content=right + f"nobody,messages,{month}-01,1\n=cmd|'x',messages,{month}-40,1\n")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "USAGE_REFUSED")
    assert "Line 4" in wrong.text or "line 4" in wrong.text
    assert site.admin.post(where, content=right).json() == {"added": 1, "repeated": 0, "late": 0}
    assert site.admin.post(where, content=right).json() == {"added": 0, "repeated": 1, "late": 0}
    assert issue(site, payer, month).json()["net"] == "54.00"
    late = site.admin.post(where, content=f"tenant,kind,date,quantity\n{payer.name},messages,{month}-02,1\n")
    assert "is invoiced already" in late.text


def test_who_changed_how_an_organisation_is_billed_says_why_and_it_is_audited(site: Site, payer: Tenant) -> None:
    about = f"{BILLING}/organisations/{payer.customer_id}"
    assert site.admin.patch(about, json={"town": "Chur", "reason": "has moved"}).json()["town"] == "Chur"
    assert site.admin.patch(about, json={"reason": "nothing else"}).status_code == 400
    wish = {"kind": "card", "label": "Visa", "reason": "by phone"}
    made = site.admin.post(f"{about}/payment-methods", json=wish).json()["paymentMethodId"]
    for status in (204, 404):
        gone = site.admin.delete(f"{about}/payment-methods/{made}", params={"reason": "was stolen"})
        assert gone.status_code == status
    rows = site.admin.get(f"/api/admin/accounts/{payer.account_id}/events").json()
    assert [(row["action"], row["because"]) for row in rows if row["kind"] == "admin"][-3:] == [
        ("change_billing", "has moved"),
        ("payment_method_added", "by phone"),
        ("payment_method_removed", "was stolen"),
    ]


def test_payment_methods_come_and_go(site: Site, payer: Tenant) -> None:
    about = f"{BILLING}/organisations/{payer.customer_id}"
    for label in ("Visa", "Master"):
        wish = {"kind": "card", "label": label, "default": True}
        made = site.admin.post(f"{about}/payment-methods", json=wish)
        assert made.status_code == 201, made.text
    held = site.admin.get(about).json()["paymentMethods"]
    assert [(each["label"], each["isDefault"]) for each in held] == [("Visa", False), ("Master", True)]
    gone = f"{about}/payment-methods/{made.json()['paymentMethodId']}"
    assert [site.admin.delete(gone).status_code, site.admin.delete(gone).status_code] == [204, 404]
    assert site.admin.patch(about, json={"zone": "Europe/Zurich"}).json()["zone"] == "Europe/Zurich"
    default = {"kind": "card", "label": "At once", "default": True}
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(site.admin.post, f"{about}/payment-methods", json=default) for _ in range(8)]
    assert [answer.result().status_code for answer in answers] == [201] * 8
    for wrong in ({"country": "Swiss"}, {"paymentDays": 400}, {"email": "x"}, {"zone": "Bern"}):
        assert site.admin.patch(about, json=wrong).status_code == 400


def test_bank_file_is_booked_once_and_the_rest_of_it_is_left_to_people(site: Site, payer: Tenant, month: str) -> None:
    made = issue(site, payer, month).json()
    paid = entry_xml(payment_xml("50.00", made["reference"], "api-1"), amount="50.00")
    lost = entry_xml(payment_xml("7.00", None, "api-2"), amount="7.00")
    first = site.admin.post(f"{BILLING}/import", content=bank_xml([paid, lost, entry_xml(way="DBIT")])).json()
    assert first["booked"] == [{"number": made["number"], "amount": "50.00"}]
    assert (first["repeated"], first["leftOut"]) == (0, 1)
    (left,) = first["unmatched"]
    assert (left["amount"], left["reference"], left["why"]) == ("7.00", None, "it names no reference")
    assert left["line"] == 1
    again = site.admin.post(f"{BILLING}/import", content=bank_xml([paid], version="camt.053.001.08")).json()
    assert (again["booked"], again["repeated"]) == ([], 1)
    shown = site.admin.get(f"{BILLING}/invoices/{made['number']}").json()
    assert (shown["state"], shown["open"]) == ("partly_paid", "2.97")


def test_bank_file_that_is_none_is_refused_whole(site: Site) -> None:
    answer = site.admin.post(f"{BILLING}/import", content=b"<!DOCTYPE x [<!ENTITY a 'b'>]><x>&a;</x>")
    assert (answer.status_code, answer.json()["code"]) == (400, "BANK_FILE_WRONG")


def test_days_amounts_and_texts_that_nobody_means_are_refused_before_they_do_harm(
    site: Site, payer: Tenant, month: str
) -> None:
    number = issue(site, payer, month).json()["number"]
    about = f"{BILLING}/organisations/{payer.customer_id}"
    tries: list[tuple[str, str, dict[str, str]]] = [
        ("GET", f"{about}/preview?month={wrong}", {}) for wrong in ("0001-01", "9999-12", "2030-%2B1", " 203-01")
    ]
    tries += [("GET", f"{about}/preview?from={day}&until={day}", {}) for day in ("0001-01-01", "9999-12-31")]
    tries += [("POST", f"{about}/issue", {"month": wrong}) for wrong in ("0001-01", "9999-12")]
    tries += [("POST", f"{BILLING}/generate", {"month": "9999-12"})]
    for day in ("0001-01-01", "9999-12-31"):
        tries += [("PUT", f"{BILLING}/prices", {"setupFee": "1", "validFrom": day})]
        tries += [("PUT", f"{BILLING}/prices/skills/voice", {"dailyPrice": "1", "validFrom": day})]
        tries += [("POST", f"{BILLING}/invoices/{number}/paid", {"amount": "0.01", "paidOn": day})]
    odd = {"kind": "card", "label": "Visa", "stripePaymentMethodId": "\0"}
    tries += [("POST", f"{about}/payment-methods", odd), ("GET", "/api/tenants?after=%00", {})]
    for method, where, body in tries:
        answer = site.admin.request(method, where, json=body or None)
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_INPUT"), (where, body, answer.text)
    for amount in ("1e30", "-1e30", "1e999999999", '"NaN"', '"sNaN"', '"-Infinity"'):
        answer = site.admin.post(f"{BILLING}/invoices/{number}/paid", content=f'{{"amount": {amount}}}')
        assert (answer.status_code, answer.json()["code"]) == (409, "PAYMENT_REFUSED"), (amount, answer.text)
        wish = f'{{"lines": [{{"line": 1, "amount": {amount}}}]}}'
        answer = site.admin.post(f"{BILLING}/invoices/{number}/credit", content=wish)
        assert (answer.status_code, answer.json()["code"]) == (409, "NOT_CREDITABLE"), (amount, answer.text)


def test_zone_that_the_database_does_not_know_is_nobodys(site: Site) -> None:
    for zone in ("right/Europe/Berlin", "posix/Europe/Berlin", "posixrules", "localtime"):
        wish = {"email": "zone@example.org", "name": "Zone", "zone": zone}
        answer = site.admin.post("/api/admin/customers", json=wish)
        assert (answer.status_code, answer.json()["code"]) == (400, "BAD_INPUT"), zone
    with site.database.begin() as conn, pytest.raises(ZoneUnknown):
        accounts.create_customer(conn, "zone@example.org", "Zone", "posix/Europe/Berlin")
