"""How a customer is told: their language, and an address of theirs beside mail, which is their own business alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]
URL = "https://hooks.example.org/in"


def kept(site: Site, tenant: Tenant) -> tuple[str, str] | None:
    """Return the tenant's address and secret."""
    with site.database.begin() as conn:
        find = text("SELECT url, secret FROM hooks WHERE customer_id = :id")
        row = conn.execute(find, {"id": tenant.customer_id}).one_or_none()
    return None if row is None else (row[0], row[1])


def test_an_address_is_kept_with_a_secret_that_is_shown_once(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/notices")
    browser.send("/notices/hook", url=URL)
    first = kept(site, tenant)
    assert first is not None
    assert first[0] == URL
    assert first[1] in browser.text
    assert first[1] not in browser.open("/notices").answer.text
    assert browser.form("/notices/hook").fields["url"] == URL
    with site.database.begin() as conn:
        find = text("SELECT subject, body FROM letters WHERE key LIKE :key")
        (letter,) = conn.execute(find, {"key": f"hook:{tenant.customer_id}:%"}).all()
    assert URL in letter.body, "whoever did not do this is told"
    assert first[1] not in letter.body
    browser.send("/notices/hook", url=URL)
    second = kept(site, tenant)
    assert second is not None
    assert second[1] != first[1]
    browser.open("/notices").send("/notices/hook/remove")
    assert kept(site, tenant) is None


@pytest.mark.parametrize(
    "url", ["http://hooks.example.org/", "https://127.0.0.1/", "https://[::1]/", "https://a@b.example/", "x", ""]
)
def test_an_address_that_cannot_be_is_refused_in_words(site: Site, signed_in: SignIn, url: str) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/notices").send("/notices/hook", url=url)
    assert browser.answer.status_code == 400
    assert "The address cannot be used" in browser.text
    assert kept(site, tenant) is None
    assert tenant.client.put("/api/notices/hook", json={"url": url}).status_code == 400


def test_a_language_is_kept_and_has_to_be_one(site: Site, signed_in: SignIn) -> None:
    tenant = site.tenant()
    browser = signed_in(tenant).open("/notices")
    assert browser.send("/notices/language", language="de").path == "/notices"
    assert "Deutsch" in browser.text
    assert tenant.client.get("/api/notices").json()["language"] == "de"
    assert tenant.client.put("/api/notices/language", json={"language": "xx"}).status_code == 400
    assert browser.send("/notices/language", language="../de").answer.status_code == 400
    assert tenant.client.get("/api/notices").json()["language"] == "de"


def test_the_ways_are_the_owners_alone_and_forms_are_ours(site: Site, desk: Browser, signed_in: SignIn) -> None:
    owner, stranger = site.tenant(), site.tenant()
    made = owner.client.put("/api/notices/hook", json={"url": URL}).json()
    assert kept(site, owner) == (URL, made["secret"])
    assert "secret" not in str(owner.client.get("/api/notices").json())
    assert stranger.client.get("/api/notices").json()["hook"] is None
    assert stranger.client.delete("/api/notices/hook").status_code == 204
    assert kept(site, owner) == (URL, made["secret"])
    browser = signed_in(owner).open("/notices")
    for path in ("/notices/language", "/notices/hook", "/notices/hook/remove"):
        assert browser.client.post(path, data={"url": URL, "language": "de"}).status_code == 403, path
    assert desk.open("/notices").answer.status_code == 404
    assert site.admin.get("/api/notices").status_code == 403
    assert site.nobody.get("/api/notices").status_code == 401
    assert owner.client.delete("/api/notices/hook").status_code == 204
    assert kept(site, owner) is None
