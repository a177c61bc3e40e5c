"""Tenants under a policy that suspends whole accounts only, as those do that are older than `each_server`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from storage import policies
from storage.settings import SHIPPED_POLICY
from tests.web.site import Site


@pytest.fixture(scope="module")
def older(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site, where no machine is one of each server."""
    folder = tmp_path_factory.mktemp("older") / "policy"
    shutil.copytree(SHIPPED_POLICY, folder, ignore=shutil.ignore_patterns("scenarios"))
    for name in ("tenant.yaml", "admin.yaml"):
        lines = (folder / name).read_text(encoding="utf-8").splitlines()
        (folder / name).write_text("\n".join(each for each in lines if "each_server" not in each), encoding="utf-8")
    policies.deploy_folder(site.database.engine, folder, {}, by="test")
    yield site
    policies.deploy_folder(site.database.engine, SHIPPED_POLICY, {}, by="test")


def test_one_that_is_alone_in_its_account_is_suspended_with_it_and_goes_on(older: Site) -> None:
    tenant = older.tenant()
    answer = tenant.client.post(f"/api/tenants/{tenant.name}/suspend", json={"reason": "for the winter"})
    assert (answer.status_code, answer.json()["states"]["tenant"]) == (202, "paused")
    account = older.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert account["serverBillingState"] == "suspended_shutdown"
    assert older.admin.post(f"/api/admin/tenants/{tenant.name}/resume").status_code == 202
    account = older.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert account["serverBillingState"] == "allowed"


def test_one_that_shares_its_account_is_not_and_the_others_go_on(older: Site) -> None:
    tenant = older.tenant()
    older.add_server(tenant.account_id)
    for client in (tenant.client, older.admin):
        answer = client.post(f"/api/tenants/{tenant.name}/suspend")
        assert (answer.status_code, answer.json()["code"]) == (409, "ACCOUNT_SHARED")
    account = older.admin.get(f"/api/admin/accounts/{tenant.account_id}").json()
    assert account["serverBillingState"] == "allowed"
