"""Deleting and reinstalling over HTTP: the name is typed, the gate is asked, and what was kept can be had."""

from __future__ import annotations

from sqlalchemy import text

from tests.web.site import Site, Tenant


def lifecycle(site: Site, tenant: Tenant) -> str:
    return str(site.scalar("SELECT lifecycle FROM servers WHERE id = :id", id=tenant.server_id))


def path(tenant: Tenant, more: str = "") -> str:
    return f"/api/servers/{tenant.server_id}{more}"


def test_only_the_typed_name_deletes_a_server(site: Site) -> None:
    tenant = site.tenant()
    assert tenant.client.delete(path(tenant)).status_code == 400
    for wrong in ("Overworld", "overworld2", "*"):
        answer = tenant.client.delete(path(tenant), params={"name": wrong})
        assert (answer.status_code, answer.json()["code"]) == (409, "NAME_DIFFERS")
    assert lifecycle(site, tenant) == "stopped"
    answer = tenant.client.delete(path(tenant), params={"name": "overworld"})
    assert answer.status_code == 202
    assert lifecycle(site, tenant) == "deleting"
    assert tenant.client.get(f"/api/operations/{answer.json()['operationId']}").json()["kind"] == "delete_server"
    assert tenant.client.get(path(tenant, "/files/list")).status_code == 404
    again = tenant.client.request("DELETE", path(tenant), json={"name": "overworld"})
    assert (again.status_code, again.json()["code"]) == (409, "DELETION_UNDER_WAY")


def test_one_key_is_one_deletion(site: Site) -> None:
    tenant = site.tenant()
    asked = {"params": {"name": "overworld"}, "headers": {"Idempotency-Key": "gone"}}
    one, two = (tenant.client.delete(path(tenant), **asked) for _ in range(2))  # type: ignore[arg-type]
    assert one.status_code == two.status_code == 202
    assert one.json() == two.json()


def test_a_deletion_is_withdrawn_until_a_worker_has_begun(site: Site) -> None:
    tenant = site.tenant()
    tenant.client.delete(path(tenant), params={"name": "overworld"})
    assert tenant.client.post(path(tenant, "/undelete")).json()["lifecycle"] == "stopped"
    tenant.client.delete(path(tenant), params={"name": "overworld"})
    with site.database.begin() as conn:
        conn.execute(text("UPDATE intents SET status = 'started' WHERE intent = 'delete_server'"))
    answer = tenant.client.post(path(tenant, "/undelete"))
    assert (answer.status_code, answer.json()["code"]) == (409, "DELETION_BEGUN")


def test_a_server_at_a_safe_point_is_not_deleted(site: Site) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        conn.execute(text("UPDATE servers SET lifecycle = 'backing_up' WHERE id = :id"), {"id": tenant.server_id})
    answer = tenant.client.delete(path(tenant), params={"name": "overworld"})
    assert (answer.status_code, answer.json()["code"]) == (409, "SERVER_BUSY")
    assert lifecycle(site, tenant) == "backing_up"


def test_while_stopped_by_billing_nothing_is_deleted_or_reinstalled(site: Site) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    for answer in (
        tenant.client.delete(path(tenant), params={"name": "overworld"}),
        tenant.client.post(path(tenant, "/reinstall"), json={"name": "overworld"}),
        site.admin.delete(path(tenant), params={"name": "overworld"}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (402, "BILLING_SUSPENDED")
    assert lifecycle(site, tenant) == "stopped"


def test_a_deleted_servers_backups_are_listed_and_downloaded_for_the_policys_time_and_no_longer(site: Site) -> None:
    tenant = site.tenant()
    site.host.write_file(site.spec(tenant.server_id), "a.txt", "mine")
    backup = tenant.client.post(path(tenant, "/backups")).json()["backupId"]
    made = site.host.create_backup(site.spec(tenant.server_id), backup)
    site.host.destroy(site.spec(tenant.server_id))
    with site.database.begin() as conn:
        done = "UPDATE backups SET state = 'complete', size_bytes = :size, sha256 = :sha WHERE id = :id"
        conn.execute(text(done), {"size": made.size_bytes, "sha": made.sha256, "id": backup})
        conn.execute(text("UPDATE servers SET lifecycle = 'deleted' WHERE id = :id"), {"id": tenant.server_id})
    assert [each["backupId"] for each in tenant.client.get(path(tenant, "/backups")).json()] == [backup]
    assert len(tenant.client.get(path(tenant, f"/backups/{backup}/download")).content) == made.size_bytes
    assert tenant.client.post(path(tenant, f"/backups/{backup}/restore")).status_code == 404
    assert tenant.client.delete(path(tenant), params={"name": "overworld"}).status_code == 404
    with site.database.begin() as conn:
        stamps = """UPDATE servers SET stamps = '{"backups_expired_at": "2026-01-01T00:00:00+00:00"}' WHERE id = :id"""
        conn.execute(text(stamps), {"id": tenant.server_id})
    assert tenant.client.get(path(tenant, "/backups")).status_code == 404
    assert len(site.host.list_backups(site.spec(tenant.server_id))) == 1, "and nothing is removed"


def test_a_reinstall_is_an_operation_and_needs_the_name(site: Site) -> None:
    tenant = site.tenant()
    answer = tenant.client.post(path(tenant, "/reinstall"), json={"name": "other"})
    assert (answer.status_code, answer.json()["code"]) == (409, "NAME_DIFFERS")
    answer = tenant.client.post(path(tenant, "/reinstall"), json={"name": "overworld"})
    assert answer.status_code == 202
    shown = tenant.client.get(f"/api/operations/{answer.json()['operationId']}").json()
    assert (shown["kind"], shown["state"]) == ("reinstall_server", "queued")
