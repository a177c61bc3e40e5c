"""Every page, read off the application: a new one is held to this without anybody thinking of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from storage import notes
from storage.settings import Settings
from tests.web.pages.browser import Browser
from tests.web.routes import MISSING, all_routes
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
    customer, admin = signed_in(site.tenant()), signed_in("forms@desk.example")
    for method, path in pages(tmp_path):
        if method != "GET":
            for given in ({}, {"proof": ""}, {"proof": "wrong"}):
                browser = admin if path.startswith("/admin") else customer
                answer = browser.client.request(method, filled(path), data=given)
                assert answer.status_code == 403, (method, path, given, answer.text)


def test_session_changes_nothing_through_the_api_without_the_proof(
    site: Site, tmp_path: Path, signed_in: SignIn
) -> None:
    tenant = site.tenant()
    people = {"customer": signed_in(tenant), "admin": signed_in("api@desk.example")}
    before = site.trace()
    for route in all_routes(tmp_path):
        if route.writes and route.role in people:
            client = people[route.role].client
            for headers in ({}, {"x-forbear-proof": "wrong"}, {"origin": site.url}):
                answer = route.send(client, tenant, headers={**route.sound.headers, **headers})
                assert answer.status_code == 403, (route.name, headers, answer.text)
    assert {**site.trace(), "sessions": ""} == {**before, "sessions": ""}


def test_to_a_customer_there_is_no_desk(site: Site, tmp_path: Path, signed_in: SignIn) -> None:
    browser = signed_in(site.tenant())
    for method, path in pages(tmp_path):
        if path.startswith("/admin"):
            assert browser.client.request(method, filled(path)).status_code == 404, (method, path)


def belongings(site: Site, tenant: Tenant) -> dict[str, str]:
    """Make one of each thing that a tenant's pages are about; return its id by the name of the hole that it fills."""
    with site.database.begin() as conn:
        note = notes.write(conn, UUID(tenant.customer_id), "mine alone")
    asked = {"subject": "mine", "text": "alone"}
    ticket = tenant.client.post("/api/support/create", json=asked).raise_for_status().json()["ticketNumber"]
    # An invoice has a number too, and a reminder a paper: `test_billing` tries another tenant's.
    ids = {"server_id": tenant.server_id, "note_id": str(note), "number": ticket}
    return {**ids, "file_id": MISSING, "backup_id": MISSING, "letter_id": MISSING}  # what they belong to is real


def test_what_another_tenant_has_is_not_there(site: Site, tmp_path: Path, signed_in: SignIn) -> None:
    other, browser = site.tenant(), signed_in(site.tenant())
    theirs = belongings(site, other)
    proof = browser.open("/").form("/sign-out").fields["proof"]
    for method, path in pages(tmp_path):
        if "{" in path and path not in OPEN and not path.startswith("/admin"):
            tried = [filled(path, value) for value in (other.account_id, other.customer_id, MISSING, "no-id")]
            tried.append(re.sub(r"\{(\w+)\}", lambda hole: theirs[hole[1]], path))
            for at in tried:
                answer = browser.client.request(method, at, data={"proof": proof} if method != "GET" else None)
                assert answer.status_code == 404, (method, at, answer.text)


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
