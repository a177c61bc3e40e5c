"""Invoices in the browser, on pages that have something to show: open and due, in part paid, credited, reminded of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser
from sqlalchemy import text

from storage import logins
from storage.embedded import Redis
from storage.invoicing import invoice_orders, invoices_pay
from storage.invoicing.invoices_issue import Billing
from tests.databases import Databases
from tests.jobs.invoices.papers import bank_xml, entry_xml, payment_xml
from tests.system.people import Person
from tests.web.pages.bills import Bills
from tests.web.site import Site, Tenant, serving


@pytest.fixture(scope="module")
def site(databases: Databases, redis_server: Redis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        databases.lend() as url,
        serving(Site(url, redis_server.url, tmp_path_factory.mktemp("billing"))) as running,
    ):
        yield running


def visitor(site: Site, window: Browser, tenant: Tenant | None) -> Person:
    """Let a customer, or an admin, be signed in at a browser."""
    role, email = ("admin", "ada@desk.example") if tenant is None else ("customer", "payer@shop.example")
    owner = None if tenant is None else UUID(tenant.customer_id)
    with site.database.begin() as conn:
        add = "INSERT INTO logins (email, name, role, customer_id) VALUES (:email, 'Ada', :role, :owner) RETURNING id"
        login = conn.execute(text(add), {"email": email, "role": role, "owner": owner}).scalar_one()
        logins.verify(conn, login)
        cookie = logins.begin_session(conn, login)
    person = Person(window, site.url)
    person.context.add_cookies([{"name": "forbear", "value": cookie, "url": site.url}])
    return person


def test_billing_is_usable_on_every_screen(site: Site, window: Browser, tmp_path: Path) -> None:
    bills = Bills(site)
    tenant, other = bills.payer(), bills.payer()
    part = bills.issue(tenant, (bills.month - timedelta(days=1)).replace(day=1))
    whole, taken_back = bills.issue(tenant), bills.issue(other)
    with site.database.begin() as conn:
        name = {"name": "<b>Søren & Søn</b> " + "W" * 60, "id": tenant.customer_id}
        conn.execute(text("UPDATE customers SET name = :name WHERE id = :id"), name)
        invoices_pay.pay(conn, part.id, Decimal(20), by="test", note="W" * 200)
        Billing(bills.creditor).credit(conn, taken_back.id, by="test")
        Billing(bills.creditor).credit(conn, part.id, by="test", reason="W" * 200, wish={1: Decimal("9.00")})
        invoice_orders.ask(conn, bills.month, by="ada@desk.example")
        assert invoice_orders.next_open(conn) is not None
        failed = (
            "INSERT INTO invoice_runs (month, customer_id, outcome, reason, at) "
            "VALUES (:month, :customer, 'failed', :why, now() + interval '1 second')"
        )
        conn.execute(text(failed), {"month": bills.month, "customer": tenant.customer_id, "why": "W" * 200})
        add = (
            "INSERT INTO invoice_reminders (invoice_id, intent, state, round, asked_at, status, outcome) "
            "VALUES (:id, 'send_first_reminder', 'first_reminder', 1, now(), 'unknown', :why)"
        )
        conn.execute(text(add), {"id": part.id, "why": "W" * 200})
    file = tmp_path / "camt.xml"
    entry = entry_xml(payment_xml("50.00", whole.reference, "b-1"), amount="50.00")
    file.write_bytes(bank_xml([entry, entry_xml(payment_xml("7.00", None, "b-2"), amount="7.00")]))
    customer, admin = visitor(site, window, tenant), visitor(site, window, None)
    faults = customer.open("/billing").looks("billing-customer")
    about = f"/admin/billing/organisations/{tenant.customer_id}"
    month = f"{bills.month:%Y-%m}"
    for name_, path in (
        ("overview", "/admin/billing"),
        ("invoice", f"/admin/billing/invoices/{part.number}"),
        ("organisation", about),
        ("preview", f"{about}/preview?month={month}"),
        ("prices", "/admin/billing/prices"),
        ("reminders", "/admin/billing/reminders"),
    ):
        admin.open(path)
        for each in admin.page.locator("main details").all():
            each.evaluate("element => { element.open = true }")
        faults += admin.looks(f"billing-{name_}") + admin.unsafe()
    admin.open("/admin/billing/import").page.get_by_label("The bank's file").set_input_files(file)
    admin.press("Show what it would book")
    admin.sees("1 to book, 1 without an invoice")
    faults += admin.looks("billing-import")
    admin.press("Book 1 payment")
    admin.sees("1 booked, 50.00 together")
    assert faults == [], "\n".join(faults)
    assert customer.complaints + admin.complaints == []
    for person in (customer, admin):
        person.leave()
