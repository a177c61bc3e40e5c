"""Bad input to every route, read off the application: a clear 4xx, and no trace in the state."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from storage import backups
from tests.web.routes import MISSING, Route, all_routes, right_client
from tests.web.site import ADMIN, SECRET, Site, Tenant

LARGE = b'{"x": "' + b"a" * 11_000_000 + b'"}'
SECRETS = (ADMIN, SECRET)
INNARDS = ("Traceback", "litestar", "msgspec", "sqlalchemy", "psycopg", "Exception", ".py", "NoneType", "UUID", "/tmp/")
WRONG_VALUES: tuple[Any, ...] = (
    None,
    1,
    1.5,
    True,
    "",
    "\0",
    "x" * 20_000,
    [],
    {},
    ["a"],
    {"a": 1},
    -1,
    1e308,
    "\u202e",
)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> list[Route]:
    return list(all_routes(tmp_path_factory.mktemp("routes")))


@pytest.fixture(scope="module")
def tenant(site: Site) -> Tenant:
    made = site.tenant()
    site.host.write_file(site.spec(made.server_id), "a.txt", "as it was")
    return made


def assert_clear(answer: httpx.Response, what: str, statuses: range | tuple[int, ...] = range(400, 500)) -> None:
    """Check that an answer says no in the one shape, to a person, and shows nothing of our insides."""
    assert answer.status_code in statuses, f"{what}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["content-type"] == "application/problem+json", what
    problem = answer.json()
    assert problem["status"] == answer.status_code
    assert problem["code"].isupper(), what
    assert problem["detail"][:1] == problem["detail"][:1].upper(), what
    assert problem["detail"].endswith((".", "!", "?")), f"{what}: {problem['detail']}"
    assert not any(word in answer.text for word in (*INNARDS, *SECRETS)), f"{what}: {answer.text[:300]}"


def test_every_route_is_listed_and_has_a_right_request_to_start_from(site: Site, routes: list[Route]) -> None:
    assert len(routes) > 40
    assert len({route.name for route in routes}) == len(routes)
    schema = site.nobody.get("/schema/openapi.json").json()
    for route in routes:
        described = schema["paths"][route.path][route.method.lower()]
        if "requestBody" not in described:
            assert route.sound.body is None, f"{route.name} takes no body"
            continue
        reference = described["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        fields = schema["components"]["schemas"][reference.rpartition("/")[2]]
        assert route.sound.body is not None, f"{route.name} needs a right body in tests/web/routes.py"
        assert set(fields.get("required", ())) <= set(route.sound.body) <= set(fields["properties"]), route.name


def test_without_a_token_nobody_passes(site: Site, routes: list[Route], tenant: Tenant) -> None:
    before = site.trace()
    for route in routes:
        if route.role != "nobody":
            for headers in (
                {},
                {"Authorization": ""},
                {"Authorization": "Basic YTpi"},
                {"Authorization": "Bearer x y"},
            ):
                answer = route.send(site.nobody, tenant, headers={**route.sound.headers, **headers})
                assert_clear(answer, f"{route.name} {headers}", (401,))
                assert answer.headers["www-authenticate"].startswith("Bearer"), route.name
    assert site.trace() == before


def test_a_customer_is_no_admin(site: Site, routes: list[Route], tenant: Tenant) -> None:
    before = site.trace()
    for route in routes:
        if route.role == "admin":
            assert_clear(route.send(tenant.client, tenant), route.name, (403,))
    assert site.trace() == before


def test_another_tenants_things_are_not_there(site: Site, routes: list[Route], tenant: Tenant) -> None:
    other = site.tenant()
    order = {"name": "mine", "kind": "game", "accountId": tenant.account_id}
    asked = tenant.client.post("/api/instances", json=order, headers={"Idempotency-Key": "of-another"})
    log = {"name": "a.log", "content": base64.b64encode(b"its log").decode()}
    question = {"subject": "Mine", "text": "Private.", "files": [log]}
    number = tenant.client.post("/api/support/create", json=question).json()["ticketNumber"]
    ticket = tenant.client.get(f"/api/support/tickets/{number}").json()
    with site.database.begin() as conn:
        backup = str(backups.create(conn, UUID(tenant.server_id), state="complete").id)
    ids = {
        "operation_id": asked.json()["operationId"],
        "number": number,
        "file_id": ticket["messages"][0]["files"][0]["fileId"],
        "backup_id": backup,
    }
    before, tried = site.trace(), 0
    for route in routes:
        if route.role == "customer" and ("{" in route.path or "accountId" in (route.sound.body or {})):
            path = route.at(tenant, **ids)
            assert MISSING not in path, f"{route.name} needs an id of somebody else's to be tried with"
            assert_clear(route.send(other.client, tenant, path=path), route.name, (404,))
            if "{backup_id}" in route.path:  # below a server of one's own
                assert_clear(route.send(other.client, other, path=route.at(other, **ids)), route.name, (404,))
            tried += 1
    assert tried > 30
    assert site.trace() == before


def test_a_body_of_11_mb_is_refused_everywhere_but_in_uploads(site: Site, routes: list[Route], tenant: Tenant) -> None:
    before = site.trace()
    for route in routes:
        if route.writes and not route.streams:
            client = right_client(site, route, tenant)
            sized = route.send(client, tenant, json=None, content=LARGE)
            assert_clear(sized, route.name, (413,))

            def pieces() -> Iterator[bytes]:
                for start in range(0, len(LARGE), 1_000_000):
                    yield LARGE[start : start + 1_000_000]

            try:
                unsized = route.send(client, tenant, json=None, content=pieces())
            except httpx.TransportError:
                continue  # the server answered and hung up before we had finished: nothing more can be shown
            assert_clear(unsized, f"{route.name} in pieces", (413,))
    assert site.trace() == before


def test_a_body_that_is_not_the_right_json_is_400(site: Site, routes: list[Route], tenant: Tenant) -> None:
    bodies = (b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"{}", b"[" * 100_000, b'{"zzz": 1}', b"a=b&c=d")
    before = site.trace()
    for route in routes:
        if route.sound.body is not None:
            client = right_client(site, route, tenant)
            for body in bodies:
                optional = body == b"{}" and route.path.endswith(
                    ("/prune", "/release", "/approve", "/suspend", "/tenants/{name}/resume", "/paid", "/credit")
                )
                if not optional:
                    answer = route.send(client, tenant, json=None, content=body)
                    assert_clear(answer, f"{route.name} {body[:20]!r}", (400,))
    assert site.trace() == before


def test_a_field_of_a_wrong_type_is_named(site: Site, routes: list[Route], tenant: Tenant) -> None:
    before = site.trace()
    for route in routes:
        for field, right in (route.sound.body or {}).items():
            client = right_client(site, route, tenant)
            for wrong in WRONG_VALUES:
                if is_right(field, wrong, right):
                    continue
                body = {**(route.sound.body or {}), field: wrong}
                if "accountId" in body and field != "accountId":
                    body["accountId"] = tenant.account_id
                answer = route.send(client, tenant, json=body)
                assert_clear(answer, f"{route.name} {field}={str(wrong)[:30]!r}", (400, 404, 409, 413))
                if type(wrong) is not type(right) and wrong is not None:
                    assert answer.status_code in (400, 409), f"{route.name} {field}={wrong!r}: {answer.text}"
    assert site.trace() == before


def is_right(field: str, wrong: Any, right: Any) -> bool:
    """Tell whether a value happens to be one that the field may have."""
    if field in ("content", "command") and isinstance(wrong, str):
        return True  # any text may be written into a file; the console decides by itself
    if field in ("hours", "keep", "allowance") and isinstance(wrong, int | float) and not isinstance(wrong, bool):
        return wrong >= 0
    if field == "packages" and isinstance(wrong, list):
        return True
    if field in ("monthlyFee", "dailyPrice") and isinstance(wrong, int | float) and not isinstance(wrong, bool):
        return 0 <= wrong < 100_000
    if field == "reason" and right == "holidays" and wrong == "":
        return True  # an owner may suspend a tenant without a word, and then it would be
    if wrong is None:
        return field in ("until", "allowance") or (field == "accountId" and right == MISSING)
    return False


def test_a_field_too_much_is_refused_with_the_name_that_was_meant(
    site: Site, routes: list[Route], tenant: Tenant
) -> None:
    before = site.trace()
    for route in routes:
        if route.sound.body is not None:
            client = right_client(site, route, tenant)
            field = next(iter(route.sound.body))
            answer = route.send(client, tenant, json={**route.sound.body, f"{field}s": 1})
            assert_clear(answer, route.name, (400,))
            assert f"did you mean `{field}`?" in answer.json()["detail"]
    assert site.trace() == before


def test_ids_that_cannot_be_are_answered_as_ids_that_are_not(site: Site, routes: list[Route], tenant: Tenant) -> None:
    senseless = ("x", "0", "%00", "..%2f..", "%ff", "'; DROP TABLE accounts", "a" * 3000, "%F0%9F%98%80")
    before = site.trace()
    for route in routes:
        if "{" in route.path and "{skill}" not in route.path:  # any word may be a skill
            client = right_client(site, route, tenant)
            for word in senseless:
                names = (
                    "server_id",
                    "account_id",
                    "backup_id",
                    "operation_id",
                    "hold_id",
                    "intent_id",
                    "announcement_id",
                )
                path = route.at(tenant, **dict.fromkeys((*names, "name"), word))
                assert_clear(route.send(client, tenant, path=path), f"{route.name} {word[:20]}", (404, 405))
    assert site.trace() == before


def test_a_wrong_method_says_which_are_right(site: Site, routes: list[Route], tenant: Tenant) -> None:
    by_path: dict[str, set[str]] = {}
    for route in routes:
        by_path.setdefault(route.path, set()).add(route.method)
    for route in routes:
        for method in {"GET", "POST", "PUT", "DELETE", "PATCH"} - by_path[route.path]:
            answer = site.admin.request(method, route.at(tenant))
            assert_clear(answer, f"{method} {route.path}", (404, 405))
            if answer.status_code == 405:
                assert set(answer.headers["allow"].split(", ")) >= by_path[route.path]


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/servers", "/%00", "/%ff", "//api//account", "/favicon.ico"]
)
def test_an_address_that_is_none_is_404(site: Site, path: str) -> None:
    assert_clear(site.nobody.get(path), path, (404, 401))


def test_an_empty_or_doubled_query_parameter_is_400(site: Site, routes: list[Route], tenant: Tenant) -> None:
    before = site.trace()
    for route in routes:
        if "path" in route.sound.query:
            for query in (
                [],
                [("path", "")],
                [("path", "a"), ("path", "b")],
                [("path", "a\0b")],
                [("path", "x" * 5000)],
            ):
                if not query and route.streams:
                    continue
                answer = route.send(tenant.client, tenant, params=query)
                assert_clear(answer, f"{route.name} {query}", (400,))
    assert site.trace() == before


def test_an_order_without_a_key_or_with_a_strange_one_is_400(site: Site, tenant: Tenant) -> None:
    order = {"name": "x", "kind": "game", "accountId": tenant.account_id}
    before = site.trace()
    for headers in ([], [("Idempotency-Key", "")], [("Idempotency-Key", "a b")], [("Idempotency-Key", "x" * 300)],
                    [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]):  # fmt: skip
        answer = tenant.client.post("/api/instances", json=order, headers=httpx.Headers(headers))
        assert_clear(answer, str(headers), (400,))
    assert site.trace() == before


def test_names_that_could_harm_are_shown_harmlessly(site: Site) -> None:
    name = "<script>\u202e@everyone\r\nBcc: x\u2028"
    made = site.admin.post("/api/admin/customers", json={"email": "h@example.org", "name": name})
    assert made.status_code == 201
    kept = site.scalar("SELECT name FROM customers WHERE id = :id", id=made.json()["customerId"])
    assert kept == "<script>@everyone Bcc: x"
