"""Registering, proving an address, signing in and out, new passwords; and what guessing and forging come to."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from tests.web.pages.browser import Browser
from tests.web.site import Site
from web import passwords

PASSWORD = "a few words are easy"
LINK = re.compile(r"https?://[^/\s]+(/\S+)")


@pytest.fixture(autouse=True)
def nobody_is_known(site: Site) -> None:
    """Forget who registered in the test before, and how often."""
    with site.database.begin() as conn:
        conn.execute(text("DELETE FROM logins"))
        conn.execute(text("DELETE FROM attempts"))
        conn.execute(text("UPDATE customers SET email = id || '@gone.example'"))


def letters(site: Site) -> list[tuple[str, str, str]]:
    """Return address, subject and text of every letter in the outbox."""
    with site.database.begin() as conn:
        return [tuple(row) for row in conn.execute(text("SELECT to_email, subject, body FROM letters ORDER BY id"))]


def link(site: Site) -> str:
    """Return the path of the link in the newest letter."""
    found = LINK.search(letters(site)[-1][2])
    assert found is not None
    return found[1]


def register(browser: Browser, email: str = "ada@signin.example", **more: str) -> Browser:
    """Fill in the form."""
    given = {"name": "Ada", "email": email, "password": PASSWORD, "zone": "Europe/Zurich", **more}
    return browser.open("/register").send("/register", **given)


def test_whoever_registers_proves_the_address_and_finds_an_account(site: Site, browser: Browser) -> None:
    assert "Look into your mail" in register(browser).text
    early = browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password=PASSWORD)
    assert early.answer.status_code == 401
    assert "not proved yet" in early.text
    there = browser.open(link(site)).send("/sign-in", email="Ada@Signin.example", password=PASSWORD)
    assert there.path == "/"
    assert "Hello Ada" in there.text
    assert "You have no server yet." in there.text
    assert "no longer good" in browser.open(link(site)).text
    browser.open("/").send("/sign-out")
    assert browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password=PASSWORD).path == "/"


def test_opening_the_link_proves_nothing_for_whoever_registered_with_the_address(site: Site, browser: Browser) -> None:
    register(browser)
    owner = Browser(site.url)
    owner.open(link(site)).send("/sign-in", password="a guess of the owner")
    assert owner.answer.status_code == 401
    owner.close()
    early = browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password=PASSWORD)
    assert "not proved yet" in early.text


def test_link_of_one_address_proves_no_other(site: Site, browser: Browser) -> None:
    register(browser)
    of_ada = link(site)
    register(browser, email="eve@signin.example")
    browser.open(of_ada).send("/sign-in", email="eve@signin.example", password=PASSWORD)
    assert "not proved yet" in browser.text


def test_customer_whom_an_admin_made_finds_that_account_also_by_registering(site: Site, browser: Browser) -> None:
    made = site.admin.post("/api/admin/customers", json={"email": "Cleo@example.org", "name": "Cleo"}).json()
    assert "Look into your mail" in register(browser, email="cleo@example.org").text
    assert letters(site)[-1][1] == "Your new password"
    with site.database.begin() as conn:
        find = text("SELECT customer_id FROM logins WHERE email = 'cleo@example.org'")
        assert str(conn.execute(find).scalar_one()) == made["customerId"]


def test_who_asks_too_often_costs_no_more_work(site: Site, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        register(browser)
    for _ in range(10):
        browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password="wrong password")
    hashed: list[str] = []
    monkeypatch.setattr(passwords, "hashed", hashed.append)
    monkeypatch.setattr(passwords, "is_right", lambda password, _: hashed.append(password))
    assert register(browser).answer.status_code == 429
    browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password=PASSWORD)
    assert browser.answer.status_code == 429
    page = browser.open("/password").form("/password")
    given = {"proof": page.fields["proof"], "token": "guessed", "password": PASSWORD}
    assert browser.client.post("/password/new", data=given).status_code == 400
    assert hashed == []


def test_page_for_people_sends_others_to_sign_in_and_back(browser: Browser) -> None:
    assert browser.open("/").path == "/sign-in"
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example"):
        browser.open("/sign-in").form("/sign-in").fields["next"] = elsewhere
        answer = browser.client.get("/sign-in", params={"next": elsewhere})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "elsewhere",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r\nX-Evil: 1",
        "/\u4e2d",
        "/ /evil.example",
    ],
)
def test_signing_in_leads_nowhere_else(site: Site, browser: Browser, elsewhere: str) -> None:
    register(browser)
    form = browser.open(link(site)).form("/sign-in")
    given = {**form.fields, "email": "ada@signin.example", "password": PASSWORD, "next": elsewhere}
    answer = browser.client.post("/sign-in", data=given, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_signing_out_ends_the_session_at_the_server(site: Site, browser: Browser) -> None:
    register(browser)
    browser.open(link(site)).send("/sign-in", password=PASSWORD)
    cookie = dict(browser.client.cookies)
    assert browser.send("/sign-out").path == "/sign-in"
    again = Browser(site.url)
    again.client.cookies.update(cookie)
    assert again.open("/").path == "/sign-in"
    again.close()


def test_new_password_ends_every_session_and_makes_the_first_account(site: Site, browser: Browser) -> None:
    site.admin.post("/api/admin/customers", json={"email": "Bea@example.org", "name": "Bea"})
    assert "If we know this address" in browser.open("/password").send("/password", email="bea@example.org").text
    to, subject, _ = letters(site)[-1]
    assert (to, subject) == ("bea@example.org", "Your new password")
    browser.open(link(site)).send("/password/new", password=PASSWORD)
    assert "You can sign in now" in browser.text
    assert browser.open("/sign-in").send("/sign-in", email="bea@example.org", password=PASSWORD).path == "/"
    assert "Everything is in order" in browser.text
    other = Browser(site.url)
    other.open("/password").send("/password", email="bea@example.org")
    other.open(link(site)).send("/password/new", password="another few words")
    assert browser.open("/").path == "/sign-in"
    other.close()


def test_answers_never_tell_whether_an_address_is_known(site: Site, browser: Browser) -> None:
    register(browser)
    known = browser.open("/password").send("/password", email="ada@signin.example").text
    unknown = browser.open("/password").send("/password", email="nobody@example.org").text
    assert known == unknown
    again = register(browser).text
    assert "Look into your mail" in again
    assert len({to for to, _, _ in letters(site)}) == 1
    wrong = [
        browser.open("/sign-in").send("/sign-in", email=email, password="x" * 12).text
        for email in ("ada@signin.example", "nobody@example.org")
    ]
    assert wrong[0] == wrong[1]


def test_guessing_is_slowed_down_by_address(browser: Browser) -> None:
    for _ in range(10):
        browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password="wrong password")
        assert browser.answer.status_code == 401
    browser.open("/sign-in").send("/sign-in", email="ada@signin.example", password="wrong password")
    assert browser.answer.status_code == 429


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/register", "/password", "/password/new"])
@pytest.mark.parametrize("proof", [None, "", "wrong"])
def test_form_that_is_not_ours_is_403(browser: Browser, path: str, proof: str | None) -> None:
    browser.open("/sign-in")
    given = {"email": "ada@signin.example", "password": PASSWORD} | ({} if proof is None else {"proof": proof})
    assert browser.client.post(path, data=given).status_code == 403
    right = browser.form("/sign-in").fields["proof"]
    foreign = browser.client.post(path, data={**given, "proof": right}, headers={"Origin": "https://evil.example"})
    assert foreign.status_code == 403


def test_form_of_another_browser_is_not_ours(site: Site, browser: Browser) -> None:
    other = Browser(site.url)
    proof = other.open("/sign-in").form("/sign-in").fields["proof"]
    other.close()
    browser.open("/sign-in")
    assert browser.client.post("/sign-in", data={"email": "a", "password": "b", "proof": proof}).status_code == 403


@pytest.mark.parametrize(
    ("field", "value"),
    [("email", "no address"), ("name", ""), ("password", "short"), ("zone", "Mars/Base"), ("password", "x" * 201)],
)
def test_field_that_is_wrong_is_said_and_the_rest_is_kept(browser: Browser, field: str, value: str) -> None:
    register(browser, **{field: value})
    assert browser.answer.status_code == 400
    kept = browser.form("/register").fields
    assert kept["name"] == ("" if field == "name" else "Ada")
    assert kept["password"] == ""


def test_pages_load_nothing_from_elsewhere_and_run_nothing_inline(browser: Browser) -> None:
    for path in ("/sign-in", "/register", "/password"):
        html = browser.open(path).answer.text
        policy = browser.answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle=", html)
        assert not re.search(r"(?:src|href)=\"(?:https?:)?//", html)
        for file in re.findall(r"\"(/static/[^\"]+)\"", html):
            answer = browser.client.get(file)
            assert answer.status_code == 200
            assert "immutable" in answer.headers["cache-control"]
    assert browser.client.get("/static/../app.py").status_code == 404
    assert browser.client.get("/static/%2e%2e%2fapp.py").status_code == 404
