"""Billing at the desk: prices, organisations, issuing, paying, crediting, reminders, and what a bank reports."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from jobs.invoices.ordered import run_ordered
from storage import ledger_invoices, policies
from storage.invoicing import invoice_papers, invoices, organisations, reminders
from storage.invoicing.invoices import Issued
from tests.jobs.invoices.papers import bank_xml, entry_xml, payment_xml
from tests.web.pages.bills import ADDRESS, Bills
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

PAGE = "/admin/billing"
WHY = "said on the phone, ticket 4711"
HOSTILE = "<script>alert(1)</script>@everyone"


@pytest.fixture(scope="module")
def bills(site: Site) -> Bills:
    return Bills(site)


def fresh(site: Site, invoice: Issued) -> Issued:
    """Return how an invoice stands now."""
    with site.database.begin() as conn:
        return invoices.get(conn, invoice.id)


def reasons(site: Site, tenant: Tenant) -> list[tuple[str, str]]:
    """Return what was done to an account by hand, with the reason."""
    found = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    return [(row["action"], row["because"]) for row in found if row["because"] == WHY]


def test_month_is_previewed_as_page_and_paper_and_issued_once(site: Site, bills: Bills, desk: Browser) -> None:
    tenant = bills.payer()
    about = f"{PAGE}/organisations/{tenant.customer_id}"
    said = desk.open(f"{about}/preview?month={bills.month:%Y-%m}").text
    assert "Issue it: CHF 52.97" in said
    paper = desk.client.get(f"{about}/preview/pdf?month={bills.month:%Y-%m}")
    assert paper.content.startswith(b"%PDF-")
    assert paper.headers["content-disposition"] == f'attachment; filename="preview-{bills.month:%Y-%m}.pdf"'
    desk.send(f"{about}/issue")
    assert desk.path == about
    assert "is issued: CHF 52.97" in desk.text
    assert "Issued already" in desk.open(f"{about}/preview?month={bills.month:%Y-%m}").text
    fields = {**desk.open(about).forms[0].fields, "month": f"{bills.month:%Y-%m}"}
    assert desk.client.post(f"{about}/issue", data=fields).status_code == 409
    running = desk.open(f"{about}/preview?month={bills.today:%Y-%m}").text
    assert "Not over yet" in running
    for wrong in ("2030-13", "", "x", "20300-1", "２０３０-01"):
        assert desk.client.get(f"{about}/preview/pdf?month={wrong}").status_code == 400


def test_preview_without_an_address_says_what_is_missing(bills: Bills, desk: Browser) -> None:
    for config, missing in (({}, False), ({"town": ""}, True), ({"postal_code": ""}, True)):
        about = f"{PAGE}/organisations/{bills.payer(**config).customer_id}"
        said = desk.open(f"{about}/preview?month={bills.month:%Y-%m}").text
        assert ("It has no address" in said) is missing, config


def test_everybody_is_issued_a_month_by_an_order_that_the_controller_carries_out(
    site: Site, bills: Bills, desk: Browser
) -> None:
    tenant, lost, nowhere = bills.payer(), bills.payer(), bills.payer(town="")
    settings = site.app.state.services.settings
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE customers SET name = :name WHERE id = :id"), {"name": HOSTILE, "id": lost.customer_id}
        )
        conn.execute(text(f"ALTER TABLE invoices ADD CONSTRAINT poison CHECK (customer_id <> '{lost.customer_id}')"))
    desk.open(PAGE).send(f"{PAGE}/generate", month=f"{bills.month:%Y-%m}")
    assert "for everybody: waits for the controller" in desk.text
    assert "0 of " in desk.text
    desk.open(PAGE).send(f"{PAGE}/generate", month=f"{bills.month:%Y-%m}")
    assert "is on order already" in desk.text
    assert run_ordered(settings, site.database) is not None
    with site.database.begin() as conn:
        conn.execute(text("ALTER TABLE invoices DROP CONSTRAINT poison"))
        (invoice,) = invoices.listed(conn, customer_id=UUID(tenant.customer_id))
        assert invoices.listed(conn, customer_id=UUID(lost.customer_id)) == []
    shown = desk.open(PAGE).text
    assert "for everybody: done" in shown
    assert "1 failed" in shown
    assert " of those issued lack something" in shown
    assert f'/admin/billing/organisations/{nowhere.customer_id}"' in desk.answer.text
    assert "it names no place of its recipient" in shown
    assert invoice.number in shown
    assert "poison" in shown
    assert "<script>alert" not in desk.answer.text
    assert run_ordered(settings, site.database) is None
    desk.open(PAGE).send(f"{PAGE}/generate", month=f"{bills.month:%Y-%m}")
    assert run_ordered(replace(settings, invoice_file=None), site.database) is None
    assert "for everybody: not issued" in desk.open(PAGE).text
    assert "invoices need to know who they are from" in desk.text
    for wrong in ("2030-13", "", "x"):
        assert desk.open(PAGE).send(f"{PAGE}/generate", month=wrong).answer.status_code == 400


def test_payments_are_booked_taken_back_and_credited_with_a_reason(site: Site, bills: Bills, desk: Browser) -> None:
    tenant = bills.payer()
    invoice = bills.issue(tenant)
    page = f"{PAGE}/invoices/{invoice.number}"
    desk.open(page).send(f"{page}/paid", amount="20.00", note=HOSTILE, reason=WHY)
    assert "20.00 is paid, 32.97 is open" in desk.text
    assert "<script>alert" not in desk.answer.text
    for wrong in ("99", "-1", "1.001", "1e1", "x", "NaN", "9" * 30):
        desk.open(page).send(f"{page}/paid", amount=wrong, reason=WHY)
        assert desk.answer.status_code in {400, 409}, wrong
    assert desk.open(page).send(f"{page}/paid", amount="", reason=" ").answer.status_code == 400
    desk.open(page).send(f"{page}/paid", amount="", reason=WHY)
    assert "52.97 is paid, 0.00 is open" in desk.text
    desk.open(page).send(f"{page}/take-back", amount="32.97", reason=WHY)
    assert "32.97 is taken back, 32.97 is open" in desk.text
    assert desk.open(page).send(f"{page}/credit", typed="F1", reason=WHY).answer.status_code == 400
    assert fresh(site, invoice).credited_by is None
    desk.open(page).send(f"{page}/credit", typed=invoice.number, reason=WHY)
    assert "is taken back by" in desk.text
    assert fresh(site, invoice).credited_by is not None
    with site.database.begin() as conn:
        kept = invoice_papers.keep(conn, invoice.id, b"%PDF-1.7 by an earlier typesetter")
    assert desk.client.get(f"{PAGE}/invoices/{invoice.number}/pdf").content == kept
    assert desk.open(page).text.count(WHY) == 3
    assert "20.00 was paid beyond what stands" in desk.text
    desk.send(f"{page}/take-back", reason=WHY)
    assert "20.00 is taken back, 0.00 is open" in desk.text
    assert "was paid beyond" not in desk.open(page).text
    done = ["invoice_paid", "invoice_paid", "invoice_payment_taken_back", "invoice_credited"]
    done.append("invoice_payment_taken_back")
    assert reasons(site, tenant) == [(action, WHY) for action in done]


def test_a_part_of_an_invoice_is_credited_and_shown(site: Site, bills: Bills, desk: Browser) -> None:
    invoice = bills.issue(bills.payer())
    page = f"{PAGE}/invoices/{invoice.number}"
    fields = {"typed": invoice.number, "reason": WHY}
    for amount in ("", "49.01", "0", "-1", "x", "1.001", "NaN"):
        desk.open(page).send(f"{page}/credit-lines", **{**fields, "line-1": amount})
        assert desk.answer.status_code in {400, 409}, amount
    assert fresh(site, invoice).credited == 0
    desk.open(page).send(f"{page}/credit-lines", **{**fields, "line-1": "9.00"})
    assert "9.73 is taken back by" in desk.text
    assert "43.24 is open" in desk.text
    assert "at most 40.00" in desk.open(page).text
    assert "9.73 is credited" in desk.text
    desk.open(page).send(f"{page}/credit", **fields)
    assert "Its month can be invoiced anew" in desk.text
    assert fresh(site, invoice).state == "credited"


def test_payment_that_is_sent_twice_is_booked_once(site: Site, bills: Bills, desk: Browser) -> None:
    invoice = bills.issue(bills.payer())
    page = f"{PAGE}/invoices/{invoice.number}"
    form = {**desk.open(page).form(f"{page}/paid").fields, "amount": "20", "reason": WHY}
    sent = [desk.client.post(f"{page}/paid", data=form).status_code for _ in range(2)]
    assert sent == [200, 409]
    assert str(fresh(site, invoice).paid) == "20.00"


def test_organisation_is_changed_as_a_whole_and_shown_harmlessly(site: Site, bills: Bills, desk: Browser) -> None:
    tenant = bills.payer(auto_invoices=True)
    about = f"{PAGE}/organisations/{tenant.customer_id}"
    with site.database.begin() as conn:
        conn.execute(text("UPDATE customers SET name = :n WHERE id = :id"), {"n": HOSTILE, "id": tenant.customer_id})
    form = {**desk.open(about).form(about).fields, "reason": WHY}
    kept = {name: value for name, value in form.items() if name not in {"auto_invoices", "auto_reminders"}}
    changed = desk.client.post(about, data={**kept, "street": HOSTILE, "payment_days": "10", "auto_reminders": "1"})
    assert "Changed: auto invoices, auto reminders, payment days, street" in changed.text
    assert "<script>alert" not in changed.text
    for wrong in ({"country": "Switzerland"}, {"payment_days": "366"}, {"town": "x" * 36}, {"email": "x"}):
        assert desk.client.post(about, data={**kept, **wrong}).status_code == 400
    assert desk.open(about).form(about).fields["town"] == ADDRESS["town"]
    assert reasons(site, tenant) == [("change_billing", WHY)]
    for words in ("<script>", HOSTILE, "everyone"):
        shown = desk.client.get(f"{PAGE}/organisations", params={"q": words})
        assert tenant.customer_id in shown.text
        assert "<script>alert" not in shown.text
    assert tenant.customer_id not in desk.open(f"{PAGE}/organisations?q=%25").answer.text
    assert desk.open(f"{PAGE}/organisations/{tenant.account_id}").answer.status_code == 404


def test_prices_change_from_a_day_on_and_every_change_is_shown(bills: Bills, desk: Browser) -> None:
    soon = (bills.today + timedelta(days=40)).isoformat()
    desk.open(f"{PAGE}/prices").send(f"{PAGE}/prices", monthly_fee="1’059.50", valid_from=soon, reason=WHY)
    assert f"Changed from {soon} on: monthly fee" in desk.text
    assert "1059.50" in desk.text
    desk.open(f"{PAGE}/prices").send(
        f"{PAGE}/prices/skills", skill=HOSTILE, daily_price="0.12345", valid_from="", reason=HOSTILE
    )
    assert "0.12345" in desk.text
    assert WHY in desk.text
    assert "<script>alert" not in desk.answer.text
    for wrong in ({}, {"monthly_fee": "1.001"}, {"monthly_fee": "-1"}, {"vat_rate_chli": "100"}):
        assert desk.open(f"{PAGE}/prices").send(f"{PAGE}/prices", **wrong, reason=WHY).answer.status_code == 400
    past = {"monthly_fee": "1", "valid_from": "1999-01-01"}
    assert desk.open(f"{PAGE}/prices").send(f"{PAGE}/prices", **past, reason=WHY).answer.status_code == 400
    unsaid = {"monthly_fee": "1", "valid_from": soon}
    assert "Say why" in desk.open(f"{PAGE}/prices").send(f"{PAGE}/prices", **unsaid).text


def test_what_an_organisation_pays_with_is_added_and_removed_with_a_reason(
    site: Site, bills: Bills, desk: Browser
) -> None:
    tenant = bills.payer()
    about = f"{PAGE}/organisations/{tenant.customer_id}"
    add, given = f"{about}/methods", {"label": HOSTILE, "stripe_payment_method_id": "pm_1", "default": "1"}
    desk.open(about).send(about, stripe_customer_id="cus_42", reason=WHY)
    assert "stripe customer id" in desk.text
    desk.open(about).send(add, kind="card", **given, reason=WHY)
    assert "<script>alert" not in desk.answer.text
    assert "used first" in desk.text
    desk.open(about).send(add, kind="bank_debit", label="Old account", default="", reason=WHY)
    for wrong in ({"kind": "cash"}, {"label": " "}, {"stripe_payment_method_id": "p m"}, {"reason": ""}):
        sent = {"kind": "card", **given, "reason": WHY} | wrong
        assert desk.open(about).send(add, **sent).answer.status_code == 400, wrong
    assert desk.open(about).send(about, stripe_customer_id="cus 42", reason=WHY).answer.status_code == 400
    with site.database.begin() as conn:
        customer = UUID(tenant.customer_id)
        card, account = organisations.payment_methods(conn, customer)
        assert organisations.get(conn, customer).stripe_customer_id == "cus_42"
    assert (card.kind, card.label, card.stripe_payment_method_id, card.is_default) == ("card", HOSTILE, "pm_1", True)
    assert (account.kind, account.stripe_payment_method_id, account.is_default) == ("bank_debit", None, False)
    remove = f"{add}/{account.id}/remove"
    form = {**desk.open(about).form(remove).fields, "reason": WHY}
    other = f"{PAGE}/organisations/{bills.payer().customer_id}/methods/{account.id}/remove"
    assert [desk.client.post(where, data=form).status_code for where in (other, remove, remove)] == [404, 200, 404]
    assert [word for word in ("cus_42", "pm_1", "Old account") if word in desk.open(about).text] == ["cus_42", "pm_1"]
    asked = [action for action, _ in reasons(site, tenant)]
    assert asked == ["change_billing", "payment_method_added", "payment_method_added", "payment_method_removed"]


def test_the_next_reminder_is_asked_for_only_when_it_may_be(site: Site, bills: Bills, desk: Browser) -> None:
    tenant = bills.payer()
    invoice = bills.issue(tenant)
    page = f"{PAGE}/invoices/{invoice.number}"
    assert desk.open(page).send(f"{page}/remind", reason=WHY).answer.status_code == 409
    assert reasons(site, tenant) == []
    make_due(site, invoice)
    desk.open(page).send(f"{page}/remind", reason=WHY)
    assert "the first reminder is on its way" in desk.text
    assert desk.open(page).send(f"{page}/remind", reason=WHY).answer.status_code == 409


@pytest.mark.parametrize(("outcome", "then"), [("delivered", "sent"), ("again", "open")])
def test_letter_that_may_not_have_left_is_settled_by_a_person(
    site: Site, bills: Bills, desk: Browser, outcome: str, then: str
) -> None:
    tenant = bills.payer()
    invoice = bills.issue(tenant)
    make_due(site, invoice)
    page = f"{PAGE}/invoices/{invoice.number}"
    desk.open(page).send(f"{page}/remind", reason=WHY)
    find = "SELECT {} FROM invoice_reminders WHERE invoice_id = '{}' AND state = 'first_reminder'"
    letter = site.scalar(find.format("id", invoice.id))
    resolve = f"{PAGE}/reminders/{letter}/resolve"
    fields = {**desk.open(page).forms[0].fields, "outcome": outcome, "reason": WHY}
    assert desk.client.post(resolve, data=fields).status_code == 409
    with site.database.begin() as conn:
        lost = "UPDATE invoice_reminders SET status = 'unknown', outcome = :why, tries = 1 WHERE id = :id"
        conn.execute(text(lost), {"id": letter, "why": HOSTILE})
    assert "1 letter may not have left" in desk.open(PAGE).text
    assert "<script>alert" not in desk.open(f"{PAGE}/reminders").answer.text
    assert desk.open(f"{PAGE}/reminders").send(resolve, outcome="", reason=WHY).answer.status_code == 400
    desk.open(f"{PAGE}/reminders").send(resolve, outcome=outcome, reason=WHY)
    assert site.scalar(find.format("status", invoice.id)) == then
    stamp = f"SELECT stamps ->> 'reminded_at' FROM invoice_states WHERE invoice_id = '{invoice.id}'"
    assert (site.scalar(stamp) is not None) == (outcome == "delivered")
    assert ("resolve_reminder", WHY) in reasons(site, tenant)
    assert desk.client.post(resolve, data=fields).status_code == 409
    with site.database.begin() as conn:  # so that no other test finds it
        conn.execute(text("UPDATE invoice_reminders SET status = 'dropped' WHERE status = 'open'"))
        assert reminders.take(conn) is None


def test_bank_file_is_shown_before_it_is_booked_and_booked_once(site: Site, bills: Bills, desk: Browser) -> None:
    invoice = bills.issue(bills.payer())
    paid = entry_xml(payment_xml("50.00", invoice.reference, "pages-1"), amount="50.00")
    lost = entry_xml(payment_xml("7.00", None, "pages-2"), amount="7.00")
    content = bank_xml([paid, lost])
    upload(desk, content)
    assert "1 to book, 1 without an invoice" in desk.text
    assert "partly paid" in desk.text
    assert fresh(site, invoice).paid == 0
    desk.send(f"{PAGE}/import/book")
    assert "1 booked, 50.00 together; 1 are left for a person" in desk.text
    assert str(fresh(site, invoice).paid) == "50.00"
    upload(desk, content)
    assert "0 to book" in desk.text
    assert "1 were booked before" in desk.text


def test_what_the_bank_takes_back_is_shown_first_and_taken_back_once(site: Site, bills: Bills, desk: Browser) -> None:
    invoice = bills.issue(bills.payer())
    paid = entry_xml(payment_xml("52.97", invoice.reference, "pages-4"), amount="52.97")
    back, unknown = (
        entry_xml(payment_xml(amount, None, own), amount=amount, way="DBIT", more="<RvslInd>true</RvslInd>")
        for amount, own in (("52.97", "pages-4"), ("3.00", "pages-5"))
    )
    upload(desk, bank_xml([paid]))
    desk.send(f"{PAGE}/import/book")
    assert fresh(site, invoice).state == "paid"
    for _ in range(2):
        upload(desk, bank_xml([back, "\n\n", unknown]))
        if "1 to book" in desk.text:
            assert "-52.97 taken back by the bank" in desk.text
            desk.send(f"{PAGE}/import/book")
            assert "1 booked, -52.97 together; 1 are left for a person" in desk.text
    assert "0 to book" in desk.text
    assert "takes back a payment that is not booked here" in desk.text
    assert '<td data-label="Line">3</td>' in desk.answer.text
    assert (fresh(site, invoice).state, fresh(site, invoice).open) == ("open", invoice.total)


def test_hostile_bank_file_is_refused_whole_with_every_fault(site: Site, bills: Bills, desk: Browser) -> None:
    invoice = bills.issue(bills.payer())
    right = entry_xml(payment_xml("50.00", invoice.reference, "pages-3"), amount="50.00")
    wrong = [entry_xml(payment_xml("50.00", None, f"x{at}"), amount="<b>12</b>") for at in range(2)]
    upload(desk, bank_xml([right, *wrong]))
    assert desk.answer.status_code == 400
    assert desk.text.count("expected an amount with its currency") == 2
    for content in (b"", b"<script>alert(1)</script>", b'<!DOCTYPE a [<!ENTITY b "c">]><Document>&b;</Document>'):
        upload(desk, content)
        assert desk.answer.status_code == 400
        assert "nothing of it was booked" in desk.text
        assert "<script>alert" not in desk.answer.text
    fields = {**desk.open(PAGE).forms[0].fields}
    for packed in ("", "x", "eJw=", "é", "eJx9"):
        answer = desk.client.post(f"{PAGE}/import/book", data={**fields, "packed": packed})
        assert answer.status_code == 400, packed
    assert fresh(site, invoice).paid == 0


def upload(desk: Browser, content: bytes) -> None:
    """Upload a bank's file."""
    fields = desk.open(f"{PAGE}/import").form(f"{PAGE}/import").fields
    files = {"file": (f"{HOSTILE}.xml", content, "text/xml")}
    desk.answer = desk.client.post(f"{PAGE}/import", data={"proof": fields["proof"]}, files=files)


def make_due(site: Site, invoice: Issued) -> None:
    """Let an invoice have fallen due, as time would have."""
    with site.database.begin() as conn:
        back = "UPDATE invoice_states SET payable_until = now() - interval '1 hour' WHERE invoice_id = :id"
        conn.execute(text(back), {"id": invoice.id})
        moved = ledger_invoices.move_invoice(conn, policies.in_force(conn), invoice.id, None)
    assert moved is not None
    assert moved.to == "due"
