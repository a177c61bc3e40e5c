"""The desk: whom an operator finds, what one account shows, and what anybody else finds of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

import forbear
from tests.web.pages.browser import Browser
from tests.web.site import Site


def test_queue_shows_who_is_not_at_rest_and_what_is_next(site: Site, desk: Browser) -> None:
    late, well = site.tenant(), site.tenant()
    site.put_into(late.account_id, "allowed", billing="past_due")
    with site.database.begin() as conn:
        since = "UPDATE accounts SET past_due_since = now(), overdue_invoices = 1, due_at = now() WHERE id = :id"
        conn.execute(text(since), {"id": late.account_id})
    html = desk.open("/admin").answer.text
    assert f"/admin/accounts/{late.account_id}" in html
    assert f"/admin/accounts/{well.account_id}" not in html
    assert "billing: past_due → overdue_warning" in desk.text
    assert f"/admin/accounts/{well.account_id}" in desk.open("/admin?all=1").answer.text
    assert f"/admin/accounts/{late.account_id}" in desk.open("/admin?rung=billing.past_due").answer.text
    assert f"/admin/accounts/{well.account_id}" not in desk.answer.text


def test_every_page_of_the_desk_is_a_link_away(desk: Browser) -> None:
    links = re.findall(r'href="(/admin/?[a-z]*)"', desk.open("/admin").answer.text)
    assert {"/admin/review", "/admin/holds", "/admin/policy", "/admin/notices"} <= set(links)
    for link in links:
        assert desk.open(link).answer.status_code == 200, link


def test_search_finds_by_name_address_and_every_id(site: Site, desk: Browser) -> None:
    tenant, other = site.tenant(), site.tenant()
    site.put_into(tenant.account_id, "allowed", billing="past_due")
    with site.database.begin() as conn:
        naming = "UPDATE customers SET name = '100%_sure \\ Ltd', email = 'Grace@Desk.example' WHERE id = :id"
        conn.execute(text(naming), {"id": tenant.customer_id})
    ids = [tenant.account_id, tenant.customer_id, tenant.server_id, tenant.stripe_customer]
    for words in ["100%_sure", "\\ ltd", "grace@desk", *ids]:
        html = desk.client.get("/admin", params={"q": words}).text
        assert f"/admin/accounts/{tenant.account_id}" in html, words
        assert f"/admin/accounts/{other.account_id}" not in html, words
    assert "No account fits" in desk.open("/admin?q=%25%25nobody").text
    for odd in ("?page=-1", "?page=99999999", "?rung=billing.nowhere", "?rung=x", "?q=%00", "?page=%C2%B2", "?told=x"):
        assert desk.open(f"/admin{odd}").answer.status_code == 200, odd


def test_queue_goes_on_over_pages(site: Site, desk: Browser) -> None:
    with site.database.begin() as conn:
        many = (
            'INSERT INTO accounts (customer_id, states) SELECT id, \'{"billing": "retained"}\' '
            "FROM customers, generate_series(1, 60) ORDER BY 1 LIMIT 60"
        )
        site.tenant()
        conn.execute(text(many))
    try:
        first = desk.open("/admin?rung=billing.retained").answer.text
        second = desk.open("/admin?rung=billing.retained&page=2").answer.text
    finally:
        with site.database.begin() as conn:
            conn.execute(text('DELETE FROM accounts WHERE states = \'{"billing": "retained"}\''))
    assert (first.count('href="/admin/accounts/'), second.count('href="/admin/accounts/')) == (50, 10)


def test_account_shows_timeline_evidence_servers_and_why(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        owed = (
            "INSERT INTO stripe_invoices (id, account_id, status, amount_remaining_cents, currency, evidence_at, "
            "evidence_event_id) VALUES ('in_desk', :id, 'open', 1999, 'eur', now(), 'evt_desk')"
        )
        conn.execute(text(owed), {"id": tenant.account_id})
        conn.execute(text("UPDATE servers SET desired = 'running' WHERE id = :id"), {"id": tenant.server_id})
    shown = desk.open(f"/admin/accounts/{tenant.account_id}").text
    assert "create_account" in shown
    assert "in_desk" in shown
    assert "19.99 EUR" in shown
    assert "not as wanted" in shown
    assert "if overdue_invoices = 1" in desk.open(f"/admin/accounts/{tenant.account_id}/why").text
    for path in ("", "/audit", "/why"):
        assert desk.open(f"/admin/accounts/no-id{path}").answer.status_code == 404


def test_account_that_knows_nothing_of_a_new_machine_is_shown(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        conn.execute(text("UPDATE accounts SET states = states - 'abuse' WHERE id = :id"), {"id": tenant.account_id})
    for path in ("", "/audit", "/why"):
        assert desk.open(f"/admin/accounts/{tenant.account_id}{path}").answer.status_code == 200, path
    assert desk.open("/admin?all=1").answer.status_code == 200


def test_audit_says_whether_it_was_touched(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    path = f"/admin/accounts/{tenant.account_id}/audit"
    assert "follows the one before it" in desk.open(path).text
    with site.database.begin() as conn:
        add = (
            "INSERT INTO audit (account_id, seq, at, kind, canonical, hash) VALUES (:id, 99, now(), 'admin', '{}', '')"
        )
        conn.execute(text(add), {"id": tenant.account_id})
    assert "This audit was touched" in desk.open(path).text
    assert "inserted" in desk.text
    assert "this row cannot be read" in desk.open(f"/admin/accounts/{tenant.account_id}").text


def test_names_are_shown_harmlessly_at_the_desk(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "allowed", billing="past_due")
    with site.database.begin() as conn:
        for table, row in (("customers", tenant.customer_id), ("servers", tenant.server_id)):
            conn.exec_driver_sql(f"UPDATE {table} SET name = '<script>alert(1)</script>' WHERE id = %s", (row,))
    for path in ("/admin", f"/admin/accounts/{tenant.account_id}", f"/admin/accounts/{tenant.account_id}/audit"):
        html = desk.open(path).answer.text
        assert "<script" not in html
        assert "style=" not in html


def test_first_admin_chooses_a_password_by_the_link_that_is_printed(
    site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FORBEAR_DATABASE_URL", site.settings.database_url)
    monkeypatch.setenv("FORBEAR_DATA_DIR", str(tmp_path))
    command = forbear.COMMANDS[[each.name for each in forbear.COMMANDS].index("admin")].load()
    run = CliRunner()
    for _ in range(2):  # the second time it makes a new link
        told = run.invoke(command, ["add", "Grace@First.example", "--name", "Grace Hopper"])
        assert told.exit_code == 0, told.output
    path = "/password/new" + told.output.rpartition("/password/new")[2].strip()
    browser.open(path).send("/password/new", password="a few words are easy")
    browser.open("/sign-in").send("/sign-in", email="grace@first.example", password="a few words are easy")
    assert browser.path == "/admin"
    assert site.scalar("SELECT count(*) FROM audit WHERE canonical LIKE '%add_admin%grace@first.example%'") == 2
    mailed = run.invoke(command, ["add", "second@first.example", "--name", "Second", "--mail-it"])
    assert "/password/new" not in mailed.output
    assert site.scalar("SELECT count(*) FROM letters WHERE to_email = 'second@first.example'") == 1
    for wrong in (["no-address", "--name", "X"], ["a@b.example", "--name", " "]):
        assert run.invoke(command, ["add", *wrong]).exit_code == 2
