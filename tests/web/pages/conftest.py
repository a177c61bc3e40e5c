"""People at their browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text

from storage import logins
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant
from web import passwords

PASSWORD = "a few words are easy"


@pytest.fixture
def browser(site: Site) -> Iterator[Browser]:
    """A browser that nobody has signed in with, on a site that remembers no letter and no try."""
    with site.database.begin() as conn:
        conn.execute(text("DELETE FROM attempts"))
        conn.execute(text("DELETE FROM letters"))
    made = Browser(site.url)
    yield made
    made.close()


@pytest.fixture
def signed_in(site: Site) -> Iterator[Callable[[Tenant | str], Browser]]:
    """Return a browser in which a tenant, or an admin by their address, has signed in."""
    made: list[Browser] = []

    def sign_in(who: Tenant | str) -> Browser:
        """Return a browser in which they have signed in."""
        email = who if isinstance(who, str) else f"{who.customer_id}@example.org"
        with site.database.begin() as conn:
            given: dict[str, Any] = {"email": email, "hash": passwords.hashed(PASSWORD)}
            if isinstance(who, str):
                login = logins.create(conn, email, "Ada Admin", role="admin", password_hash=given["hash"])
                login_id = login.id
            else:
                add = (
                    "INSERT INTO logins (email, name, role, customer_id, password_hash) "
                    "VALUES (:email, 'Tenant', 'customer', :customer, :hash) RETURNING id"
                )
                login_id = conn.execute(text(add), {**given, "customer": who.customer_id}).scalar_one()
            logins.verify(conn, login_id)
        browser = Browser(site.url)
        made.append(browser)
        browser.open("/sign-in").send("/sign-in", email=email, password=PASSWORD)
        assert browser.path != "/sign-in", browser.text
        return browser

    yield sign_in
    for each in made:
        each.close()


@pytest.fixture
def desk(site: Site, signed_in: Callable[[Tenant | str], Browser]) -> Browser:
    """An admin's browser."""
    with site.database.begin() as conn:
        conn.execute(text("DELETE FROM attempts"))
        conn.execute(text("DELETE FROM logins WHERE role = 'admin'"))
    return signed_in("ada@desk.example")
