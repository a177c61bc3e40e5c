"""Parting with a server in the browser: its name is typed, billing is asked, and thinking again is possible."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from storage import backups
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]


def lifecycle(site: Site, tenant: Tenant) -> str:
    return str(site.scalar("SELECT lifecycle FROM servers WHERE id = :id", id=tenant.server_id))


def test_a_server_is_deleted_by_its_typed_name_and_kept_after_all(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    browser.open(base).send(f"{base}/delete", name="Overworld")
    assert (browser.answer.status_code, lifecycle(site, tenant)) == (409, "stopped")
    assert "not the name of this server" in browser.text
    browser.open(base).send(f"{base}/delete", name="overworld")
    assert (browser.path, lifecycle(site, tenant)) == (base, "deleting")
    assert not [form for form in browser.forms if form.action == f"{base}/delete"]
    browser.send(f"{base}/undelete")
    assert (browser.path, lifecycle(site, tenant)) == (base, "stopped")


def test_a_server_is_set_up_anew_by_its_typed_name(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    asked = "SELECT count(*) FROM intents WHERE server_id = :id AND intent = 'reinstall_server'"
    browser.open(base).send(f"{base}/reinstall", name="another")
    assert (browser.answer.status_code, site.scalar(asked, id=tenant.server_id)) == (409, 0)
    browser.open(base).send(f"{base}/reinstall", name="overworld")
    assert (browser.answer.status_code, site.scalar(asked, id=tenant.server_id)) == (200, 1)
    assert "Setting the server up anew" in browser.text


def test_while_it_is_suspended_the_page_offers_neither_and_says_why(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}"
    shown = browser.open(base)
    assert not [form for form in shown.forms if form.action in {f"{base}/delete", f"{base}/reinstall"}]
    proof = shown.form("/sign-out").fields["proof"]
    for verb in ("delete", "reinstall"):
        answer = browser.client.post(f"{base}/{verb}", data={"proof": proof, "name": "overworld"})
        assert answer.status_code == 402
    assert lifecycle(site, tenant) == "stopped"


@pytest.mark.parametrize("keep", ["", "0", "many", "1e9", "-1"])
def test_pruning_says_how_many_stay(site: Site, signed_in: SignIn, keep: str) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        for _ in range(3):
            made = backups.create(conn, tenant.server_id)  # type: ignore[arg-type]
            backups.complete(conn, made.id, size_bytes=1, sha256="0" * 64)
    browser, base = signed_in(tenant), f"/servers/{tenant.server_id}/backups"
    asked = "SELECT count(*) FROM intents WHERE server_id = :id AND intent = 'prune_backups'"
    browser.open(base).send(f"{base}/prune", keep=keep)
    assert (browser.answer.status_code, site.scalar(asked, id=tenant.server_id)) == (400, 0)
    browser.open(base).send(f"{base}/prune", keep="2")
    assert (browser.path, site.scalar(asked, id=tenant.server_id)) == (base, 1)
