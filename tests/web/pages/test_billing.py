"""What customers see of their invoices: what is due and how to pay it, their papers, and where invoices go."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs.invoices.drawing import TURNS
from storage.invoicing import invoices_pay, organisations
from storage.invoicing.invoices_issue import Billing
from tests.web.pages.bills import ADDRESS, Bills
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]


@pytest.fixture(scope="module")
def bills(site: Site) -> Bills:
    return Bills(site)


def test_what_is_due_stands_first_with_how_to_pay_it(site: Site, bills: Bills, signed_in: SignIn) -> None:
    tenant = bills.payer()
    browser = signed_in(tenant)
    assert "Nothing to pay" in browser.open("/billing").text
    invoice = bills.issue(tenant)
    said = browser.open("/billing").text
    assert "CHF 52.97 to pay by" in said
    assert "CH58 0079 1123 0008 8901 2" in said
    assert invoice.reference is not None
    assert invoice.reference.replace(" ", "") in said.replace(" ", "")
    with site.database.begin() as conn:
        invoices_pay.pay(conn, invoice.id, Decimal(20), by="test")
    said = browser.open("/billing").text
    assert "CHF 32.97 to pay by" in said
    assert "you have paid 20.00" in said
    with site.database.begin() as conn:
        Billing(bills.creditor).credit(conn, invoice.id, by="test", wish={1: Decimal("9.00")})
    said = browser.open("/billing").text
    assert "CHF 23.24 to pay by" in said
    assert "you have paid 20.00, and 9.73 is credited" in said
    with site.database.begin() as conn:
        invoices_pay.pay(conn, invoice.id, None, by="test")
    said = browser.open("/billing").text
    assert "Nothing to pay" in said
    assert "23.24" in said


def test_why_there_is_no_vat_is_said_wherever_the_invoice_is_shown(
    site: Site, bills: Bills, signed_in: SignIn, desk: Browser
) -> None:
    tenant = bills.payer(country="DE")
    about = f"organisations/{tenant.customer_id}/preview?month={bills.month:%Y-%m}"
    previewed = desk.open(f"/admin/billing/{about}").text, site.admin.get(f"/api/admin/billing/{about}").json()["noVat"]
    invoice = bills.issue(tenant)
    page = desk.open(f"/admin/billing/invoices/{invoice.number}").text
    told = site.admin.get(f"/api/admin/billing/invoices/{invoice.number}").json()["invoice"]["noVat"]
    for said in (*previewed, page, told, signed_in(tenant).open("/billing").text):
        assert "Not subject to VAT: the service is supplied abroad" in said
    for said in (previewed[0], page):
        assert "No Swiss VAT" in said
        assert "0.00 %" not in said
    taxed = bills.issue(bills.payer())
    assert "VAT 8.10 % of 49.00" in desk.open(f"/admin/billing/invoices/{taxed.number}").text
    assert site.admin.get(f"/api/admin/billing/invoices/{taxed.number}").json()["invoice"]["noVat"] is None


def test_papers_are_downloaded_by_whom_they_are_for(site: Site, bills: Bills, signed_in: SignIn) -> None:
    tenant = bills.payer()
    invoice = bills.issue(tenant)
    with site.database.begin() as conn:
        note = Billing(bills.creditor).credit(conn, invoice.id, by="test")
    browser = signed_in(tenant)
    said = browser.open("/billing").text
    assert "credit note" in said
    assert "Nothing to pay" in said
    for number, name in ((invoice.number, "invoice"), (note.number, "credit-note")):
        answer = browser.open(f"/billing/{number}/pdf").answer
        assert answer.content.startswith(b"%PDF-")
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}-{number}.pdf"'
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert browser.open(f"/billing/{number}/pdf").answer.content == answer.content
    assert bytes(site.scalar("SELECT pdf FROM invoice_papers WHERE invoice_id = :id", id=note.id)) == answer.content
    other = signed_in(bills.payer())
    for given in (invoice.number, str(invoice.id), "F1-1", "x" * 500, "%00"):
        assert other.open(f"/billing/{given}/pdf").answer.status_code == 404
    assert signed_in("bills@desk.example").open("/billing").answer.status_code == 404


def test_who_asks_for_a_paper_while_too_many_are_drawn_is_told_when_to_come_again(
    bills: Bills, signed_in: SignIn
) -> None:
    tenant = bills.payer()
    browser, number = signed_in(tenant), bills.issue(tenant).number
    held, TURNS.left = TURNS.left, 0
    try:
        answer = browser.open(f"/billing/{number}/pdf").answer
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "ask for this one again in a few seconds" in answer.text
    finally:
        TURNS.left = held
    drawn = browser.open(f"/billing/{number}/pdf").answer
    assert drawn.content.startswith(b"%PDF-")
    TURNS.left = 0
    try:
        assert browser.open(f"/billing/{number}/pdf").answer.content == drawn.content  # what is kept waits for nobody
    finally:
        TURNS.left = held


def test_customers_and_the_desk_see_what_is_paid_with(
    site: Site, bills: Bills, signed_in: SignIn, desk: Browser
) -> None:
    tenant = bills.payer()
    customer = UUID(tenant.customer_id)
    with site.database.begin() as conn:
        organisations.add_payment_method(conn, customer, "card", "<b>Visa</b> 4242", default=True)
        gone = organisations.add_payment_method(conn, customer, "bank_debit", "Old account")
        organisations.remove_payment_method(conn, customer, gone)
    for shown in (signed_in(tenant).open("/billing"), desk.open(f"/admin/billing/organisations/{customer}")):
        assert "<b>Visa</b> 4242" in shown.text
        assert "<b>Visa" not in shown.answer.text
        assert "Old account" not in shown.text
    said = signed_in(tenant).open("/billing").text
    assert "By invoice: once a month" in said
    assert "used first" in said


def test_reminders_are_downloaded_as_they_were_sent_and_by_whom(
    site: Site, bills: Bills, signed_in: SignIn, desk: Browser
) -> None:
    tenant = bills.payer()
    invoice = bills.issue(tenant)
    add = text(
        "INSERT INTO invoice_reminders (invoice_id, intent, state, round, status, asked_at, ended_at, paper) VALUES "
        "(:id, 'remind', 'first_reminder', :round, :status, now(), now(), :paper) RETURNING id"
    )
    with site.database.begin() as conn:
        sent, lost, bare = (
            conn.execute(add, {"id": invoice.id, "round": number, "status": status, "paper": paper}).scalar_one()
            for number, (status, paper) in enumerate((("sent", b"%PDF-1"), ("unknown", b"%PDF-2"), ("sent", None)))
        )
    browser, other = signed_in(tenant), signed_in(bills.payer())
    assert browser.open("/billing").answer.text.count("/billing/reminders/") == 1
    assert "First reminder" in browser.text
    answer = browser.open(f"/billing/reminders/{sent}/pdf").answer
    assert (answer.content, answer.headers["content-type"]) == (b"%PDF-1", "application/pdf")
    assert answer.headers["content-disposition"] == f'attachment; filename="first-reminder-{invoice.number}.pdf"'
    for who, letters in ((browser, (lost, bare)), (other, (sent, lost, bare))):
        for letter in letters:
            assert who.open(f"/billing/reminders/{letter}/pdf").answer.status_code == 404
    page = f"/admin/billing/invoices/{invoice.number}"
    assert desk.open(page).answer.text.count("/admin/billing/reminders/") >= 2
    assert desk.client.get(f"/admin/billing/reminders/{lost}/pdf").content == b"%PDF-2"
    assert desk.client.get(f"/admin/billing/reminders/{bare}/pdf").status_code == 404


def test_the_address_is_changed_for_the_next_invoice_and_the_country_is_not(
    site: Site, bills: Bills, signed_in: SignIn
) -> None:
    tenant = bills.payer()
    browser = signed_in(tenant)
    hostile = {"street": "<script>alert(1)</script>", "town": "{{7*7}}", "email": "", "vat_id": ""}
    browser.open("/billing").send("/billing/address", **hostile, country="DE", pay_by_invoice="", payment_days="365")
    assert "Saved" in browser.text
    assert "<script>alert" not in browser.answer.text
    assert browser.form("/billing/address").fields["street"] == hostile["street"]
    kept = "SELECT concat_ws(' ', country, pay_by_invoice, payment_days, house_number) FROM org_billing_config "
    where = f"{kept} WHERE customer_id = '{tenant.customer_id}'"
    assert site.scalar(where) == f"CH t {ADDRESS['house_number']}"
    for wrong in ({"street": "x" * 71}, {"email": "nobody"}, {"town": "\x07"}):
        browser.open("/billing").send("/billing/address", **wrong)
        assert browser.answer.status_code == 400
        (field,) = wrong
        assert browser.form("/billing/address").fields[field] == wrong[field]
    assert site.scalar(where) == f"CH t {ADDRESS['house_number']}"
