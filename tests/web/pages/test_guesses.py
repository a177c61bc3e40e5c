"""Guessing passwords is slowed down, and locks out whoever guesses rather than the person who is guessed at."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import text

from jobs.certificates import certificates
from tests.web.pages.browser import Browser
from tests.web.pages.test_signin import PASSWORD, link, register
from tests.web.site import Site
from web.guesses import MOST_AS_ONE, MOST_BY_PAIR
from web.known_browsers import LIVES_SECONDS, MOST

ADA = "ada@guesses.example"
KNOWN = "forbear-known"


@pytest.fixture(autouse=True)
def ada(site: Site, browser: Browser) -> None:
    """Let one person have signed in, long ago, in a browser of their own."""
    with site.database.begin() as conn:
        for table in ("login_tokens", "sessions", "logins", "attempts"):
            conn.execute(text(f"DELETE FROM {table}"))
        conn.execute(text("UPDATE customers SET email = id || '@gone.example'"))
    register(browser, email=ADA)
    browser.open(link(site)).send("/sign-in", password=PASSWORD)
    assert "Hello Ada" in browser.text
    forget(site)


@pytest.fixture
def stranger(site: Site) -> Iterator[Browser]:
    """A browser at another network address of this machine."""
    made = Browser(site.url)
    made.client.close()
    made.client = httpx.Client(
        base_url=site.url,
        follow_redirects=True,
        timeout=30,
        transport=httpx.HTTPTransport(local_address="127.0.0.2", verify=certificates()),
    )
    yield made
    made.close()


def forget(site: Site) -> None:
    with site.database.begin() as conn:
        conn.execute(text("DELETE FROM attempts"))


def tried(site: Site, key: str, times: int) -> None:
    """Let something have been tried so often."""
    with site.database.begin() as conn:
        add = "INSERT INTO attempts (key) SELECT CAST(:key AS text) FROM generate_series(1, CAST(:times AS int))"
        conn.execute(text(add), {"key": key, "times": times})


def sign_in(browser: Browser, password: str = PASSWORD, email: str = ADA) -> int:
    """Try once; return the status of the answer."""
    browser.client.cookies.delete("forbear")
    browser.open("/sign-in").send("/sign-in", email=email, password=password)
    return browser.answer.status_code


def test_a_stranger_locks_out_themselves_and_nobody_else(site: Site, browser: Browser, stranger: Browser) -> None:
    browser.client.cookies.clear()
    statuses = [sign_in(stranger, "wrong password") for _ in range(MOST_BY_PAIR + 1)]
    assert statuses == [401] * MOST_BY_PAIR + [429]
    assert sign_in(stranger) == 429, "not even with the right one"
    assert sign_in(browser) == 200


def test_many_strangers_lock_nobody_out_of_a_browser_that_is_known(
    site: Site, browser: Browser, stranger: Browser
) -> None:
    tried(site, f"person:{ADA}", MOST_AS_ONE)
    assert sign_in(stranger) == 429
    assert "let us mail you a link" in stranger.text
    assert sign_in(browser) == 200
    shown = stranger.text
    tried(site, "person:nobody@guesses.example", MOST_AS_ONE)
    assert sign_in(stranger, email="nobody@guesses.example") == 429
    assert stranger.text == shown, "the answer tells nothing of whom we know"


def test_a_mailed_link_lets_in_whoever_is_locked_out(site: Site, stranger: Browser) -> None:
    tried(site, f"person:{ADA}", MOST_AS_ONE)
    assert sign_in(stranger) == 429
    stranger.open("/password").send("/password", email=ADA)
    stranger.open(link(site)).send("/password/new", password="other words are easy")
    assert sign_in(stranger, "other words are easy") == 200


def test_whoever_asks_for_links_in_somebodys_name_takes_none_from_them(
    site: Site, browser: Browser, stranger: Browser
) -> None:
    browser.open("/password").send("/password", email=ADA)
    own = link(site)
    for _ in range(3):
        stranger.open("/password").send("/password", email=ADA)
    newest = link(site)
    assert newest != own
    browser.open(own).send("/password/new", password="other words are easy")
    assert sign_in(browser, "other words are easy") == 200
    assert "no longer good" in stranger.open(newest).text, "one is used, and so are all"


def test_a_known_browser_is_counted_by_itself(site: Site, browser: Browser) -> None:
    statuses = [sign_in(browser, "wrong password") for _ in range(MOST_BY_PAIR + 1)]
    assert statuses == [401] * MOST_BY_PAIR + [429]


def test_getting_in_forgives_what_was_mistyped(site: Site, browser: Browser) -> None:
    for _ in range(2):
        for _ in range(MOST_BY_PAIR - 1):
            assert sign_in(browser, "wrong password") == 401
        assert sign_in(browser) == 200


def test_no_forged_or_old_proof_makes_a_browser_known(site: Site, browser: Browser, stranger: Browser) -> None:
    issued, nonce, mac = browser.client.cookies[KNOWN].split("~")[0].split("-")
    tried(site, f"person:{ADA}", MOST_AS_ONE)
    for value in (
        f"{issued}-{nonce}-{mac[::-1]}",
        f"{int(issued) + 1}-{nonce}-{mac}",
        f"{int(issued) - LIVES_SECONDS}-{nonce}-{mac}",
        f"{issued}-{nonce}",
        "~" * 3_000,
    ):
        stranger.client.cookies.set(KNOWN, value)
        assert sign_in(stranger) == 429, value[:100]
    stranger.client.cookies.set(KNOWN, f"{issued}-{nonce}-{mac}")
    assert sign_in(stranger) == 200


@pytest.mark.parametrize("how", ["another's", "old password"])
def test_no_other_proof_makes_a_browser_known(site: Site, browser: Browser, stranger: Browser, how: str) -> None:
    value = browser.client.cookies[KNOWN]
    if how == "another's":
        with site.database.begin() as conn:
            conn.execute(text("DELETE FROM sessions"))
            conn.execute(text("DELETE FROM login_tokens"))
            conn.execute(text("UPDATE logins SET id = gen_random_uuid()"))
    else:
        browser.open("/password").send("/password", email=ADA)
        browser.open(link(site)).send("/password/new", password=PASSWORD)
    stranger.client.cookies.set(KNOWN, value)
    tried(site, f"person:{ADA}", MOST_AS_ONE)
    assert sign_in(stranger) == 429


def test_people_who_share_a_browser_are_all_known_in_it_up_to_a_few(site: Site, browser: Browser) -> None:
    for number in range(MOST + 1):
        register(browser, email=f"{number}@guesses.example")
        browser.client.cookies.delete("forbear")
        browser.open(link(site)).send("/sign-in", password=PASSWORD)
        forget(site)
    assert len(browser.client.cookies[KNOWN].split("~")) == MOST
    tried(site, f"person:{MOST}@guesses.example", MOST_AS_ONE)
    tried(site, f"person:{ADA}", MOST_AS_ONE)
    assert sign_in(browser, email=f"{MOST}@guesses.example") == 200
    assert sign_in(browser) == 429, "the one who was longest away"


def test_whoever_goes_on_neither_fills_the_table_nor_waits_for_ever(site: Site, stranger: Browser) -> None:
    for _ in range(MOST_BY_PAIR + 5):
        sign_in(stranger, "wrong password")
    assert site.scalar("SELECT count(*) FROM attempts WHERE key LIKE 'sign-in:%'") == MOST_BY_PAIR
    assert site.scalar("SELECT count(*) FROM attempts WHERE key LIKE 'person:%'") == MOST_BY_PAIR
