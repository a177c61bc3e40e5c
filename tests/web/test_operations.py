"""Operations that failed, over HTTP: listed, resumed and cleaned up by admins, with a reason."""

from __future__ import annotations

from uuid import UUID

import httpx
from sqlalchemy import text

from storage import operations
from tests.web.routes import MISSING
from tests.web.site import Site, Tenant


def failed_order(site: Site, tenant: Tenant, key: str = "fails") -> str:
    """Order a server, and let its worker have failed."""
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    made = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": key}).json()["operationId"]
    with site.database.begin() as conn:
        operations.fail(conn, UUID(made), error="Sorry.", reason="no template", left_behind="nothing", phase="create")
        server = operations.get(conn, UUID(made)).server_id
        conn.execute(
            text("UPDATE servers SET lifecycle = 'failed', desired = 'stopped' WHERE id = :id"), {"id": server}
        )
        conn.execute(text("UPDATE intents SET status = 'failed' WHERE server_id = :id"), {"id": server})
    return str(made)


def settle(site: Site, operation: str, how: str) -> httpx.Response:
    return site.admin.post(f"/api/admin/operations/{operation}/{how}", json={"reason": "looked at it"})


def test_failed_operations_are_listed_with_what_operators_need(site: Site) -> None:
    tenant = site.tenant()
    operation = failed_order(site, tenant)
    (listed,) = [each for each in site.admin.get("/api/admin/operations").json() if each["operationId"] == operation]
    assert (listed["phase"], listed["reason"], listed["leftBehind"]) == ("create", "no template", "nothing")
    assert site.admin.get("/api/admin/operations?state=lost").status_code == 400
    mine = tenant.client.get(f"/api/operations/{operation}").json()
    assert (mine["state"], mine["phase"], mine["error"]) == ("failed", "create", "Sorry.")
    assert "reason" not in mine
    assert tenant.client.get("/api/admin/operations").status_code == 403


def test_an_operation_is_resumed_once_however_often_that_is_asked(site: Site) -> None:
    tenant = site.tenant()
    operation = failed_order(site, tenant)
    answers = [settle(site, operation, "resume") for _ in range(3)]
    assert [(each.status_code, each.json()["state"]) for each in answers] == [(202, "queued")] * 3
    asked = "SELECT count(*) FROM intents WHERE args ->> 'operation_id' = :id AND status = 'open'"
    assert site.scalar(asked, id=operation) == 1
    refused = settle(site, operation, "cleanup")
    assert (refused.status_code, refused.json()["code"]) == (409, "OPERATION_REFUSED")


def test_billing_denies_a_resumption_with_its_code_and_lets_clean_up(site: Site) -> None:
    tenant = site.tenant()
    operation = failed_order(site, tenant)
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    denied = settle(site, operation, "resume")
    assert (denied.status_code, denied.json()["code"]) == (402, "BILLING_SUSPENDED")
    assert settle(site, operation, "cleanup").status_code == 202
    events = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    assert ("clean_up_operation", "looked at it") in {(event["action"], event["because"]) for event in events}


def test_settling_needs_a_reason_and_an_operation(site: Site) -> None:
    for how in ("resume", "cleanup"):
        assert settle(site, MISSING, how).status_code == 404
        path = f"/api/admin/operations/{MISSING}/{how}"
        assert site.admin.post(path, json={"reason": " "}).status_code == 400
        assert site.admin.post(path, json={}).status_code == 400
