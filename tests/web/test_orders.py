"""Orders and other operations: the same key is the same wish, however often and at the same time it comes."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from jobs.hosts.catalog import Catalog
from tests.web.site import Site


def test_twenty_copies_of_one_order_at_the_same_time_are_one_server(site: Site) -> None:
    tenant = site.tenant()
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}

    def send(_: int) -> tuple[int, str]:
        answer = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "same"})
        return answer.status_code, answer.json().get("operationId")

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(send, range(20)))
    assert len(answers) == 1
    assert answers.pop()[0] == 202
    count = "SELECT count(*) FROM {} WHERE account_id = :id"
    assert site.scalar(count.format("servers"), id=tenant.account_id) == 2
    assert site.scalar(count.format("operations"), id=tenant.account_id) == 1
    made = "SELECT count(*) FROM intents WHERE account_id = :id AND intent = 'provision_server' AND status = 'open'"
    assert site.scalar(made, id=tenant.account_id) == 1


def test_an_order_is_answered_in_milliseconds_and_asks_no_host(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = site.tenant()
    monkeypatch.setattr(site.app.state.services, "hosts", {})  # whoever asked one would fail
    took = []
    for number in range(5):
        order = {"name": f"more {number}", "kind": "game", "accountId": tenant.account_id}
        began = time.monotonic()
        answer = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": f"quick-{number}"})
        took.append(time.monotonic() - began)
        assert answer.status_code == 202, answer.text
        assert tenant.client.get(f"/api/operations/{answer.json()['operationId']}").json()["state"] == "queued"
    assert min(took) < 1, "it is 0.03 on a machine that does nothing else"


def test_a_key_that_comes_with_another_wish_is_a_conflict(site: Site) -> None:
    tenant, other = site.tenant(), site.tenant()
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    headers = {"Idempotency-Key": "mine"}
    assert tenant.client.post("/api/instances", json=order, headers=headers).status_code == 202
    again = tenant.client.post("/api/instances", json={**order, "name": "third"}, headers=headers)
    assert (again.status_code, again.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    theirs = {**order, "accountId": other.account_id}
    assert other.client.post("/api/instances", json=theirs, headers=headers).status_code == 202, "keys are per customer"


def test_the_last_place_of_a_plan_is_given_once(site: Site) -> None:
    tenant = site.tenant(plan="dev")
    order = {"name": "more", "kind": "dev", "accountId": tenant.account_id}

    def send(number: int) -> int:
        headers = {"Idempotency-Key": f"key-{number}"}
        return tenant.client.post("/api/instances", json=order, headers=headers).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(send, range(8)))
    assert statuses == [202, 202] + [402] * 6


def test_a_backup_asked_for_twice_under_one_key_is_made_once(site: Site) -> None:
    tenant = site.tenant()
    path = f"/api/servers/{tenant.server_id}/backups"
    headers = {"Idempotency-Key": "nightly"}
    answers = [tenant.client.post(path, headers=headers).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["backupId"]
    assert len(tenant.client.get(path).json()) == 1
    reused = tenant.client.post(f"{path}/prune", headers=headers)
    assert (reused.status_code, reused.json()["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")


def test_without_a_key_each_request_is_a_wish_of_its_own_and_they_are_bounded(site: Site) -> None:
    tenant = site.tenant()
    path = f"/api/servers/{tenant.server_id}/backups"
    statuses = [tenant.client.post(path).status_code for _ in range(7)]
    assert statuses == [202] * 5 + [409] * 2
    assert tenant.client.post(path).json()["code"] == "BACKUPS_UNDER_WAY"
    assert len(tenant.client.get(path).json()) == 5


def test_a_backup_of_another_server_is_not_there(site: Site) -> None:
    tenant, other = site.tenant(), site.tenant()
    made = tenant.client.post(f"/api/servers/{tenant.server_id}/backups").json()["backupId"]
    base = f"/api/servers/{other.server_id}/backups/{made}"
    answers = (
        other.client.post(f"{base}/restore"),
        other.client.get(f"{base}/download"),
        other.client.delete(base),
    )
    assert [answer.status_code for answer in answers] == [404] * 3


def test_an_admin_acts_for_a_tenant_and_the_audit_says_who(site: Site) -> None:
    tenant = site.tenant()
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    asked = site.admin.post("/api/instances", json=order, headers={"Idempotency-Key": "by-admin"})
    assert asked.status_code == 202
    assert tenant.client.get(f"/api/operations/{asked.json()['operationId']}").status_code == 200
    assert site.admin.post(f"/api/servers/{tenant.server_id}/backups").status_code == 202
    actors = {
        (event["actor"], event["action"])
        for event in site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    }
    assert {("admin", "provision_server"), ("admin", "create_backup")} <= actors


def test_an_order_goes_to_the_host_that_placement_says_and_is_refused_when_that_is_full(site: Site) -> None:
    tenant = site.tenant()
    services = site.app.state.services
    before = services.catalog
    entry = before.entries["local"]
    try:
        services.catalog = Catalog({"attic": replace(entry, name="attic", capacity=1)}, {"game": ("attic",)})
        answers = []
        for name in ("first", "second"):
            order = {"name": name, "kind": "game", "accountId": tenant.account_id}
            answers.append(tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": name}))
    finally:
        services.catalog = before
    assert answers[0].status_code == 202
    assert (answers[1].status_code, answers[1].json()["code"]) == (503, "NO_ROOM")
    hosts = "SELECT array_agg(host ORDER BY created_at) FROM servers WHERE account_id = :id"
    assert site.scalar(hosts, id=tenant.account_id) == ["local", "attic"]
    assert site.scalar("SELECT count(*) FROM operations WHERE account_id = :id", id=tenant.account_id) == 1
