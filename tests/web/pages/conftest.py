"""People at their browsers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy import text

from storage import logins
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant


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
            if isinstance(who, str):
                login_id = logins.create(conn, email, "Ada Admin", role="admin").id
            else:
                add = (
                    "INSERT INTO logins (email, name, role, customer_id) "
                    "VALUES (:email, 'Tenant', 'customer', :customer) "
                    "ON CONFLICT (email) DO UPDATE SET name = logins.name RETURNING id"
                )
                login_id = conn.execute(text(add), {"email": email, "customer": who.customer_id}).scalar_one()
            logins.verify(conn, login_id)
            cookie = logins.begin_session(conn, login_id)
        browser = Browser(site.url)
        browser.client.cookies.set("forbear", cookie)
        made.append(browser)
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
