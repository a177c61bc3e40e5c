"""Two admins give an account up, at the desk and over the API: who may do what, with which words, and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import text

from storage import ledger, policies
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant
from web.sessions import PROOF_HEADER, proof_of

ADA, GRACE = "ada@desk.example", "grace@desk.example"
WHY = "four reminders, no answer"


@pytest.fixture
def switched_on(site: Site) -> Iterator[None]:
    services = site.app.state.services
    before = services.settings
    services.settings = replace(before, deletion=True)
    yield
    services.settings = before


@pytest.fixture
def two(site: Site, desk: Browser, signed_in: Callable[[Tenant | str], Browser]) -> tuple[Browser, Browser]:
    """Ada and Grace at their desks."""
    return desk, signed_in(GRACE)


def retained(site: Site) -> Tenant:
    """Return a tenant whose deletion may be asked for: owing, kept for its time, and warned."""
    tenant = site.tenant()
    long_ago = (datetime.now(UTC) - timedelta(days=40)).isoformat()
    stamps = {"retention_told_at": long_ago, "retention_warned_at": long_ago}
    with site.database.begin() as conn:
        conn.execute(
            text(
                "UPDATE accounts SET billing_status = 'retained', states = states || '{\"billing\": \"retained\"}', "
                "episodes = episodes || '{\"billing\": 1}', overdue_invoices = 1, past_due_since = :ago, "
                "warning_sent_at = :ago, final_warning_sent_at = :ago, backup_blocked_at = :ago, suspended_at = :ago, "
                "retention_until = CAST(:ago AS timestamptz) + interval '14 days', stamps = CAST(:stamps AS jsonb), "
                "server_billing_state = 'retained', server_billing_code = 'BILLING_RETAINED' WHERE id = :id"
            ),
            {"ago": long_ago, "stamps": json.dumps(stamps), "id": tenant.account_id},
        )
    return tenant


def name_of(site: Site, tenant: Tenant) -> str:
    return str(site.scalar("SELECT name FROM customers WHERE id = :id", id=tenant.customer_id))


def ask(browser: Browser, tenant: Tenant, what: str, **body: str) -> httpx.Response:
    """Ask over the API, in an admin's session."""
    headers = {PROOF_HEADER: proof_of(browser.client.cookies["forbear"])}
    path = f"/api/admin/accounts/{tenant.account_id}/deletion/{what}"
    return browser.client.post(path, json={"reason": WHY, **body}, headers=headers)


def states(site: Site, tenant: Tenant) -> tuple[str, str]:
    """Return the billing rung and where the deletion stands."""
    found = site.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()["states"]
    return found["billing"], found["deletion"]


def pay(site: Site, tenant: Tenant) -> None:
    with site.database.begin() as conn:
        account = UUID(tenant.account_id)
        ledger.lock(conn, [account])
        conn.execute(
            text("UPDATE accounts SET overdue_invoices = 0, past_due_since = NULL WHERE id = :id"), {"id": account}
        )
        ledger.record(conn, policies.in_force(conn), account, actor="stripe")


@pytest.mark.usefixtures("switched_on")
def test_two_admins_walk_it_at_the_desk_and_everything_is_audited(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    page, name = f"/admin/accounts/{tenant.account_id}", name_of(site, tenant)
    ada.open(page).send(f"{page}/deletion/request", name=name, reason=WHY)
    assert "Nothing happens until another admin has approved it" in ada.text
    assert "You asked for it, so another admin has to approve it" in ada.text
    assert not [form for form in ada.forms if form.action.endswith("/deletion/approve")]
    grace.open(page).send(f"{page}/deletion/approve", name=name, reason="checked")
    assert "The last notice is on its way" in grace.text
    assert states(site, tenant) == ("pending_deletion", "approved")
    ada.open(page).send(f"{page}/deletion/withdraw", reason="they called")
    assert states(site, tenant) == ("retained", "none")
    told = [
        (row["action"], row["actor"], row["because"])
        for row in site.admin.get(f"/api/admin/accounts/{tenant.account_id}/events").json()
        if row["action"].startswith("deletion_") and row["kind"] == "admin"
    ]
    assert told == [
        ("deletion_requested", f"admin:{ADA}", WHY),
        ("deletion_approved", f"admin:{GRACE}", "checked"),
        ("deletion_withdrawn", f"admin:{ADA}", "they called"),
    ]


@pytest.mark.usefixtures("switched_on")
def test_customer_reads_in_the_timeline_that_it_was_approved_and_when_it_would_begin(
    site: Site, two: tuple[Browser, Browser], signed_in: Callable[[Tenant | str], Browser]
) -> None:
    ada, grace = two
    tenant = retained(site)
    name = name_of(site, tenant)
    assert ask(ada, tenant, "request", name=name).status_code == 202
    assert ask(grace, tenant, "approve", name=name).status_code == 202
    line = signed_in(tenant).open("/").text.partition("What happened, and what comes next")[2]
    assert "The deletion of your servers was approved" in line
    assert "Your servers would be deleted for good, after a last backup" in line
    (told,) = tenant.client.get("/api/account").json()
    assert (told["nextStep"]["what"] != "", told["nextStep"]["at"]) == (True, None), "kept until a day that is over"


@pytest.mark.usefixtures("switched_on")
def test_only_the_typed_name_and_a_named_admin_count(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    name, path = name_of(site, tenant), f"/api/admin/accounts/{tenant.account_id}"
    wrong = ask(ada, tenant, "request", name=name.upper())
    assert (wrong.status_code, wrong.json()["code"]) == (409, "NAME_DIFFERS")
    nobody = site.admin.post(f"{path}/deletion/request", json={"name": name, "reason": WHY})
    assert (nobody.status_code, nobody.json()["code"]) == (403, "NAMED_ADMIN_NEEDED")
    by_hand = site.admin.post(f"{path}/commands", json={"event": "deletion_approved"})
    assert (by_hand.status_code, by_hand.json()["code"]) == (409, "ASK_ELSEWHERE")
    assert site.admin.post(f"{path}/commands", json={"event": "deletion_requested"}).status_code == 202
    unknown = ask(grace, tenant, "approve", name=name)
    assert unknown.status_code == 409
    assert "shared token" in unknown.json()["detail"]
    assert ask(grace, tenant, "withdraw").status_code == 202
    assert ask(ada, tenant, "request", name=name).status_code == 202
    assert ask(grace, tenant, "approve", name="somebody").json()["code"] == "NAME_DIFFERS"
    assert site.admin.get(f"{path}/deletion").json()["requestedBy"] == f"admin:{ADA}"
    assert states(site, tenant) == ("pending_deletion", "none")


@pytest.mark.usefixtures("switched_on")
def test_two_admins_race_and_one_tries_twice(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    name = name_of(site, tenant)
    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(lambda who: ask(who, tenant, "request", name=name).status_code, [ada, grace, ada, grace]))
    assert sorted(asked) == [202, 409, 409, 409]
    first, second = two if asked.index(202) % 2 == 0 else (grace, ada)
    with ThreadPoolExecutor(4) as pool:
        again = list(
            pool.map(lambda who: ask(who, tenant, "approve", name=name).status_code, [first, first, second, second])
        )
    assert again[:2] == [409, 409], "whoever asked approves nothing, however often"
    assert sorted(again[2:]) == [202, 409]
    assert states(site, tenant) == ("pending_deletion", "approved")
    sent = "SELECT count(*) FROM intents WHERE account_id = :id AND intent = 'send_deletion_notice'"
    assert site.scalar(sent, id=tenant.account_id) == 1


@pytest.mark.usefixtures("switched_on")
def test_an_approval_after_the_payment_destroys_nothing(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    name = name_of(site, tenant)
    assert ask(ada, tenant, "request", name=name).status_code == 202
    pay(site, tenant)
    late = ask(grace, tenant, "approve", name=name)
    assert (late.status_code, late.json()["code"]) == (409, "COMMAND_REFUSED")
    assert states(site, tenant) == ("active", "none")
    asked = (
        "SELECT count(*) FROM intents WHERE account_id = :id AND intent = ANY('{destroy_servers,send_deletion_notice}')"
    )
    assert site.scalar(asked, id=tenant.account_id) == 0


def test_it_is_off_and_the_desk_says_so(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    name = name_of(site, tenant)
    assert ask(ada, tenant, "request", name=name).status_code == 202
    refused = ask(grace, tenant, "approve", name=name)
    assert refused.status_code == 409
    assert "`deletion_switch` does not permit it" in refused.json()["detail"]
    page = grace.open(f"/admin/accounts/{tenant.account_id}")
    assert "This deployment deletes nothing" in page.text
    found = site.admin.get(f"/api/admin/accounts/{tenant.account_id}/deletion").json()
    assert (found["rung"], found["switchedOn"], found["servers"]) == ("requested", False, 1)


@pytest.mark.usefixtures("switched_on")
def test_an_account_without_servers_has_nothing_to_delete(site: Site, two: tuple[Browser, Browser]) -> None:
    ada, grace = two
    tenant = retained(site)
    with site.database.begin() as conn:
        conn.execute(text("UPDATE servers SET lifecycle = 'deleted' WHERE id = :id"), {"id": tenant.server_id})
    name = name_of(site, tenant)
    ask(ada, tenant, "request", name=name)
    assert ask(grace, tenant, "approve", name=name).json()["code"] == "NOTHING_TO_DELETE"


def test_an_account_that_owes_nothing_shows_none_of_it(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    assert "Deletion of this account" not in desk.open(f"/admin/accounts/{tenant.account_id}").text
