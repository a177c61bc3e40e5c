"""Each route asks the gate that the policy's matrix has for it: proved by closing every cell, over HTTP."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from litestar import Litestar, Router, get
from litestar.params import FromPath
from sqlalchemy import text

from engine.load import load_policy
from storage.settings import SHIPPED_POLICY
from tests.web.routes import MISSING, Route, all_routes
from tests.web.site import Site
from web.app import gated_handlers, refuse_ungated
from web.auth import signed_in

POLICY = load_policy(SHIPPED_POLICY)
CODES = {
    "allowed": (None, {}),
    "backup_blocked": ("BILLING_BACKUP_BLOCKED", {"billing": "final_warning"}),
    "suspended_shutdown": ("BILLING_SUSPENDED", {"billing": "suspended"}),
    "retained": ("BILLING_RETAINED", {"billing": "retained"}),
}
UNGATED_WRITES = {
    # what an admin does is not a tenant's action, and Stripe is asked for its signature
    "POST /api/billing/webhook",
    # whoever is suspended must be able to pay
    "POST /api/billing/checkout",
    "POST /api/billing/plan",
    "POST /api/billing/portal",
    # whoever cannot pay must be able to ask
    "POST /api/support/create",
    "POST /api/support/tickets/{number}/messages",
    "POST /api/requests",  # a person decides, and the gate is asked then
    "POST /api/tenants/{name}/suspend",  # its own wish, as a stop
    # how somebody is told is theirs to say, most of all while they owe
    "PUT /api/notices/language",
    "PUT /api/notices/hook",
    "DELETE /api/notices/hook",
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    return list(all_routes(tmp_path_factory.mktemp("routes")))


def test_every_route_that_changes_something_asks_a_gate_of_the_matrix(routes: list[Route]) -> None:
    known = set(POLICY.gates.account) | set(POLICY.gates.server)
    for route in routes:
        if route.writes and route.role != "admin" and route.name not in UNGATED_WRITES:
            assert route.gate in known, f"{route.name} asks `{route.gate}`"
        if route.gate is not None:
            assert route.gate in known, f"{route.name} asks `{route.gate}`"


def test_every_gate_of_the_contract_is_asked_by_some_route(routes: list[Route]) -> None:
    asked = {route.gate for route in routes}
    later = {"repair.start", "edge.publish", "console.stream"}  # not HTTP routes, or not yet
    assert set(POLICY.gates.account) | set(POLICY.gates.server) <= asked | later


@pytest.mark.parametrize("state", list(CODES))
def test_each_cell_of_the_matrix_is_what_the_route_answers(site: Site, routes: list[Route], state: str) -> None:
    code, states = CODES[state]
    tenant = site.tenant()
    site.host.write_file(site.spec(tenant.server_id), "a.txt", "x")
    site.host.write_file(site.spec(tenant.server_id), "a.txt", "y")
    for route in routes:
        if route.gate is None or route.gate not in POLICY.gates.server or route.role == "admin":
            continue
        site.put_into(tenant.account_id, state, code, **states)  # each time: whatever is recorded decides anew
        allow = POLICY.gates.server[route.gate][state]
        answer = route.send(tenant.client, tenant)
        denied = answer.status_code == 402
        assert denied == (not allow), f"{state}: {route.name} answered {answer.status_code} {answer.text[:200]}"
        assert answer.status_code < 500, f"{state}: {route.name}"
        if denied:
            assert answer.json()["code"] == code
            assert answer.json()["billing"]["serverBillingState"] == state
            assert answer.json()["detail"].endswith(".")


def test_an_admin_may_also_do_what_the_policy_lists_and_nothing_else(site: Site, routes: list[Route]) -> None:
    tenant = site.tenant()
    also = POLICY.gates.may_also["admin"]
    for route in routes:
        if route.gate is not None and route.gate in POLICY.gates.server:
            allow = POLICY.gates.server[route.gate]["suspended_shutdown"] or route.gate in also
            site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
            answer = route.send(site.admin, tenant)
            assert (answer.status_code == 402) == (not allow), f"{route.name} answered {answer.status_code}"


@pytest.mark.parametrize(
    ("rung", "code"),
    [
        ("active", None),
        ("past_due", None),
        ("overdue_warning", "BILLING_PAST_GRACE"),
        ("final_warning", "BILLING_PAST_GRACE"),
        ("suspended", "BILLING_SUSPENDED"),
        ("retained", "BILLING_RETAINED"),
        ("pending_deletion", "BILLING_PENDING_DELETION"),
    ],
)
def test_new_servers_are_denied_from_the_first_warning_on(site: Site, rung: str, code: str | None) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "allowed", billing=rung)
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    answer = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": f"rung-{rung}"})
    assert (answer.status_code, answer.json().get("code")) == (202 if code is None else 402, code)


def test_no_plan_and_a_full_plan_have_codes_of_their_own_and_billing_comes_first(site: Site) -> None:
    tenant = site.tenant(plan="dev")
    order = {"name": "more", "kind": "dev", "accountId": tenant.account_id}

    def ordered(key: str) -> tuple[int, str | None]:
        answer = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": key})
        return answer.status_code, answer.json().get("code")

    assert [ordered(key) for key in ("1", "2")] == [(202, None)] * 2
    assert ordered("3") == (402, "PLAN_LIMIT_REACHED")
    site.put_into(tenant.account_id, "allowed", billing="overdue_warning")
    assert ordered("4") == (402, "BILLING_PAST_GRACE")
    assert ordered("2") == (202, None), "what was ordered before is answered as before"


def test_abuse_is_denied_with_its_own_code_and_a_payment_is_not_mentioned(site: Site) -> None:
    tenant = site.tenant()
    path = f"/api/admin/accounts/{tenant.account_id}/commands"
    assert site.admin.post(path, json={"event": "abuse_reported"}).status_code == 202
    assert site.admin.post(path, json={"event": "abuse_confirmed"}).status_code == 202
    answer = tenant.client.post(f"/api/servers/{tenant.server_id}/host/start")
    assert (answer.status_code, answer.json()["code"]) == (402, "ABUSE_SUSPENDED")
    assert "invoice" not in answer.json()["detail"]
    assert site.admin.post(path, json={"event": "abuse_cleared"}).status_code == 202
    assert tenant.client.post(f"/api/servers/{tenant.server_id}/host/start").status_code == 202


def test_a_suspension_that_holds_the_lock_is_waited_for_and_obeyed(site: Site) -> None:
    """The gate is decided under the lock that a suspension takes: a start that comes in the middle is denied."""
    tenant = site.tenant()
    answers: list[int] = []
    with site.database.begin() as conn:
        lock = "SELECT 1 FROM accounts WHERE id = :id FOR NO KEY UPDATE"
        conn.execute(text(lock), {"id": tenant.account_id})
        path = f"/api/servers/{tenant.server_id}/host/start"
        asking = threading.Thread(target=lambda: answers.append(tenant.client.post(path).status_code))
        asking.start()
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        ends_at = time.monotonic() + 60
        while not site.scalar(waiting) and time.monotonic() < ends_at:
            time.sleep(0.01)
        assert not answers
        conn.execute(
            text(
                "UPDATE accounts SET server_billing_state = 'suspended_shutdown', "
                "server_billing_code = 'BILLING_SUSPENDED' WHERE id = :id"
            ),
            {"id": tenant.account_id},
        )
    asking.join(60)
    assert answers == [402]
    assert site.scalar("SELECT desired FROM servers WHERE id = :id", id=tenant.server_id) == "stopped"


def test_an_application_with_a_route_that_forgot_its_gate_does_not_serve(tmp_path: Path) -> None:
    @get("/forgotten", sync_to_thread=False)
    def forgotten(server_id: FromPath[str]) -> str:
        return server_id

    router = Router("/api/servers/{server_id:str}", route_handlers=[forgotten], guards=[signed_in])
    app = Litestar([router], logging_config=None)
    assert len(list(gated_handlers(app))) == 1
    with pytest.raises(RuntimeError, match="forgotten"):
        refuse_ungated(app)


def test_unknown_ids_of_every_kind_are_answered_alike(site: Site, routes: list[Route]) -> None:
    tenant, other = site.tenant(), site.tenant()
    for route in routes:
        if route.gate is not None and "{server_id}" in route.path:
            foreign = route.send(other.client, tenant)
            unknown = route.send(other.client, tenant, path=route.at(tenant, server_id=MISSING))
            senseless = route.send(other.client, tenant, path=route.at(tenant, server_id="..%2f"))
            assert foreign.status_code == 404, route.name
            assert foreign.content == unknown.content == senseless.content, route.name
