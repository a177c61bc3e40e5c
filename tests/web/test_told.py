"""What a customer is told on each rung: plain, complete, with a next step and its date."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from engine.load import load_policy
from storage.settings import SHIPPED_POLICY
from tests.web.site import Site
from web.pages.timeline import HAPPENED
from web.told import WHY

POLICY = load_policy(SHIPPED_POLICY)
RUNGS = [(machine.name, state) for machine in POLICY.account_machines for state in machine.ladder]


@pytest.mark.parametrize(("machine", "rung"), RUNGS)
def test_every_rung_is_told_in_words_with_a_step_while_it_restricts(site: Site, machine: str, rung: str) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "allowed", **{machine: rung})
    until = datetime.now(UTC) + timedelta(days=14)
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE accounts SET retention_until = :at WHERE id = :id"), {"at": until, "id": tenant.account_id}
        )
    (mine,) = tenant.client.get("/api/account").json()
    announced = tenant.client.get("/api/announcements").json()
    assert mine["message"]
    assert mine["title"]
    assert not any(hole in mine["message"] for hole in ("{", "None", "not known"))
    is_well = rung == POLICY.machines[machine].initial
    assert (mine["nextStep"] is None) == is_well
    assert [each["text"] for each in announced] == ([] if is_well else [mine["message"]])


def test_two_causes_are_both_told_the_stricter_first(site: Site) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "allowed", billing="final_warning", abuse="stopped")
    with site.database.begin() as conn:
        conn.execute(
            text(
                "UPDATE accounts SET server_billing_state = 'suspended_shutdown', server_billing_machine = 'abuse' "
                "WHERE id = :id"
            ),
            {"id": tenant.account_id},
        )
    (mine,) = tenant.client.get("/api/account").json()
    assert mine["message"].index("report") < mine["message"].index("invoice")
    assert mine["nextStep"]["what"].startswith("Write to us")
    assert len(tenant.client.get("/api/announcements").json()) == 2


def test_a_deletion_that_was_approved_is_told_before_all_else_with_its_day(site: Site) -> None:
    tenant = site.tenant()
    day = datetime.now(UTC) + timedelta(days=6)
    notice = {"episode": 1, "round": 1, "status": "delivered", "promise_at": day.isoformat(), "machine": "deletion"}
    site.put_into(
        tenant.account_id, "retained", "BILLING_PENDING_DELETION", billing="pending_deletion", deletion="approved"
    )
    with site.database.begin() as conn:
        conn.execute(
            text(
                "UPDATE accounts SET notices = CAST(:notices AS jsonb), overdue_invoices = 1, "
                "retention_until = now() - interval '30 days' WHERE id = :id"
            ),
            {"notices": json.dumps({"send_deletion_notice": notice}), "id": tenant.account_id},
        )
    (mine,) = tenant.client.get("/api/account").json()
    assert mine["title"] == "Your servers may be deleted soon; a payment ends this"
    assert mine["nextStep"]["what"].startswith("Pay the open invoice now")
    assert datetime.fromisoformat(mine["nextStep"]["at"]) == day
    assert mine["payUrl"]


def test_the_date_beside_the_step_is_the_one_that_the_letter_promised(site: Site) -> None:
    tenant = site.tenant()
    promised = datetime.now(UTC) + timedelta(days=2)
    sooner = promised - timedelta(days=1)
    notice = {"episode": 1, "round": 1, "status": "delivered", "promise_at": promised.isoformat(), "machine": "billing"}
    site.put_into(tenant.account_id, "backup_blocked", "BILLING_BACKUP_BLOCKED", billing="final_warning")
    with site.database.begin() as conn:
        conn.execute(
            text("UPDATE accounts SET notices = CAST(:notices AS jsonb), due_at = :due WHERE id = :id"),
            {"notices": json.dumps({"send_final_warning": notice}), "due": sooner, "id": tenant.account_id},
        )
    (mine,) = tenant.client.get("/api/account").json()
    assert datetime.fromisoformat(mine["nextStep"]["at"]) == promised


def test_every_code_that_the_policy_denies_with_for_money_has_a_sentence() -> None:
    lines = [line.code for machine in POLICY.account_machines for line in machine.servers if line.code]
    codes = {*POLICY.gates.codes.values(), *(also.deny for also in POLICY.gates.also), *lines}
    assert {code for code in codes if code.startswith(("BILLING_", "PLAN_"))} == set(WHY)


def test_every_step_of_every_ladder_has_its_line_in_a_customers_timeline() -> None:
    elsewhere = {  # what letters and the state itself tell, and what is the desk's own
        "billing.ask_deletion", "billing.deletion_withdrawn", "deletion.back_up", "deletion.backed_up",
        "deletion.ended", "confirmation.ask", "confirmation.confirmed", "trial.tell", "trial.over",
    }  # fmt: skip
    steps = {rule.name for machine in POLICY.account_machines for rule in machine.rules}
    assert {name for name in steps if name.rpartition(".")[2] not in HAPPENED} == elsewhere


def test_a_customer_of_two_accounts_sees_the_debt_on_its_own_account_only(site: Site) -> None:
    tenant = site.tenant()
    order = {"customerId": tenant.customer_id, "stripeCustomerId": f"{tenant.stripe_customer}_b", "plan": "dev"}
    second = site.admin.post("/api/admin/accounts", json=order).json()["accountId"]
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    first, other = tenant.client.get("/api/account").json()
    assert (first["accountId"], first["billingStatus"]) == (tenant.account_id, "suspended")
    assert (other["accountId"], other["billingStatus"], other["nextStep"]) == (second, "active", None)
    free = {"name": "mine", "kind": "dev", "accountId": second}
    answer = tenant.client.post("/api/instances", json=free, headers={"Idempotency-Key": "second"})
    assert answer.status_code == 202
