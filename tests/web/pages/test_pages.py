"""Every page, read off the application: a new one is held to this without anybody thinking of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from storage.settings import Settings
from tests.web.pages.browser import Browser
from tests.web.routes import MISSING
from tests.web.site import Site, Tenant
from web.app import create_app

OPEN = {"/sign-in", "/sign-out", "/register", "/verify", "/password", "/password/new", "/static/{name}"}

SignIn = Callable[[Tenant | str], Browser]


def pages(data: Path) -> Iterator[tuple[str, str]]:
    """Yield method and path of everything that is a page."""
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none", data_dir=data))
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if path.startswith(("/api", "/schema", "/metrics")):
            continue
        for handler in getattr(route, "route_handlers", ()):
            yield from ((method, path) for method in sorted(set(handler.http_methods) - {"OPTIONS"}))


def filled(path: str, value: str = MISSING) -> str:
    """Return the path with an id in each of its holes."""
    return re.sub(r"\{\w+\}", value, path)


def test_whoever_has_not_signed_in_is_sent_to_do_so(site: Site, tmp_path: Path) -> None:
    for method, path in pages(tmp_path):
        if path not in OPEN:
            answer = site.nobody.request(method, filled(path))
            assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/sign-in"), (method, path)


def test_form_that_is_not_ours_changes_nothing(site: Site, tmp_path: Path, signed_in: SignIn) -> None:
    people = [signed_in(site.tenant()), signed_in("forms@desk.example")]
    for method, path in pages(tmp_path):
        if method != "GET":
            for browser in people:
                answer = browser.client.request(method, filled(path), data={"proof": "wrong"})
                assert answer.status_code in {403, 404}, (method, path, answer.text)
                if not path.startswith("/admin"):
                    assert answer.status_code == 403, (method, path)


def test_to_a_customer_there_is_no_desk(site: Site, tmp_path: Path, signed_in: SignIn) -> None:
    browser = signed_in(site.tenant())
    for method, path in pages(tmp_path):
        if path.startswith("/admin"):
            assert browser.client.request(method, filled(path)).status_code == 404, (method, path)


def test_what_another_tenant_has_is_not_there(site: Site, tmp_path: Path, signed_in: SignIn) -> None:
    other, browser = site.tenant(), signed_in(site.tenant())
    proof = browser.open("/").form("/sign-out").fields["proof"]
    for method, path in pages(tmp_path):
        if "{" in path and path not in OPEN and not path.startswith("/admin"):
            for theirs in {other.server_id, other.account_id, other.customer_id, MISSING, "no-id"}:
                answer = browser.client.request(
                    method, filled(path, theirs), data={"proof": proof} if method != "GET" else None
                )
                assert answer.status_code == 404, (method, path, answer.text)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "@everyone", "a\r\nb", "x" * 100, "\u202eevil", "{{7*7}}"]
)
def test_names_are_shown_harmlessly(site: Site, signed_in: SignIn, name: str) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        conn.exec_driver_sql("UPDATE servers SET name = %s WHERE id = %s", (name, tenant.server_id))
        conn.exec_driver_sql("UPDATE customers SET name = %s WHERE id = %s", (name, tenant.customer_id))
    html = signed_in(tenant).open("/").answer.text
    assert "<script>alert" not in html
    assert "49" not in re.sub(r"\d{3,}|[0-9a-f-]{36}", "", html.partition("<main")[2].partition("</h1>")[0])
