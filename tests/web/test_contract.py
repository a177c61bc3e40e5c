"""The contract that scripts rely on, walked line by line: paths, names, shapes and statuses."""

from __future__ import annotations

import json
import re
import time
from uuid import UUID

import pytest

from storage import backups as backup_rows
from tests.acceptance.system import invoice_event, sign
from tests.web.site import ADMIN, SECRET, Site

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
DURABLE = {
    "billingStatus",
    "serverBillingState",
    "subscriptionStatus",
    "plan",
    "pastDueSince",
    "warningSentAt",
    "finalWarningSentAt",
    "backupBlockedAt",
    "suspendedAt",
    "retentionUntil",
    "lastBillingEventAt",
    "lastStripeEventId",
    "lastEnforcementAction",
}


def test_an_admin_makes_a_customer_and_an_account(site: Site) -> None:
    made = site.admin.post("/api/admin/customers", json={"email": "ada@example.org", "name": "Ada"})
    assert made.status_code == 201
    assert set(made.json()) == {"customerId", "token"}
    order = {"customerId": made.json()["customerId"], "stripeCustomerId": "cus_ada", "plan": "game"}
    account = site.admin.post("/api/admin/accounts", json={**order, "stripeSubscriptionId": "sub_ada"})
    assert account.status_code == 201
    assert set(account.json()) == {"accountId"}
    again = site.admin.post("/api/admin/accounts", json={**order, "stripeSubscriptionId": "sub_ada"})
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_TAKEN")
    view = site.admin.get(f"/api/admin/accounts/{account.json()['accountId']}").json()
    assert set(view) >= DURABLE | {"accountId", "servers"}
    assert (view["billingStatus"], view["serverBillingState"], view["plan"], view["servers"]) == (
        "active",
        "allowed",
        "game",
        [],
    )
    assert site.client(made.json()["token"]).get("/api/account").status_code == 200


def test_an_admin_sees_an_accounts_servers_and_its_whole_audit(site: Site) -> None:
    tenant = site.tenant()
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    (server,) = view["servers"]
    assert set(server) >= {"serverId", "name", "kind", "desired", "observed", "serverBillingState"}
    assert server["observed"] in ("running", "stopped", "unknown")
    events = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    assert events
    for event in events:
        assert set(event) >= {"kind", "action", "at", "actor", "from", "to", "because", "policyDigest"}
        assert INSTANT.fullmatch(event["at"])
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)


def test_an_admin_asks_for_intents_and_destruction_is_refused_and_audited(site: Site) -> None:
    tenant = site.tenant()
    wish = {"accountId": tenant.account_id, "serverId": tenant.server_id}
    asked = site.admin.post("/api/admin/intents", json={"action": "stop_server", **wish})
    assert asked.status_code == 202
    for action in ("delete_suspended_server", "wipe_server_data", "restore_backup", "prune_backups", "delete_backup"):
        refused = site.admin.post("/api/admin/intents", json={"action": action, **wish})
        assert (refused.status_code, refused.json()["code"]) == (409, "DESTRUCTIVE_ACTION_REJECTED")
        assert refused.headers["content-type"] == "application/problem+json"
        last = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()[-1]
        assert (last["kind"], last["action"], last["actor"]) == ("rejected", action, "admin")
    unknown = site.admin.post("/api/admin/intents", json={"action": "dance", **wish})
    assert (unknown.status_code, unknown.json()["code"]) == (400, "UNKNOWN_ACTION")


def test_the_clock_cannot_be_moved_where_it_is_not_switched_on(site: Site) -> None:
    for path, body in (("/api/admin/clock/advance", {"hours": 1}), ("/api/admin/drain", None)):
        refused = site.admin.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (409, "TEST_CLOCK_OFF")


def test_a_customer_sees_their_own_accounts(site: Site) -> None:
    tenant, other = site.tenant(), site.tenant()
    (mine,) = tenant.client.get("/api/account").json()
    assert set(mine) >= {
        "accountId", "billingStatus", "serverBillingState", "message", "nextStep", "retentionUntil", "payUrl",
    }  # fmt: skip
    assert (mine["accountId"], mine["billingStatus"]) == (tenant.account_id, "active")
    assert (mine["nextStep"], mine["payUrl"], mine["retentionUntil"]) == (None, None, None)
    assert mine["message"]
    assert other.account_id not in tenant.client.get("/api/account").text
    assert tenant.client.get("/api/announcements").json() == []


def test_a_customer_orders_a_server_and_follows_it(site: Site) -> None:
    tenant = site.tenant()
    order = {"name": "second", "kind": "dev", "accountId": tenant.account_id}
    asked = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "one"})
    assert asked.status_code == 202
    assert set(asked.json()) == {"operationId"}
    operation = tenant.client.get(f"/api/operations/{asked.json()['operationId']}").json()
    assert set(operation) >= {"state", "phase", "serverId", "error"}
    assert operation["state"] == "queued"


@pytest.mark.parametrize("door", ["host", "game"])
def test_start_stop_and_restart_answer_202_however_often(site: Site, door: str) -> None:
    tenant = site.tenant()
    for verb in ("start", "start", "restart", "stop", "stop"):
        assert tenant.client.post(f"/api/servers/{tenant.server_id}/{door}/{verb}").status_code == 202
    assert site.scalar("SELECT desired FROM servers WHERE id = :id", id=tenant.server_id) == "stopped"


def test_game_doors_are_of_game_servers_only(site: Site) -> None:
    tenant = site.tenant(kind="dev")
    assert tenant.client.post(f"/api/servers/{tenant.server_id}/game/start").status_code == 404
    assert tenant.client.post(f"/api/servers/{tenant.server_id}/host/start").status_code == 202


def test_files_are_written_read_listed_downloaded_reverted_and_deleted(site: Site) -> None:
    tenant = site.tenant()
    files = f"/api/servers/{tenant.server_id}/files"
    assert tenant.client.put(files, json={"path": "notes.txt", "content": "one"}).status_code == 200
    assert tenant.client.put(files, json={"path": "/notes.txt", "content": "two"}).status_code == 200
    listed = tenant.client.get(f"{files}/list", params={"path": "/"}).json()
    assert [(each["name"], each["kind"], each["sizeBytes"]) for each in listed] == [("notes.txt", "file", 3)]
    assert tenant.client.get(f"{files}/list").json() == listed
    read = tenant.client.get(f"{files}/read", params={"path": "notes.txt"}).json()
    assert read == {"path": "notes.txt", "content": "two"}
    download = tenant.client.get(f"{files}/download", params={"path": "notes.txt"})
    assert download.content == b"two"
    assert 'filename="notes.txt"' in download.headers["content-disposition"]
    assert tenant.client.post(f"{files}/revert", json={"path": "notes.txt"}).status_code == 200
    assert tenant.client.get(f"{files}/read", params={"path": "notes.txt"}).json()["content"] == "one"
    (version,) = tenant.client.get(f"{files}/versions", params={"path": "notes.txt"}).json()
    numbered = {"path": "notes.txt", "version": version["version"]}
    assert tenant.client.post(f"{files}/revert", json=numbered).status_code == 200
    assert tenant.client.get(f"{files}/read", params={"path": "notes.txt"}).json()["content"] == "two"
    gone = tenant.client.post(f"{files}/revert", json=numbered)
    assert (gone.status_code, gone.json()["code"]) == (404, "NOTHING_TO_REVERT")
    assert tenant.client.delete(files, params={"path": "notes.txt"}).status_code == 204
    assert tenant.client.get(f"{files}/read", params={"path": "notes.txt"}).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/../x",
        "a/../../x",
        "/etc/passwd",
        "..",
        "../../../../../../etc/passwd",
        "a/../../../etc/passwd",
        "/proc/self/environ",
    ],
)
def test_a_path_that_leaves_the_server_is_400(site: Site, path: str) -> None:
    tenant = site.tenant()
    files = f"/api/servers/{tenant.server_id}/files"
    before = site.trace()
    answers = [
        tenant.client.get(f"{files}/list", params={"path": path}),
        tenant.client.get(f"{files}/read", params={"path": path}),
        tenant.client.get(f"{files}/download", params={"path": path}),
        tenant.client.put(files, json={"path": path, "content": "x"}),
        tenant.client.delete(files, params={"path": path}),
        tenant.client.post(f"{files}/upload", params={"path": path}, content=b"x"),
        tenant.client.post(f"{files}/upload", files={"file": (path, b"x")}),
        tenant.client.post(f"{files}/revert", json={"path": path}),
    ]
    assert [answer.status_code for answer in answers] == [400] * len(answers)
    assert {answer.json()["code"] for answer in answers} == {"PATH_REFUSED"}
    assert site.trace() == before


def test_backups_are_operations_and_are_listed_at_once(site: Site) -> None:
    tenant = site.tenant()
    backups = f"/api/servers/{tenant.server_id}/backups"
    assert tenant.client.get(backups).json() == []
    made = tenant.client.post(backups)
    assert made.status_code == 202
    assert set(made.json()) == {"operationId", "backupId"}
    (listed,) = tenant.client.get(backups).json()
    assert (listed["backupId"], listed["state"]) == (made.json()["backupId"], "queued")
    one = f"{backups}/{listed['backupId']}"
    for answer in (tenant.client.post(f"{one}/restore"), tenant.client.get(f"{one}/download")):
        assert (answer.status_code, answer.json()["code"]) == (409, "BACKUP_NOT_COMPLETE")
    info = site.host.create_backup(site.spec(tenant.server_id), listed["backupId"])
    with site.database.begin() as conn:
        backup_rows.complete(conn, UUID(listed["backupId"]), size_bytes=info.size_bytes, sha256=info.sha256)
    archive = tenant.client.get(f"{one}/download")
    assert archive.status_code == 200
    assert len(archive.content) == info.size_bytes
    for answer in (
        tenant.client.post(f"{one}/restore"),
        tenant.client.delete(one),
        tenant.client.post(f"{backups}/prune"),
    ):
        assert answer.status_code == 202
        state = tenant.client.get(f"/api/operations/{answer.json()['operationId']}").json()
        assert (state["state"], state["serverId"]) == ("queued", tenant.server_id)


def test_the_webhook_takes_what_stripe_signs(site: Site) -> None:
    tenant = site.tenant()
    body = json.dumps(
        invoice_event(
            "payment_failed",
            event="evt_1",
            invoice="in_1",
            customer=tenant.stripe_customer,
            status="open",
            created=int(time.time()),
        )
    ).encode()
    taken = site.nobody.post("/api/billing/webhook", content=body, headers={"Stripe-Signature": sign(body, SECRET)})
    assert taken.status_code == 200
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert view["billingStatus"] == "overdue_warning"
    (mine,) = tenant.client.get("/api/account").json()
    assert mine["nextStep"]["what"]
    assert mine["payUrl"] == "https://invoice.stripe.test/in_1"
    (announced,) = tenant.client.get("/api/announcements").json()
    assert announced["accountId"] == tenant.account_id
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    denied = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "k"})
    assert denied.status_code == 402
    assert denied.headers["content-type"] == "application/problem+json"
    problem = denied.json()
    assert problem["code"] == "BILLING_PAST_GRACE"
    assert problem["detail"]
    assert set(problem["billing"]) == {"billingStatus", "serverBillingState", "nextStep", "payUrl", "retentionUntil"}


def test_a_tenants_server_is_404_to_another_and_open_to_an_admin(site: Site) -> None:
    tenant, other = site.tenant(), site.tenant()
    path = f"/api/servers/{tenant.server_id}"
    foreign = other.client.get(f"{path}/files/list")
    unknown = other.client.get("/api/servers/00000000-0000-0000-0000-000000000000/files/list")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content
    assert site.admin.get(f"{path}/files/list").status_code == 200
    assert site.admin.post(f"{path}/host/start").status_code == 202
    assert site.admin.put(f"{path}/files", json={"path": "a", "content": "b"}).status_code == 200
    events = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    assert ("admin", "files.write") in [(event["actor"], event["action"]) for event in events]


def test_health_is_public_and_names_what_serves(site: Site) -> None:
    health = site.nobody.get("/api/health")
    assert health.status_code == 200
    assert set(health.json()) >= {"version", "policyDigest", "database", "queue"}
    assert (health.json()["database"], health.json()["queue"]) == ("ok", "ok")


def test_no_answer_is_kept_or_run_by_a_browser(site: Site) -> None:
    tenant = site.tenant()
    site.host.write_file(site.spec(tenant.server_id), "page.html", "<script>")
    download = tenant.client.get(f"/api/servers/{tenant.server_id}/files/download", params={"path": "page.html"})
    for answer in (download, tenant.client.get("/api/account"), site.nobody.get("/api/account"), site.nobody.get("/x")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_the_schema_names_every_path_and_loads_nothing_from_elsewhere(site: Site) -> None:
    schema = site.nobody.get("/schema/openapi.json")
    assert schema.status_code == 200
    assert "/api/servers/{server_id}/files/upload" in schema.json()["paths"]
    assert site.client(ADMIN).get("/schema/swagger").status_code == 404
