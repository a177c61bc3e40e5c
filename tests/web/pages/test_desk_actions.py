"""What an operator does at the desk: every deed needs a reason, is audited with it, and says what came of it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from tests.doubles import stripe as double
from tests.web.pages.browser import Browser
from tests.web.site import SECRET, Site, Tenant
from tests.web.test_admin import fail_payment

SOON = (datetime.now(UTC) + timedelta(days=30)).strftime("%Y-%m-%dT%H:%M")
WHY = "the bank's strike, ticket 4711"


def audit_of(site: Site, tenant: Tenant) -> list[dict[str, str]]:
    """Return what happened to an account."""
    found: list[dict[str, str]] = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
    return found


def test_more_time_is_given_and_taken_back(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    page = f"/admin/accounts/{tenant.account_id}"
    desk.open(page).send(f"{page}/hold", kind="extension", until=SOON, reason=WHY)
    assert desk.path == page
    assert "Nothing presses this account until" in desk.text
    (held,) = [row for row in audit_of(site, tenant) if row["kind"] == "hold"]
    assert (held["because"], held["actor"]) == (WHY, "admin:ada@desk.example")
    (hold,) = site.admin.get("/api/admin/holds", params={"accountId": tenant.account_id}).json()
    desk.open("/admin/holds").send(f"/admin/holds/{hold['holdId']}/end", reason="it is over")
    assert "The hold has ended" in desk.text
    assert [row["because"] for row in audit_of(site, tenant) if row["kind"] == "hold"] == [WHY, "it is over"]


def test_exemption_begins_and_ends(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    page = f"/admin/accounts/{tenant.account_id}"
    desk.open(page).send(f"{page}/exempt", until=SOON, reason=WHY)
    assert "is exempt until" in desk.text
    desk.send(f"{page}/exempt", reason="no longer")
    assert "no longer exempt" in desk.text
    assert [row["because"] for row in audit_of(site, tenant) if row["action"] == "exempt"] == [WHY, "no longer"]


@pytest.mark.parametrize(
    ("cause", "events"),
    [("abuse", ["abuse_reported", "abuse_confirmed"]), ("admin", ["admin_suspended"])],
)
def test_suspension_now_climbs_every_rung_and_is_lifted_by_a_person(
    site: Site, desk: Browser, cause: str, events: list[str]
) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:  # an account from before its policy had this ladder
        conn.execute(
            text("UPDATE accounts SET states = states - :cause, episodes = episodes - :cause WHERE id = :id"),
            {"cause": cause, "id": tenant.account_id},
        )
    page = f"/admin/accounts/{tenant.account_id}"
    desk.open(page)
    desk.answer = desk.client.post(
        f"{page}/suspend", data={**desk.form(f"{page}/suspend").fields, "cause": cause, "reason": WHY}
    )
    assert f"is stopped for {cause}" in desk.text
    view = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert (view["serverBillingState"], view["states"][cause]) == ("suspended_shutdown", "stopped")
    said = [row["action"] for row in audit_of(site, tenant) if row["because"] == WHY]
    assert said == events
    again = desk.client.post(
        f"{page}/suspend", data={"proof": desk.form("/sign-out").fields["proof"], "cause": cause, "reason": WHY}
    )
    assert again.status_code == 409
    desk.open(page)
    desk.answer = desk.client.post(
        f"{page}/lift", data={**desk.form(f"{page}/lift").fields, "cause": cause, "reason": "they answered"}
    )
    assert "is lifted" in desk.text
    assert site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()["serverBillingState"] == "allowed"


@pytest.mark.parametrize("given", [{}, {"reason": "  "}, {"until": "soon", "reason": WHY}, {"reason": WHY}])
def test_deed_without_a_reason_or_a_date_is_refused_and_changes_nothing(
    site: Site, desk: Browser, given: dict[str, str]
) -> None:
    tenant = site.tenant()
    page = f"/admin/accounts/{tenant.account_id}"
    before = len(audit_of(site, tenant))
    desk.open(page).send(f"{page}/hold", **{"kind": "extension", "until": "", **given})
    assert desk.answer.status_code == 400
    assert "This was not done" in desk.text
    assert f'href="{page}"' in desk.answer.text
    assert len(audit_of(site, tenant)) == before


def test_debt_ladder_cannot_be_climbed_by_hand(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    page = f"/admin/accounts/{tenant.account_id}"
    proof = desk.open(page).form("/sign-out").fields["proof"]
    for deed in ("suspend", "lift"):
        answer = desk.client.post(f"{page}/{deed}", data={"proof": proof, "cause": "billing", "reason": WHY})
        assert answer.status_code == 404


def test_parked_event_is_taken_again_or_set_aside(site: Site, desk: Browser) -> None:
    for name in ("one", "two"):
        fail_payment(site, "cus_desk_nobody", f"evt_desk_{name}")
    desk.open("/admin/review").send("/admin/events/evt_desk_one/replay", reason=WHY)
    assert "evt_desk_one is parked" in desk.text
    tenant = site.tenant()
    with site.database.begin() as conn:
        known = "UPDATE accounts SET stripe_customer_id = 'cus_desk_nobody' WHERE id = :id"
        conn.execute(text(known), {"id": tenant.account_id})
    desk.send("/admin/events/evt_desk_one/replay", reason=WHY)
    assert "evt_desk_one is applied" in desk.text
    desk.send("/admin/events/evt_desk_two/dismiss", reason=WHY)
    assert "evt_desk_two is set aside" in desk.text
    assert site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()["overdueInvoices"] == 1
    assert site.scalar("SELECT status FROM stripe_events WHERE id = 'evt_desk_two'") == "ignored"
    assert site.scalar("SELECT count(*) FROM audit WHERE canonical LIKE '%_event%' AND canonical LIKE '%4711%'") == 3
    twice = site.admin.post("/api/admin/stripe-events/evt_desk_two/dismiss", json={"reason": WHY})
    assert (twice.status_code, twice.json()["code"]) == (409, "ALREADY_SETTLED")
    assert site.admin.post("/api/admin/stripe-events/evt_none/replay", json={"reason": WHY}).status_code == 404


def test_notice_whose_end_is_unknown_is_settled(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    fail_payment(site, tenant.stripe_customer, "evt_desk_unknown")
    with site.database.begin() as conn:
        lost = "UPDATE intents SET status = 'unknown' WHERE account_id = :id AND kind = 'notice' RETURNING id"
        intent_id = conn.execute(text(lost), {"id": tenant.account_id}).scalar_one()
    assert "Notices unknown or failed: 1" in desk.open("/admin").text
    assert "Unknown or failed: send_billing_warning" in desk.open(f"/admin/accounts/{tenant.account_id}").text
    path = f"/admin/intents/{intent_id}/resolve"
    assert desk.open("/admin/review").send(path, outcome="", reason=WHY).answer.status_code == 400
    desk.open("/admin/review").send(path, outcome="delivered", reason=WHY)
    assert "It counts as done" in desk.text
    assert site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()["warningSentAt"] is not None
    assert any(WHY in (row["because"] or "") for row in audit_of(site, tenant) if row["kind"] == "notice")


def test_notice_that_failed_is_sent_again_for_a_reason_and_one_that_arrived_is_not(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    fail_payment(site, tenant.stripe_customer, "evt_desk_again")
    page = f"/admin/accounts/{tenant.account_id}"
    notice = {"notice": "send_billing_warning", "reason": WHY}

    def become(status: str, told: str) -> None:
        """Let its last round have ended so."""
        of_intent = (
            "UPDATE intents SET status = :status "
            "WHERE account_id = :id AND intent = 'send_billing_warning' AND status = 'open'"
        )
        of_account = (
            "UPDATE accounts SET notices = "
            "jsonb_set(notices, '{send_billing_warning,status}', to_jsonb(CAST(:told AS text))) WHERE id = :id"
        )
        with site.database.begin() as conn:
            conn.execute(text(of_intent), {"status": status, "id": tenant.account_id})
            conn.execute(text(of_account), {"told": told, "id": tenant.account_id})

    become("failed", "failed")
    desk.open(page).send(f"{page}/notice", **notice)
    assert "send_billing_warning is on its way" in desk.text
    waits = (
        "SELECT count(*) FROM intents WHERE account_id = :id AND intent = 'send_billing_warning' AND status = 'open'"
    )
    assert site.scalar(waits, id=tenant.account_id) == 1
    assert any(
        WHY in (row["because"] or "") and row["actor"] == "admin:ada@desk.example" for row in audit_of(site, tenant)
    )
    become("done", "delivered")
    proof = desk.open(page).form("/sign-out").fields["proof"]
    desk.answer = desk.client.post(f"{page}/notice", data={"proof": proof, **notice})
    assert "send_billing_warning was not sent" in desk.text
    assert site.scalar(waits, id=tenant.account_id) == 0


def test_everybody_is_held_and_a_brake_released(site: Site, desk: Browser) -> None:
    with site.database.begin() as conn:
        conn.execute(text("INSERT INTO brakes (name, latched_at) VALUES ('suspension_brake', now())"))
    assert "Brakes that have tripped: 1" in desk.open("/admin").text
    release = "/admin/brakes/suspension_brake/release"
    assert desk.open("/admin/holds").send(release, allowance="many", reason=WHY).answer.status_code == 400
    desk.open("/admin/holds").send(release, allowance="5", reason=WHY)
    assert "suspension_brake is released; 5 may pass now" in desk.text
    desk.send("/admin/holds", kind="processor_outage", until="", reason=WHY)
    assert "Nobody is pressed until somebody ends this" in desk.text
    (hold,) = [each for each in site.admin.get("/api/admin/holds").json() if each["accountId"] is None]
    desk.send(f"/admin/holds/{hold['holdId']}/end", reason="they are back")
    assert "The hold has ended" in desk.text


def test_words_about_a_deed_are_shown_to_whom_they_were_sealed_for(desk: Browser) -> None:
    assert "call 555" not in desk.open("/admin?told=call+555&seal=00000000000000000000000000000000").text
    assert "call 555" not in desk.open("/admin?told=call+555&seal=%E9").text


def test_a_lost_dispute_is_shown_and_settled_by_a_person(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    page, dispute = f"/admin/accounts/{tenant.account_id}", f"dp_{tenant.stripe_customer}"
    now, charge = int(time.time()), f"ch_{tenant.stripe_customer}"
    for event in (
        double.charge_event("succeeded", charge, created=now, customer=tenant.stripe_customer),
        double.dispute_event("created", dispute, created=now, charge=charge),
    ):
        deliver(site, event)
    desk.open(page)
    assert dispute in desk.text
    assert "Settle a lost dispute" not in desk.text
    deliver(site, double.dispute_event("closed", dispute, created=now + 1, charge=charge))
    other = site.tenant()
    desk.open(page).send(f"{page}/settle", dispute=dispute, reason=WHY)
    assert f"Dispute {dispute} is settled" in desk.text
    (row,) = [row for row in audit_of(site, tenant) if row["action"] == "settle_dispute"]
    assert (row["because"], row["actor"]) == (WHY, "admin:ada@desk.example")
    foreign = f"/admin/accounts/{other.account_id}"
    fields = desk.open(foreign).form(f"{foreign}/hold").fields
    answer = desk.client.post(f"{foreign}/settle", data={**fields, "dispute": dispute, "reason": WHY})
    assert answer.status_code == 404


def test_a_dispute_that_is_not_lost_is_not_settled(site: Site) -> None:
    tenant = site.tenant()
    now, charge, dispute = int(time.time()), f"ch_{tenant.stripe_customer}", f"dp_{tenant.stripe_customer}"
    deliver(site, double.charge_event("succeeded", charge, created=now, customer=tenant.stripe_customer))
    deliver(site, double.dispute_event("created", dispute, created=now, charge=charge))
    answer = site.admin.post(f"/api/admin/disputes/{dispute}/settle", json={"reason": WHY})
    assert (answer.status_code, answer.json()["code"]) == (409, "NOT_LOST")
    deliver(site, double.dispute_event("closed", dispute, created=now + 1, charge=charge))
    for _ in range(2):
        assert site.admin.post(f"/api/admin/disputes/{dispute}/settle", json={"reason": WHY}).status_code == 200
    assert site.admin.post("/api/admin/disputes/dp_other/settle", json={"reason": WHY}).status_code == 404


def deliver(site: Site, event: double.Event) -> None:
    """Send an event as Stripe does."""
    body = double.body_of(event)
    headers = {"Stripe-Signature": double.signature(body, SECRET)}
    assert site.nobody.post("/api/billing/webhook", content=body, headers=headers).status_code == 200
