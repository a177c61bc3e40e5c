"""What administrators may do: more time, exemptions, commands, brakes, and what waits for a person."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import text

from engine.load import bundle, load_texts
from storage import edge, policies, repairs
from storage.settings import SHIPPED_POLICY
from tests.acceptance.system import invoice_event, sign
from tests.web.routes import MISSING
from tests.web.site import SECRET, Site, Tenant


def fail_payment(site: Site, customer: str, event: str) -> None:
    """Let a charge of this Stripe customer fail."""
    shape = invoice_event(
        "payment_failed", event=event, invoice=f"in_{event}", customer=customer, status="open", created=int(time.time())
    )
    body = json.dumps(shape).encode()
    headers = {"Stripe-Signature": sign(body, SECRET)}
    assert site.nobody.post("/api/billing/webhook", content=body, headers=headers).status_code == 200


def events_of(site: Site, tenant: Tenant) -> list[str]:
    """Return what happened to an account, by its actions."""
    return [e["action"] for e in site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()]


def test_a_hold_is_set_listed_ended_and_audited(site: Site) -> None:
    tenant = site.tenant()
    until = (datetime.now(UTC) + timedelta(days=3)).isoformat()
    wish = {"kind": "extension", "accountId": tenant.account_id, "until": until, "reason": "asked by phone"}
    made = site.admin.post("/api/admin/holds", json=wish)
    assert made.status_code == 201
    (listed,) = site.admin.get("/api/admin/holds", params={"accountId": tenant.account_id}).json()
    assert (listed["holdId"], listed["kind"], listed["reason"]) == (
        made.json()["holdId"],
        "extension",
        "asked by phone",
    )
    assert site.admin.delete(f"/api/admin/holds/{listed['holdId']}").status_code == 204
    assert site.admin.delete(f"/api/admin/holds/{listed['holdId']}").status_code == 404
    assert events_of(site, tenant)[-2:] == ["extension_set", "extension_ended"]


def test_a_hold_for_everybody_needs_no_account(site: Site) -> None:
    made = site.admin.post("/api/admin/holds", json={"kind": "processor_outage"})
    assert made.status_code == 201
    assert site.admin.get("/api/admin/holds").json()[0]["accountId"] is None
    assert site.admin.delete(f"/api/admin/holds/{made.json()['holdId']}").status_code == 204


def test_a_hold_that_is_over_or_of_no_kind_or_of_nobody_is_refused(site: Site) -> None:
    over = site.admin.post("/api/admin/holds", json={"kind": "extension", "until": "2020-01-01T00:00:00Z"})
    kind = site.admin.post("/api/admin/holds", json={"kind": "mercy"})
    nobody = site.admin.post("/api/admin/holds", json={"kind": "extension", "accountId": MISSING})
    zone = site.admin.post("/api/admin/holds", json={"kind": "extension", "until": "2199-01-01T00:00:00"})
    assert [answer.status_code for answer in (over, kind, nobody, zone)] == [400, 400, 404, 400]
    assert "`extension`" in kind.json()["detail"]


def test_an_exempt_account_is_no_longer_pressed(site: Site) -> None:
    tenant = site.tenant()
    fail_payment(site, tenant.stripe_customer, "evt_exempt")
    view = f"/api/admin/accounts/{tenant.account_id}"
    assert site.admin.get(view).json()["billingStatus"] == "overdue_warning"
    until = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    answer = site.admin.post(f"{view}/exemption", json={"until": until, "reason": "a school"})
    assert answer.status_code == 200
    assert site.admin.get(view).json()["billingStatus"] == "active"
    assert site.admin.post(f"{view}/exemption", json={"until": None}).status_code == 200
    assert site.admin.get(view).json()["billingStatus"] == "overdue_warning"


def test_commands_are_those_of_the_policy_and_are_refused_when_nothing_follows(site: Site) -> None:
    tenant = site.tenant()
    path = f"/api/admin/accounts/{tenant.account_id}/commands"
    unknown = site.admin.post(path, json={"event": "explode"})
    assert unknown.status_code == 400
    assert "`abuse_reported`" in unknown.json()["detail"]
    early = site.admin.post(path, json={"event": "deletion_requested"})
    assert (early.status_code, early.json()["code"]) == (409, "COMMAND_REFUSED")
    reported = site.admin.post(path, json={"event": "abuse_reported"})
    assert (reported.status_code, reported.json()["states"]["abuse"]) == (202, "restricted")
    (mine,) = tenant.client.get("/api/account").json()
    assert "report" in mine["message"]
    assert mine["payUrl"] is None, "a payment changes nothing here"


def test_a_tripped_brake_is_shown_and_released_once(site: Site) -> None:
    with site.database.begin() as conn:
        conn.execute(text("INSERT INTO brakes (name, latched_at) VALUES ('suspension_brake', now())"))
    brake = next(each for each in site.admin.get("/api/admin/brakes").json() if each["name"] == "suspension_brake")
    assert brake["latchedAt"] is not None
    release = "/api/admin/brakes/suspension_brake/release"
    assert site.admin.post(release, json={"allowance": 5}).status_code == 200
    again = site.admin.post(release)
    assert (again.status_code, again.json()["code"]) == (409, "BRAKE_NOT_TRIPPED")
    assert site.admin.post("/api/admin/brakes/other/release").status_code == 404


def test_parked_events_are_listed(site: Site) -> None:
    fail_payment(site, "cus_nobody_knows", "evt_parked")
    (parked,) = site.admin.get("/api/admin/stripe-events", params={"status": "parked"}).json()
    assert (parked["id"], parked["status"], parked["accountId"]) == ("evt_parked", "parked", None)
    assert site.admin.get("/api/admin/stripe-events", params={"status": "lost"}).status_code == 400


def test_a_notice_whose_end_is_unknown_is_listed_and_settled_by_a_person(site: Site) -> None:
    tenant = site.tenant()
    fail_payment(site, tenant.stripe_customer, "evt_unknown")
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE intents SET status = 'unknown' WHERE account_id = :id AND kind = 'notice'"),
            {"id": tenant.account_id},
        )
    (unknown,) = site.admin.get("/api/admin/intents").json()
    assert (unknown["intent"], unknown["accountId"]) == ("send_billing_warning", tenant.account_id)
    settle = f"/api/admin/intents/{unknown['intentId']}/resolve"
    assert site.admin.post(settle, json={"outcome": "delivered"}).status_code == 200
    again = site.admin.post(settle, json={"outcome": "delivered"})
    assert (again.status_code, again.json()["code"]) == (409, "ALREADY_SETTLED")
    assert site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()["warningSentAt"] is not None
    assert site.admin.get("/api/admin/intents").json() == []


def test_announcements_come_and_go_by_their_dates(site: Site) -> None:
    tenant = site.tenant()
    told = {"title": "Maintenance", "text": "On Sunday\nwe move <racks>."}
    made = site.admin.post("/api/admin/announcements", json=told)
    assert made.status_code == 201
    later = {**told, "startsAt": "2199-01-01T00:00:00Z"}
    assert site.admin.post("/api/admin/announcements", json=later).status_code == 201
    (shown,) = tenant.client.get("/api/announcements").json()
    assert (shown["title"], shown["text"]) == ("Maintenance", "On Sunday we move <racks>.")
    backwards = {**later, "endsAt": "2198-01-01T00:00:00Z"}
    assert site.admin.post("/api/admin/announcements", json=backwards).status_code == 400
    assert site.admin.delete(f"/api/admin/announcements/{made.json()['announcementId']}").status_code == 204
    assert tenant.client.get("/api/announcements").json() == []


def test_planned_maintenance_is_announced_by_itself(site: Site) -> None:
    tenant = site.tenant()
    texts = bundle(SHIPPED_POLICY)
    text = texts["maintenance.yaml"].replace("maintenance: []", "maintenance: [{hours: 02:00-05:00, zone: Asia/Tokyo}]")
    texts["maintenance.yaml"] = text
    with site.database.begin() as conn:
        policies.deploy(conn, load_texts(texts), texts, {}, "test")
    try:
        shown, also = (who.get("/api/announcements").json() for who in (tenant.client, site.admin))
    finally:
        policies.deploy_folder(site.database.engine, SHIPPED_POLICY, {}, by="test")
    assert {each["kind"] for each in shown} == {"maintenance"}
    assert 3 <= len(shown) <= 4  # it is told three days before
    assert shown[0]["startsAt"].endswith("T17:00:00Z")
    assert "17:00 (UTC)" in shown[0]["text"]
    assert also == shown


def test_accounts_are_listed_page_by_page(site: Site) -> None:
    ids = {site.tenant().account_id for _ in range(3)}
    seen: list[str] = []
    while page := site.admin.get(
        "/api/admin/accounts", params={"limit": "2", "after": seen[-1] if seen else ""}
    ).json():
        seen += [each["accountId"] for each in page]
    assert ids <= set(seen)
    assert len(seen) == len(set(seen))
    for limit in ("0", "-1", "x", "1001", "1e9"):
        assert site.admin.get("/api/admin/accounts", params={"limit": limit}).status_code == 400


def test_alerts_are_listed(site: Site) -> None:
    tenant = site.tenant()
    wish = {"action": "wipe_server_data", "accountId": tenant.account_id}
    assert site.admin.post("/api/admin/intents", json=wish).status_code == 409
    assert site.admin.get("/api/admin/alerts").json()[0]["kind"] == "intent_rejected"


def test_a_backup_is_not_asked_for_as_a_bare_intent(site: Site) -> None:
    tenant = site.tenant()
    wish = {"action": "create_backup", "accountId": tenant.account_id}
    answer = site.admin.post("/api/admin/intents", json=wish)
    assert (answer.status_code, answer.json()["code"]) == (409, "ASK_ELSEWHERE")


def test_repairs_are_listed_with_what_became_of_them(site: Site) -> None:
    tenant = site.tenant()
    server = UUID(tenant.server_id)
    now = datetime.now(UTC)
    asked = repairs.Event(server, "start_stopped", "start_server", None, "asked", "it stands", now, uuid4())
    braked = repairs.Event(server, "stop_unwanted", "stop_server", 2, "braked", "it runs", now)
    with site.database.begin() as conn:
        repairs.tell(conn, [asked, braked])
    newest, oldest = site.admin.get("/api/admin/repairs").json()
    assert (newest["repair"], newest["outcome"], newest["level"]) == ("stop_unwanted", "braked", 2)
    assert oldest | {"id": 0, "at": ""} == {
        "id": 0, "accountId": tenant.account_id, "serverId": tenant.server_id, "repair": "start_stopped",
        "intent": "start_server", "level": None, "outcome": "asked", "reason": "it stands", "at": "",
        "intentId": str(asked.intent_id),
    }  # fmt: skip
    only = site.admin.get("/api/admin/repairs", params={"outcome": "asked,done", "serverId": tenant.server_id}).json()
    assert [each["repair"] for each in only] == ["start_stopped"]
    assert site.admin.get("/api/admin/repairs", params={"outcome": "perhaps"}).status_code == 400
    assert site.admin.get("/api/admin/repairs", params={"serverId": "x"}).status_code == 400
    assert tenant.client.get("/api/admin/repairs").status_code == 403


def test_the_brake_of_repairs_is_listed_and_released(site: Site) -> None:
    listed = {brake["name"] for brake in site.admin.get("/api/admin/brakes").json()}
    assert listed == {"suspension_brake", "repairs.repairs"}
    path = "/api/admin/brakes/repairs.repairs/release"
    assert site.admin.post(path, json={}).status_code == 409
    with site.database.begin() as conn:
        conn.execute(text("INSERT INTO brakes (name, latched_at) VALUES ('repairs.repairs', now())"))
    assert site.admin.post(path, json={}).status_code == 200


def test_an_account_shows_what_leads_to_each_of_its_servers(site: Site) -> None:
    tenant = site.tenant()
    path = f"/api/admin/accounts/{tenant.account_id}"
    assert [each["edge"] for each in site.admin.get(path).json()["servers"]] == [None]
    with site.database.begin() as conn:
        edge.claim_label(conn, UUID(tenant.server_id), "ada-1")
        edge.note_published(conn, UUID(tenant.server_id), "192.0.2.10", 25565)
        edge.observe(conn, {UUID(tenant.server_id): "present"})
    (server,) = site.admin.get(path).json()["servers"]
    assert (server["edge"]["label"], server["edge"]["state"]) == ("ada-1", "present")
    assert server["edge"]["publishedAt"].endswith("Z")
