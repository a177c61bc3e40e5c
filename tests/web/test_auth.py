"""Tokens: who passes, who does not, and who is asked to wait."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.web.site import ADMIN, Site
from web.auth import FAILURES_PER_MINUTE, FailureLimit


@pytest.fixture(autouse=True)
def _limited(site: Site) -> Iterator[None]:
    site.app.state.services.failures = FailureLimit()
    yield
    site.app.state.services.failures = FailureLimit(per_minute=1_000_000)


def test_the_hundred_and_first_wrong_token_of_a_minute_waits_and_right_ones_never_do(site: Site) -> None:
    tenant = site.tenant()
    wrong = site.client("wrong")
    statuses = [wrong.get("/api/account").status_code for _ in range(FAILURES_PER_MINUTE)]
    assert statuses == [401] * FAILURES_PER_MINUTE
    limited = wrong.get("/api/account")
    assert (limited.status_code, limited.json()["code"]) == (429, "TOO_MANY_FAILED_TOKENS")
    assert 1 <= int(limited.headers["retry-after"]) <= 61
    assert tenant.client.get("/api/account").status_code == 200
    assert site.admin.get("/api/admin/brakes").status_code == 200


def test_requests_without_a_token_are_not_failed_tokens(site: Site) -> None:
    assert {site.nobody.get("/api/account").status_code for _ in range(FAILURES_PER_MINUTE + 20)} == {401}
    assert site.client("wrong").get("/api/account").status_code == 401


@pytest.mark.parametrize("header", ["bearer {token}", "BEARER {token}", "Bearer  {token}"])
def test_the_scheme_is_read_as_http_reads_it(site: Site, header: str) -> None:
    tenant = site.tenant()
    answer = site.nobody.get("/api/account", headers={"Authorization": header.format(token=tenant.token)})
    assert answer.status_code == 200


@pytest.mark.parametrize("token", [ADMIN[:-1], ADMIN + "x", ADMIN.upper(), "x" * 600, "ä", "a\tb"])
def test_nearly_the_admin_token_is_not_the_admin_token(site: Site, token: str) -> None:
    answer = site.nobody.get("/api/admin/brakes", headers=[(b"Authorization", f"Bearer {token}".encode())])
    assert answer.status_code == 401


def test_two_headers_are_refused_rather_than_guessed_between(site: Site) -> None:
    tenant = site.tenant()
    headers = [("Authorization", f"Bearer {ADMIN}"), ("Authorization", f"Bearer {tenant.token}")]
    assert site.nobody.get("/api/account", headers=headers).status_code == 401


def test_only_a_hash_of_a_customers_token_is_kept(site: Site) -> None:
    tenant = site.tenant()
    found = "SELECT count(*) FROM customers c WHERE c::text LIKE '%' || :token || '%'"
    assert site.scalar(found, token=tenant.token) == 0
    assert len(tenant.token) >= 43, "256 random bits"


def test_an_admin_has_no_account_of_their_own(site: Site) -> None:
    answer = site.admin.get("/api/account")
    assert (answer.status_code, answer.json()["code"]) == (403, "CUSTOMERS_ONLY")
    assert site.admin.get("/api/announcements").status_code == 200
