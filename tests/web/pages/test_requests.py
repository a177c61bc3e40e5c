"""Pausing a server in the browser, asking for it to go on or for another one, and what the desk answers."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import text

from storage.invoicing import organisations
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]
HOSTILE = "<script>alert(1)</script> {{7*7}}"


def states(site: Site, server_id: str) -> dict[str, str]:
    """Return the rungs of its own on which a server is."""
    found: dict[str, str] = site.scalar("SELECT states FROM servers WHERE id = :id", id=server_id)
    return found


def asking(tenant: Tenant) -> str:
    """Return where the form goes that asks for a tenant's server to go on."""
    return f"/requests/{tenant.server_id}"


def paused(site: Site, tenant: Tenant) -> Tenant:
    """Pause a tenant's server."""
    tenant.client.post(f"/api/tenants/{tenant.name}/suspend", json={}).raise_for_status()
    return tenant


def wanted(site: Site, tenant: Tenant, reason: str = "") -> str:
    """Pause a tenant's server, ask for it to go on, and return the request's id."""
    asked = {"kind": "resume", "name": paused(site, tenant).name, "reason": reason}
    return str(tenant.client.post("/api/requests", json=asked).raise_for_status().json()["requestId"])


def test_owner_pauses_one_server_and_its_page_says_so(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    other = site.add_server(tenant.account_id)
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    browser.open(base).send(f"{base}/pause", reason="for the holidays")
    assert (browser.path, browser.answer.status_code) == (base, 200)
    assert (states(site, tenant.server_id), states(site, other)) == ({"tenant": "paused"}, {})
    assert not [form for form in browser.forms if form.action == f"{base}/pause"]
    assert "Shall it go on?" in browser.text
    audit = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    assert "for the holidays" in [row["because"] for row in audit]
    again = browser.client.post(f"{base}/pause", data={"proof": browser.form("/sign-out").fields["proof"]})
    assert again.status_code == 409
    assert f'href="{base}"' in again.text


def test_owner_asks_once_for_it_to_go_on(site: Site, signed_in: SignIn) -> None:
    tenant = paused(site, site.tenant())
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    form = browser.open(base).form(asking(tenant)).fields
    browser.send(asking(tenant), reason=HOSTILE)
    assert "Asked for on" in browser.text
    assert "a person decides" in browser.text
    assert "<script>alert" not in browser.answer.text
    assert not [each for each in browser.forms if each.action == asking(tenant)]
    assert browser.client.post(asking(tenant), data=form).status_code == 409
    by_id = tenant.client.post("/api/requests", json={"kind": "resume", "name": tenant.server_id})
    assert by_id.status_code == 409, "by whichever of its names it is asked for, it is the same request"
    asked = "SELECT name FROM tenant_requests WHERE server_id = :id"
    assert site.scalar(asked, id=tenant.server_id) == tenant.name


def test_what_is_not_paused_is_not_asked_for(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    proof = browser.open(base).form("/sign-out").fields["proof"]
    answer = browser.client.post(asking(tenant), data={"proof": proof})
    assert (answer.status_code, "is not paused" in answer.text) == (409, True)
    assert site.scalar("SELECT count(*) FROM tenant_requests WHERE server_id = :id", id=tenant.server_id) == 0


@pytest.mark.parametrize("lifecycle", ["deleting", "destroying", "provisioning", "restoring"])
def test_pause_is_not_offered_while_the_host_is_busy(site: Site, signed_in: SignIn, lifecycle: str) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        change = text("UPDATE servers SET lifecycle = :lifecycle WHERE id = :id")
        conn.execute(change, {"lifecycle": lifecycle, "id": tenant.server_id})
    assert "Pause this server" not in signed_in(tenant).open(f"/servers/{tenant.server_id}").text


def test_pause_is_not_offered_while_it_is_suspended_for_debt_nor_to_an_admin(
    site: Site, signed_in: SignIn, desk: Browser
) -> None:
    tenant = site.tenant()
    base = f"/servers/{tenant.server_id}"
    assert "Pause this server" not in desk.open(base).text
    proof = desk.form("/sign-out").fields["proof"]
    for action in (f"{base}/pause", asking(tenant)):
        assert desk.client.post(action, data={"proof": proof}).status_code == 404
    assert states(site, tenant.server_id) == {}
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    assert "Pause this server" not in signed_in(tenant).open(base).text


def test_admin_approves_that_it_goes_on(site: Site, signed_in: SignIn, desk: Browser) -> None:
    tenant = site.tenant()
    words = f"{HOSTILE} of {tenant.server_id}"
    wish = wanted(site, tenant, words)
    with site.database.begin() as conn:
        conn.exec_driver_sql("UPDATE customers SET name = %s WHERE id = %s", (words, tenant.customer_id))
    assert "Requests of customers" in desk.open("/admin").text
    desk.open("/admin/review")
    assert "<script>alert" not in desk.answer.text
    assert desk.text.count(words) == 2, "who asks, and why"
    action = f"/admin/requests/{wish}/approve"
    desk.send(action, reason="welcome back")
    assert (desk.path, f"{tenant.name} goes on" in desk.text) == ("/admin/review", True)
    assert states(site, tenant.server_id) == {}
    assert not [form for form in desk.forms if form.action == action]
    page = signed_in(tenant).open(f"/servers/{tenant.server_id}")
    assert ("Shall it go on?" in page.text, "Pause this server" in page.text) == (False, True)


def test_admin_refuses_with_a_reason_that_the_owner_reads(site: Site, signed_in: SignIn, desk: Browser) -> None:
    tenant = site.tenant()
    action = f"/admin/requests/{wanted(site, tenant)}/refuse"
    form = desk.open("/admin/review").form(action).fields
    desk.send(action, reason="  ")
    assert (desk.answer.status_code, "This was not done" in desk.text) == (400, True)
    desk.open("/admin/review").send(action, reason=f"the rack moves until Monday {HOSTILE}")
    assert "was refused" in desk.text
    again = desk.client.post(action, data={**form, "reason": "twice"})
    assert (again.status_code, "was refused already" in again.text) == (409, True)
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    assert "was refused: the rack moves until Monday" in browser.open(base).text
    assert "<script>alert" not in browser.answer.text
    assert "Asked for on" in browser.send(asking(tenant)).text, "they may ask again"


def test_what_goes_on_by_now_is_asked_for_no_more(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    action = f"/admin/requests/{wanted(site, tenant)}/approve"
    before = desk.open("/admin/review").form(action).fields
    site.admin.post(f"/api/admin/tenants/{tenant.name}/resume", json={}).raise_for_status()
    assert not [form for form in desk.open("/admin/review").forms if form.action == action]
    answer = desk.client.post(action, data=before)
    assert (answer.status_code, "approved" in answer.text) == (409, True)


@pytest.mark.parametrize("request_id", ["no-id", "00000000-0000-0000-0000-000000000000"])
def test_request_that_is_not_there_is_said(desk: Browser, request_id: str) -> None:
    proof = desk.open("/admin/review").form("/sign-out").fields["proof"]
    for verb in ("approve", "refuse"):
        answer = desk.client.post(f"/admin/requests/{request_id}/{verb}", data={"proof": proof, "reason": "why"})
        assert (answer.status_code, "This was not done" in answer.text) == (404, True)


@pytest.mark.parametrize(("account", "servers"), [("", 0), ("theirs", 1)])
def test_admin_approves_a_server_on_the_account_of_choice(
    site: Site, desk: Browser, account: str, servers: int
) -> None:
    tenant = site.tenant(plan="dev")
    asked = {"kind": "provision", "name": f"asked-{tenant.server_id}", "packages": ["voice"]}
    wish = tenant.client.post("/api/requests", json=asked).raise_for_status().json()["requestId"]
    with site.database.begin() as conn:
        conn.execute(text("UPDATE accounts SET plan = 'game' WHERE id = :id"), {"id": tenant.account_id})
    action = f"/admin/requests/{wish}/approve"
    desk.open("/admin/review").send(action, account=tenant.account_id if account else "", plan="")
    assert f"asked-{tenant.server_id} is ordered" in desk.text
    there = "SELECT count(*) FROM servers WHERE name = :name AND account_id = :account"
    found = site.scalar(there, name=f"asked-{tenant.server_id}", account=tenant.account_id)
    assert found == servers
    assert site.scalar("SELECT count(*) FROM servers WHERE name = :name", name=f"asked-{tenant.server_id}") == 1


def test_server_is_not_put_on_the_account_of_another_customer(site: Site, desk: Browser) -> None:
    tenant, other = site.tenant(), site.tenant()
    asked = {"kind": "provision", "name": f"asked-{tenant.server_id}"}
    wish = tenant.client.post("/api/requests", json=asked).raise_for_status().json()["requestId"]
    desk.open("/admin/review").send(f"/admin/requests/{wish}/approve", account=other.account_id)
    assert desk.answer.status_code == 400
    assert site.scalar("SELECT state FROM tenant_requests WHERE id = :id", id=wish) == "open"


def without_a_plan(site: Site) -> Tenant:
    """Return a tenant whose account has no plan, and a server already."""
    tenant = site.tenant()
    with site.database.begin() as conn:
        change = "UPDATE accounts SET plan = NULL, has_active_plan = false WHERE id = :id"
        conn.execute(text(change), {"id": tenant.account_id})
    return tenant


def by_invoice(site: Site) -> Tenant:
    """Return a tenant that pays by invoice."""
    tenant = site.tenant()
    with site.database.begin() as conn:
        organisations.change(conn, UUID(tenant.customer_id), {"pay_by_invoice": True})
    return tenant


@pytest.mark.parametrize(
    ("who", "offered"), [(Site.tenant, False), (without_a_plan, True), (by_invoice, True)], ids=["card", "none", "bill"]
)
def test_asking_for_a_server_is_for_whom_ordering_is_not(
    site: Site, signed_in: SignIn, who: Callable[[Site], Tenant], *, offered: bool
) -> None:
    browser = signed_in(who(site)).open("/order")
    assert ("/requests" in {form.action for form in browser.forms}) is offered


def test_customer_asks_for_a_server_and_reads_the_answers(site: Site, signed_in: SignIn, desk: Browser) -> None:
    tenant = by_invoice(site)
    browser, name = signed_in(tenant).open("/order"), f"wish <b>{tenant.server_id}"
    browser.send("/requests", name=name, kind="dev", reason=HOSTILE)
    assert (browser.path, "a person decides" in browser.text) == ("/order", True)
    assert "<b>" not in browser.answer.text
    browser.send("/requests", name=name, kind="dev", reason="the same once more")
    assert (browser.answer.status_code, "asked for a server of this name already" in browser.text) == (409, True)
    assert browser.form("/requests").fields["reason"] == "the same once more"
    assert browser.send("/requests", name=tenant.name, kind="game").answer.status_code == 409
    assert "A server has this name" in browser.text
    assert browser.send("/requests", name=" ", kind="game").answer.status_code == 400
    assert browser.send("/requests", name="fine", kind="castle").answer.status_code == 400
    count = "SELECT count(*) FROM tenant_requests WHERE customer_id = :id"
    assert site.scalar(count, id=tenant.customer_id) == 1
    wish = site.scalar("SELECT id FROM tenant_requests WHERE customer_id = :id", id=tenant.customer_id)
    desk.open("/admin/review").send(f"/admin/requests/{wish}/approve", account="", plan="", reason="with pleasure")
    server = site.scalar("SELECT id FROM servers WHERE name = :name", name=name)
    browser.open("/order")
    assert "approved To the server with pleasure" in browser.text
    assert f'href="/servers/{server}"' in browser.answer.text
    assert name in browser.open(f"/servers/{server}").text
