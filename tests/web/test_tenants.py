"""Tenants by name: asked for, approved, given packages, suspended by their owner, deleted, and counted for invoices."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from jobs.hosts.base import HostUnavailable, ServerSpec
from jobs.hosts.base import Tenant as HostTenant
from tests.web.site import Site, Tenant


@pytest.fixture
def tenant(site: Site) -> Tenant:
    """A tenant that its host has committed, under a name of its own."""
    return site.tenant()


def audit(site: Site, tenant: Tenant) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    return found


def test_packages_are_what_the_host_then_holds(site: Site, tenant: Tenant) -> None:
    name = tenant.name
    answer = tenant.client.patch(f"/api/tenants/{name}", json={"packages": ["voice", "search"]})
    assert (answer.status_code, answer.json()["packages"]) == (200, ["search", "voice"])
    assert tenant.client.patch(f"/api/tenants/{name}", json={"packages": ["voice"]}).status_code == 200
    assert tenant.client.get(f"/api/tenants/{name}").json()["packages"] == ["voice"]
    with site.database.begin() as conn:
        find = text("SELECT skill, event FROM tenant_skill_events WHERE server_id = :id ORDER BY id")
        rows = [tuple(row) for row in conn.execute(find, {"id": tenant.server_id})]
    assert rows == [("search", "enabled"), ("voice", "enabled"), ("search", "disabled")]
    assert tenant.client.patch(f"/api/tenants/{name}", json={"packages": ["a", "a"]}).status_code == 400
    stranger = site.tenant()
    assert stranger.client.patch(f"/api/tenants/{name}", json={"packages": []}).status_code == 404


def test_packages_are_switched_also_when_that_cannot_be_recorded_and_recorded_later(site: Site, tenant: Tenant) -> None:
    with site.database.begin() as conn:
        conn.execute(text("ALTER TABLE tenant_skill_events ADD CONSTRAINT poison CHECK (skill <> 'bitter')"))
    try:
        answer = tenant.client.patch(f"/api/tenants/{tenant.name}", json={"packages": ["bitter"]})
    finally:
        with site.database.begin() as conn:
            conn.execute(text("ALTER TABLE tenant_skill_events DROP CONSTRAINT poison"))
    assert (answer.status_code, answer.json()["packages"]) == (200, ["bitter"])
    assert tenant.client.get(f"/api/tenants/{tenant.name}").json()["packages"] == []
    assert site.admin.post("/api/admin/billing/backfill").json()["eventsInserted"] >= 1
    assert tenant.client.get(f"/api/tenants/{tenant.name}").json()["packages"] == ["bitter"]


class HalfDeaf:
    """The site's host, which keeps one package of those that it is asked for."""

    def __init__(self, site: Site) -> None:
        self.host = site.app.state.services.hosts["local"]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> HostTenant:
        found: HostTenant = self.host.set_packages(spec, sorted(packages)[:1])
        return found


def test_packages_that_a_host_did_not_take_are_neither_answered_nor_metered(site: Site, tenant: Tenant) -> None:
    services = site.app.state.services
    before = services.hosts
    services.hosts = {**before, "local": HalfDeaf(site)}
    try:
        answer = tenant.client.patch(f"/api/tenants/{tenant.name}", json={"packages": ["voice", "search"]})
    finally:
        services.hosts = before
    assert (answer.status_code, answer.json()["packages"]) == (200, ["search"])
    with site.database.begin() as conn:
        find = text("SELECT skill FROM tenant_skill_events WHERE server_id = :id")
        assert conn.execute(find, {"id": tenant.server_id}).scalars().all() == ["search"]


class Slow:
    """The site's host, which answers the first request only when another has been answered, or waits for its turn."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.host = site.app.state.services.hosts["local"]
        self.first = Event()
        self.second = Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.host, name)

    def set_packages(self, spec: ServerSpec, packages: Collection[str]) -> HostTenant:
        found: HostTenant = self.host.set_packages(spec, packages)
        if not self.first.is_set():
            self.first.set()
            waits = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            while not (self.second.wait(0.01) or self.site.scalar(waits)):
                pass
        return found


def test_packages_that_are_switched_at_once_are_recorded_as_the_host_took_them(site: Site, tenant: Tenant) -> None:
    services = site.app.state.services
    before = services.hosts
    slow = Slow(site)
    services.hosts = {**before, "local": slow}

    def switch(*names: str) -> int:
        return tenant.client.patch(f"/api/tenants/{tenant.name}", json={"packages": names}).status_code

    try:
        with ThreadPoolExecutor(1) as pool:
            earlier = pool.submit(switch, "voice")
            assert slow.first.wait(30)
            later = switch("search")
            slow.second.set()
            assert (earlier.result(30), later) == (200, 200)
    finally:
        services.hosts = before
    assert tenant.client.get(f"/api/tenants/{tenant.name}").json()["packages"] == ["search"]


def test_owner_suspends_and_a_person_approves_that_it_goes_on(site: Site, tenant: Tenant) -> None:
    name = tenant.name
    answer = tenant.client.post(f"/api/tenants/{name}/suspend", json={"reason": "for the holidays"})
    assert (answer.status_code, answer.json()["states"]["tenant"]) == (202, "paused")
    assert "for the holidays" in [row["because"] for row in audit(site, tenant)]
    refused = tenant.client.post(f"/api/servers/{tenant.server_id}/host/start")
    assert (refused.status_code, refused.json()["code"]) == (402, "TENANT_SUSPENDED")
    assert tenant.client.patch(f"/api/tenants/{name}", json={"packages": []}).status_code == 402
    asked = tenant.client.post("/api/requests", json={"kind": "resume", "name": name})
    assert asked.status_code == 201
    assert tenant.client.post("/api/requests", json={"kind": "resume", "name": name}).status_code == 409
    wanted = asked.json()["requestId"]
    assert wanted in {each["requestId"] for each in site.admin.get("/api/admin/requests").json()}
    approved = site.admin.post(f"/api/admin/requests/{wanted}/approve", json={"reason": "of course"})
    assert (approved.status_code, approved.json()["state"]) == (202, "approved")
    assert site.admin.post(f"/api/admin/requests/{wanted}/approve").status_code == 409
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert [each["serverBillingState"] for each in view["servers"]] == ["allowed"]
    moved = [
        (row["because"], row["actor"].partition(":")[0])
        for row in audit(site, tenant)
        if row["because"].startswith("tenant.")
    ]
    assert moved[-2:] == [("tenant.pause", "customer"), ("tenant.resume", "admin")]


def test_admins_suspension_is_their_own_cause(site: Site, tenant: Tenant) -> None:
    name = tenant.name
    answer = site.admin.post(f"/api/tenants/{name}/suspend", json={"reason": "by phone"})
    assert (answer.status_code, answer.json()["states"]["admin"]) == (202, "stopped")
    assert "by phone" in [row["because"] for row in audit(site, tenant)]


def test_admin_lets_a_tenant_go_on_whoever_suspended_it(site: Site, tenant: Tenant) -> None:
    name = tenant.name
    for who in (tenant.client, site.admin):
        assert who.post(f"/api/tenants/{name}/suspend").status_code == 202
    assert tenant.client.post(f"/api/admin/tenants/{name}/resume").status_code == 403
    answer = site.admin.post(f"/api/admin/tenants/{name}/resume", json={"reason": "holidays are over"})
    assert (answer.status_code, answer.json()) == (202, {"tenant": name, "serverId": tenant.server_id})
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert [each["serverBillingState"] for each in view["servers"]] == ["allowed"]
    assert "holidays are over" in [row["because"] for row in audit(site, tenant)]
    again = site.admin.post(f"/api/admin/tenants/{name}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "NOTHING_TO_RESUME")
    assert site.admin.post("/api/admin/tenants/nobody/resume").status_code == 404


def test_request_is_approved_with_what_it_asks_for(site: Site, tenant: Tenant) -> None:
    assert tenant.client.post(f"/api/tenants/{tenant.name}/suspend").status_code == 202
    wanted = tenant.client.post("/api/requests", json={"kind": "resume", "name": tenant.name}).json()["requestId"]
    answer = site.admin.post(f"/api/admin/tenants/{tenant.name}/resume", json={"reason": "welcome back"})
    assert answer.status_code == 202
    (told,) = tenant.client.get("/api/requests").json()
    assert (told["requestId"], told["state"], told["answer"]) == (wanted, "approved", "welcome back")
    assert site.admin.post(f"/api/admin/requests/{wanted}/approve").status_code == 409
    assert site.admin.post(f"/api/admin/tenants/{tenant.name}/resume").json()["code"] == "NOTHING_TO_RESUME"


def test_tenant_that_shares_its_account_is_suspended_alone(site: Site, tenant: Tenant) -> None:
    other = site.add_server(tenant.account_id)
    assert tenant.client.post(f"/api/tenants/{tenant.name}/suspend").status_code == 202
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    found = {each["serverId"]: each["serverBillingState"] for each in view["servers"]}
    assert found == {tenant.server_id: "suspended_shutdown", other: "allowed"}
    assert view["serverBillingState"] == "allowed"
    refused = tenant.client.post(f"/api/servers/{tenant.server_id}/host/start")
    assert (refused.status_code, refused.json()["code"]) == (402, "TENANT_SUSPENDED")
    assert "You asked for this stop" in refused.json()["detail"]
    assert refused.json()["billing"]["serverBillingState"] == "suspended_shutdown"
    assert tenant.client.post(f"/api/servers/{other}/host/start").status_code == 202
    assert tenant.client.post(f"/api/tenants/{tenant.name}/suspend").json()["code"] == "COMMAND_REFUSED"


def test_account_that_is_suspended_as_a_whole_is_not_freed_by_one_of_its_tenants(site: Site, tenant: Tenant) -> None:
    where = f"/api/admin/accounts/{tenant.account_id}"
    sent = site.admin.post(f"{where}/commands", json={"event": "admin_suspended", "reason": "by phone"})
    assert sent.status_code < 300, sent.text
    other = site.add_server(tenant.account_id)
    refused = site.admin.post(f"/api/admin/tenants/{tenant.name}/resume")
    assert (refused.status_code, refused.json()["code"]) == (409, "NOTHING_TO_RESUME")
    assert "lift that on the account" in refused.json()["detail"]
    with site.database.begin() as conn:
        conn.execute(text("UPDATE servers SET lifecycle = 'deleted' WHERE id = :id"), {"id": other})
    assert site.admin.post(f"/api/admin/tenants/{tenant.name}/resume").status_code == 202
    assert site.admin.get(where).json()["serverBillingState"] == "allowed"


def test_approved_wish_becomes_an_order_on_an_account_of_its_own(site: Site) -> None:
    customer = site.tenant()
    wish = {"kind": "provision", "name": "shop", "packages": ["voice"]}
    asked = customer.client.post("/api/requests", json=wish).json()
    taken = site.admin.post(f"/api/admin/requests/{asked['requestId']}/approve")
    assert (taken.status_code, taken.json()["state"]) == (202, "approved")
    assert taken.json()["accountId"] != customer.account_id
    order = customer.client.get(f"/api/operations/{taken.json()['operationId']}").json()
    assert (order["kind"], order["state"]) == ("create_server", "queued")
    assert customer.client.post("/api/requests", json=wish).json()["code"] == "NAME_TAKEN"
    other = customer.client.post("/api/requests", json={**wish, "name": "shop two"}).json()["requestId"]
    answer = site.admin.post(f"/api/admin/requests/{other}/refuse", json={"reason": "no room"})
    assert (answer.json()["state"], answer.json()["answer"]) == ("refused", "no room")
    assert {each["state"] for each in customer.client.get("/api/requests").json()} == {"approved", "refused"}


def test_admin_deletes_a_tenant_by_its_name(site: Site, tenant: Tenant) -> None:
    name = tenant.name
    answer = site.admin.post(f"/api/admin/tenants/{name}/delete")
    assert (answer.status_code, answer.json()["tenant"]) == (202, name)
    assert site.admin.get(f"/api/operations/{answer.json()['operationId']}").json()["kind"] == "delete_server"
    assert site.admin.post(f"/api/admin/tenants/{name}/delete").json()["code"] == "DELETION_UNDER_WAY"
    assert site.admin.post("/api/admin/tenants/nobody/delete").status_code == 404


def test_tenant_whose_name_fits_no_address_is_reached_by_its_id(site: Site, tenant: Tenant) -> None:
    with site.database.begin() as conn:
        conn.execute(text("ALTER TABLE tenant_billing_lifecycle DISABLE TRIGGER USER"))
        rename = "UPDATE tenant_billing_lifecycle SET tenant = :name WHERE server_id = :id"
        conn.execute(text(rename), {"name": "../a/b", "id": tenant.server_id})
        conn.execute(text("ALTER TABLE tenant_billing_lifecycle ENABLE TRIGGER USER"))
    where = f"/api/tenants/{tenant.server_id}"
    assert tenant.client.get(where).json()["tenant"] == "../a/b"
    assert tenant.client.patch(where, json={"packages": []}).json()["tenant"] == "../a/b"
    assert site.tenant().client.get(where).status_code == 404
    deleted = site.admin.post(
        f"/api/admin/tenants/{tenant.server_id}/delete", headers={"Idempotency-Key": str(tenant.server_id)}
    )
    assert (deleted.status_code, deleted.json()["tenant"]) == (202, "../a/b"), deleted.text


def test_backfill_counts_what_was_missing_and_then_nothing(site: Site) -> None:
    made = site.tenant()
    site.host.set_packages(site.spec(site.add_server(made.account_id)), ["search"])
    first = site.admin.post("/api/admin/billing/backfill").json()
    assert first["lifecycleInserted"] >= 1
    assert first["eventsInserted"] >= 1
    second = site.admin.post("/api/admin/billing/backfill").json()
    assert second == {
        "message": "Nothing was missing.",
        "tenantsExamined": first["tenantsExamined"],
        "lifecycleInserted": 0,
        "eventsInserted": 0,
        "suspensionEventsInserted": 0,
    }
    assert made.client.post("/api/admin/billing/backfill").status_code == 403


class Silent(HalfDeaf):
    """The site's host, which cannot be asked."""

    def tenants(self) -> list[HostTenant]:
        raise HostUnavailable("local", "no route")


def test_backfill_says_which_hosts_it_could_not_ask(site: Site, tenant: Tenant) -> None:
    services = site.app.state.services
    before = services.hosts
    services.hosts = {"local": Silent(site)}
    try:
        answer = site.admin.post("/api/admin/billing/backfill")
    finally:
        services.hosts = before
    assert (answer.status_code, answer.json()["tenantsExamined"]) == (200, 0)
    assert answer.json()["message"] == "Nothing was missing. These hosts could not be asked: local."
