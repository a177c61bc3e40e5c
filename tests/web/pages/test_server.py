"""A server's page: its state in the words of the policy, buttons that work, and reasons where they do not."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import text

from storage import operations
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]


def put(site: Site, tenant: Tenant, lifecycle: str, observed: str = "stopped") -> None:
    """Put the server into a condition, as workers and observations would have."""
    with site.database.begin() as conn:
        change = text("UPDATE servers SET lifecycle = :lifecycle, observed = :observed WHERE id = :id")
        conn.execute(change, {"lifecycle": lifecycle, "observed": observed, "id": tenant.server_id})


def test_button_starts_the_server_by_the_way_of_the_api(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    browser.open(base).send(f"{base}/start")
    assert (browser.path, browser.answer.status_code) == (base, 200)
    assert "Starting" in browser.text
    assert site.scalar("SELECT desired FROM servers WHERE id = :id", id=tenant.server_id) == "running"
    because = "SELECT count(*) FROM intents WHERE server_id = :id AND intent = 'start_server' AND status = 'open'"
    assert site.scalar(because, id=tenant.server_id) == 1


def test_suspended_server_looks_suspended_and_nothing_else(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    for state, code, rung in (
        ("suspended_shutdown", "BILLING_SUSPENDED", "suspended"),
        ("retained", "BILLING_RETAINED", "retained"),
    ):
        site.put_into(tenant.account_id, state, code, billing=rung)
        for lifecycle in ("stopped", "stopping", "failed", "running", "provisioning"):
            put(site, tenant, lifecycle, "unknown")
            shown = browser.open(base).text
            assert "Server suspended due to billing status" in shown
            assert "Needs a look" not in shown, lifecycle
            assert not {"offline", "broken"} & set(shown.lower().split()), lifecycle
            assert "This is not possible while your servers are stopped for an open invoice." in shown
            assert {"start", "restart"} <= blocked(browser)
        refused = browser.send(f"{base}/start")
        assert refused.answer.status_code == 402
        assert f'href="{base}"' in refused.answer.text
    assert site.scalar("SELECT desired FROM servers WHERE id = :id", id=tenant.server_id) == "stopped"


def blocked(browser: Browser) -> set[str]:
    """Return the buttons that are blocked, each with a reason that it names."""
    html = browser.answer.text
    found = re.findall(r'action="[^"]*/(\w+)">.*?<button[^>]* disabled aria-describedby="([^"]+)"', html)
    assert all(f'id="{reason}"' in html for _, reason in found)
    return {verb for verb, _ in found}


def test_paused_backups_are_said_on_the_page(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "backup_blocked", "BILLING_BACKUP_BLOCKED", billing="final_warning")
    shown = signed_in(tenant).open(f"/servers/{tenant.server_id}").text
    assert "Backups disabled due to billing status" in shown
    assert "suspended due to" not in shown


def test_blocked_button_says_why(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant)
    everything = {"start", "restart", "stop"}
    for lifecycle, named, words in (
        ("running", {"start"}, "It runs already."),
        ("stopped", {"stop"}, "It is stopped already."),
        ("failed", set(), "Needs a look"),
        ("backing_up", everything, "Wait until what is under way has ended."),
    ):
        put(site, tenant, lifecycle, "running" if lifecycle == "running" else "stopped")
        browser.open(f"/servers/{tenant.server_id}")
        assert words in browser.text
        assert blocked(browser) == named, lifecycle


def test_making_of_a_server_shows_its_phase_and_looks_again_by_itself(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    order = {"name": "second", "kind": "game", "accountId": tenant.account_id}
    asked = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "page"}).json()
    operation = tenant.client.get(f"/api/operations/{asked['operationId']}").json()
    with site.database.begin() as conn:
        operations.progress(conn, operation["operationId"], "in_progress", phase="create")
    browser = signed_in(tenant).open("/")
    assert "ordered" in browser.text
    assert '<ul class="things" data-live="servers-1" data-waits>' in browser.answer.text
    browser.open(f"/servers/{operation['serverId']}")
    assert "Finding a place Making it … Starting it" in browser.text.replace("Making it…", "Making it …")
    assert 'class="now" aria-current="step"' in browser.answer.text
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in browser.answer.text
    with site.database.begin() as conn:
        operations.fail(conn, operation["operationId"], error="There was no room.", reason="full", phase="create")
    browser.open(browser.path)
    assert "Making it : this did not work" in browser.text.replace("Making it:", "Making it :")
    assert "There was no room." in browser.text


def test_server_that_is_gone_has_no_page(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    put(site, tenant, "deleted")
    assert signed_in(tenant).open(f"/servers/{tenant.server_id}").answer.status_code == 404
