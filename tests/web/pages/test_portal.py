"""Ordering, notes, announcements and support in the browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from storage import notes
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant
from tests.web.test_admin import fail_payment
from web.pages.render import When

SignIn = Callable[[Tenant | str], Browser]
NUMBER = re.compile(r"ZLH-\d{8}-[2-9A-HJ-NP-Z]{4}")


def count(site: Site, table: str) -> int:
    """Count rows."""
    return int(site.scalar(f"SELECT count(*) FROM {table}"))


def test_form_sent_twice_orders_one_server_and_leads_to_it(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/order")
    key = browser.form("/order").fields["key"]
    assert browser.send("/order", name="", kind="game").answer.status_code == 400
    assert "The name is empty." in browser.text
    assert browser.form("/order").fields["key"] == key
    before = count(site, "servers")
    form = {**browser.form("/order").fields, "name": "<b>second</b>", "kind": "game"}
    first, again = (browser.client.post("/order", data=form) for _ in range(2))
    assert first.url == again.url
    assert first.url.path.startswith("/servers/")
    assert "&lt;b&gt;second&lt;/b&gt;" in first.text
    assert count(site, "servers") == before + 1
    other = site.tenant()
    assert browser.client.post("/order", data={**form, "account": other.account_id, "key": "k"}).status_code == 404


def test_order_that_is_not_possible_says_why_instead_of_showing_a_form(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/order")
    form = {**browser.form("/order").fields, "name": "second", "kind": "game"}
    site.put_into(tenant.account_id, "allowed", billing="overdue_warning")
    refused = browser.client.post("/order", data=form)
    assert refused.status_code == 402
    browser.open("/order")
    assert "New servers cannot be created while an invoice is open." in browser.text
    assert {each.action for each in browser.forms} == {"/sign-out"}


def test_notes_survive_a_new_sign_in_and_are_their_owners_alone(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/notes")
    assert "You have no notes yet." in browser.text
    browser.send("/notes", text="<script>alert(1)</script>\r\n\r\nsecond line")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\n\nsecond line" in browser.answer.text
    again = signed_in(tenant).open("/notes")
    assert "second line" in again.text
    found = site.scalar("SELECT id FROM notes WHERE customer_id = :id", id=tenant.customer_id)
    stranger = signed_in(site.tenant())
    assert "second line" not in stranger.open("/notes").text
    proof = stranger.form("/sign-out").fields["proof"]
    for path in (f"/notes/{found}", f"/notes/{found}/delete"):
        assert stranger.client.post(path, data={"proof": proof, "text": "mine", "version": "1"}).status_code == 404
    assert stranger.client.get(f"/notes/{found}").status_code == 404
    browser.open(f"/notes/{found}").send(f"/notes/{found}", text="changed")
    assert "changed" in browser.text
    browser.send(f"/notes/{found}/delete")
    assert "You have no notes yet." in browser.text


def test_change_that_would_lose_another_is_said_and_what_was_written_stays(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/notes").send("/notes", text="first")
    found = site.scalar("SELECT id FROM notes WHERE customer_id = :id", id=tenant.customer_id)
    form = browser.open(f"/notes/{found}").form(f"/notes/{found}").fields
    browser.send(f"/notes/{found}", text="from here")
    late = browser.client.post(f"/notes/{found}", data={**form, "text": "from there"})
    assert late.status_code == 409
    assert "from there" in late.text
    assert site.scalar("SELECT text FROM notes WHERE id = :id", id=found) == "from here"
    for words, status in (("", 400), (" \r\n ", 400), ("x" * 20_001, 400), ("a\x00\x07b", 400)):
        answer = browser.open("/notes").send("/notes", text=words).answer
        assert answer.status_code == status, words[:5]
    assert "x" * 20_001 in browser.send("/notes", text="x" * 20_001).answer.text
    with site.database.begin() as conn:
        fill = text("INSERT INTO notes (customer_id, text) SELECT :id, 'n' FROM generate_series(1, :n)")
        conn.execute(fill, {"id": tenant.customer_id, "n": notes.MOST - 1})
    full = browser.send("/notes", text="one too many")
    assert full.answer.status_code == 409
    assert "one too many" in full.answer.text


def test_announcements_begin_with_what_restricts_the_customer(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant)
    assert "There is nothing to tell at the moment." in browser.open("/announcements").text
    site.admin.post("/api/admin/announcements", json={"title": "New <i>machines</i>", "text": "They are faster."})
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    shown = browser.open("/announcements")
    assert "New &lt;i&gt;machines&lt;/i&gt;" in shown.answer.text
    assert shown.answer.text.index("state warn") < shown.answer.text.index("They are faster.")


def test_question_gets_a_number_a_letter_an_alert_and_how_the_account_stands(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    acts = {table: count(site, table) for table in ("intents", "audit", "operations", "holds")}
    browser = signed_in(tenant).open("/support")
    orders = "Delete my server now.\r\n/release_brake\r\n@everyone restore access <b>immediately</b>"
    form = {**browser.form("/support").fields, "subject": "@everyone <b>Stopped</b>", "text": orders}
    form["about"] = f"server:{tenant.server_id}"
    first, again = (browser.client.post("/support", data=form) for _ in range(2))
    number = NUMBER.search(first.text)
    assert number is not None
    assert set(NUMBER.findall(again.text)) == {number[0]}
    assert "<b>Stopped" not in first.text
    assert {table: count(site, table) for table in acts} == acts
    with site.database.begin() as conn:
        ticket = conn.execute(text("SELECT * FROM tickets WHERE number = :number"), {"number": number[0]}).one()
        letters = conn.execute(
            text("SELECT subject, body FROM letters WHERE key = :key"), {"key": f"ticket:{ticket.id}"}
        )
        (letter,) = letters.all()
        alerts = conn.execute(text("SELECT kind, text FROM alerts WHERE key = :key"), {"key": f"ticket:{ticket.id}"})
        (alert,) = alerts.all()
    assert letter.subject == f"[{number[0]}] We have your message"
    assert "Delete my server" not in letter.body
    assert (alert.kind, number[0] in alert.text, "Delete my" in alert.text) == ("support_ticket", True, False)
    assert ticket.context["billingStatus"] == "suspended"
    assert ticket.context["server"]["lifecycle"] == "stopped"
    assert (str(ticket.account_id), str(ticket.server_id)) == (tenant.account_id, tenant.server_id)


def test_api_takes_a_question_and_refuses_what_is_not_one(site: Site) -> None:
    tenant, other = site.tenant(), site.tenant()
    asked = {"subject": "Help", "text": "It does not start.", "accountId": tenant.account_id}
    path = "/api/support/create"
    made = [tenant.client.post(path, json=asked, headers={"Idempotency-Key": "q"}).json() for _ in range(2)]
    assert made[0] == made[1]
    assert NUMBER.fullmatch(made[0]["ticketNumber"])
    for change, status in (
        ({"subject": ""}, 400),
        ({"text": "x" * 10_001}, 400),
        ({"accountId": other.account_id}, 404),
        ({"serverId": other.server_id}, 404),
        ({"serverId": "no-id"}, 400),
    ):
        assert tenant.client.post(path, json={**asked, **change}).status_code == status, change
    assert site.admin.post(path, json=asked).status_code == 403
    assert site.nobody.post(path, json=asked).status_code == 401
    statuses = [tenant.client.post(path, json=asked).status_code for _ in range(20)]
    assert (statuses[0], statuses[-1]) == (201, 429)


def test_number_of_a_ticket_begins_as_the_deployment_wants_it(site: Site) -> None:
    tenant, services = site.tenant(), site.app.state.services
    before = services.settings
    services.settings = replace(before, ticket_prefix="ACME2")
    try:
        made = tenant.client.post("/api/support/create", json={"subject": "Help", "text": "It does not start."})
    finally:
        services.settings = before
    assert re.fullmatch(r"ACME2-\d{8}-[2-9A-HJ-NP-Z]{4}", made.json()["ticketNumber"])


def test_timeline_tells_what_happened_and_what_comes_next_in_the_customers_zone(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    fail_payment(site, tenant.stripe_customer, "evt_portal_timeline")
    browser = signed_in(tenant).open("/settings").send("/settings", zone="Asia/Kathmandu")
    browser.open("/")
    line = browser.text.partition("What happened, and what comes next")[2]
    words = ["A payment failed", "We would write to you a last time", "Your servers would be stopped"]
    assert sorted(words, key=line.find) == words
    assert all(each in line for each in words)
    at = site.scalar("SELECT past_due_since FROM accounts WHERE id = :id", id=tenant.account_id)
    assert When(at, "Asia/Kathmandu").__html__() in browser.answer.text
    assert When(at, "Asia/Kathmandu").__html__() != When(at, "UTC").__html__()
    assert f"{at.astimezone(ZoneInfo('Asia/Kathmandu')):%H:%M}" in line


@pytest.mark.parametrize(
    ("restriction", "rung"),
    [
        (("suspended_shutdown", "ABUSE_SUSPENDED"), ("abuse", "stopped")),
        (("backup_blocked", "ABUSE_RESTRICTED"), ("abuse", "restricted")),
        (("suspended_shutdown", "ADMIN_SUSPENDED"), ("admin", "stopped")),
        (("allowed", None), ("dispute", "opened")),
    ],
)
def test_what_is_not_for_an_open_invoice_is_headed_by_its_own_cause(
    site: Site, signed_in: SignIn, restriction: tuple[str, str | None], rung: tuple[str, str]
) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, *restriction, **dict([rung]))
    with site.database.begin() as conn:
        imposed = "UPDATE accounts SET server_billing_machine = :machine, billing_status = 'active' WHERE id = :id"
        conn.execute(text(imposed), {"machine": rung[0], "id": tenant.account_id})
    (told,) = tenant.client.get("/api/account").json()
    shown = signed_in(tenant).open("/")
    (heading,) = re.findall(r'<h2 id="state-1">(.*?)</h2>', shown.answer.text)
    assert unescape(heading) == told["title"]
    assert "billing status" not in heading
    assert "Everything is in order" not in shown.text
    assert told["nextStep"]["what"] in shown.text


def test_dates_are_told_in_the_zone_that_a_customer_chooses(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/settings")
    browser.send("/settings", zone="Mars/Olympus")
    assert browser.answer.status_code == 400
    assert browser.form("/settings").fields["zone"] == "Mars/Olympus"
    browser.send("/settings", zone="Asia/Kathmandu")
    assert "Times in Asia/Kathmandu." in browser.text
    assert "Times in Asia/Kathmandu." in browser.open(f"/servers/{tenant.server_id}").text
