"""Every page, read off the application, on two screens by day and at night: usable, narrow enough, whole in itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.acceptance.system import System
from tests.system.newcomers import let_in, ordered, registered, subscribed
from tests.system.people import FEW, Person
from tests.web.pages.test_pages import OPEN, pages

QUERIES = {  # what some pages need to have something to show
    "/servers/{server_id}/files/edit": "?path=/server.json",
    "/plan/return": "?account={account_id}&plan=game",
    "/admin/policy/diff": "?old={digest}&new={digest}",
    "/admin/policy/impact": "?to={digest}",
}
# Files, what leads on at once, and letters: those stand in a frame in which nothing runs, the checker neither.
NO_PAGES = {"/static/{name}", "/verify", "/admin/policy/pictures/{machine}", "/admin/notices/{name}"}


def is_page(path: str) -> bool:
    """Say whether somebody reads what is there: not a file, and not what leads on at once."""
    return path not in NO_PAGES and not path.endswith("/download")


def filled_shop(shop: System, person: Person) -> dict[str, str]:
    """Let a customer have one of everything, and be late; return the ids that stand in addresses."""
    registered(shop, person, "all@shop.example")
    account_id = subscribed(shop, person)
    place = ordered(person, "Castle")
    person.open(f"{place}/backups").press("Make a backup now")
    person.sees("complete")
    person.open("/notes")
    person.write("New note", "The password of the castle's gate is with Grace.")
    person.press("Keep it")
    person.page.get_by_role("link", name="Change", exact=True).click()
    note_id = person.page.url.rpartition("/")[2]
    person.open("/support")
    person.write("Subject", "The castle is slow in the evening")
    person.write("Message", "Since Monday, from eight o'clock on.")
    person.press("Send")
    person.sees("We have your message")
    told = {"title": "Maintenance on Sunday", "text": "Between two and four, servers may restart once."}
    assert shop.admin.post("/api/admin/announcements", json=told).status_code == 201
    person.open(shop.stand_in)
    person.page.get_by_role("row", name="all@shop.example").get_by_role("button", name="Renew now").click()
    shop.drain()
    shop.advance(75)
    assert shop.view(account_id)["billingStatus"] == "final_warning"
    digest = shop.admin.get("/api/health").json()["policyDigest"]
    return {
        "server_id": place.rpartition("/")[2],
        "account_id": account_id,
        "note_id": note_id,
        "digest": digest,
    }


def seen(visitor: Person, paths: list[str], ids: dict[str, str]) -> list[str]:
    """Look at each page; return what is wrong with any."""
    faults = []
    for path in paths:
        found = re.sub(r"\{(\w+)\}", lambda hole: ids[hole[1]], path + QUERIES.get(path, ""))
        answer = visitor.page.goto(found)
        assert answer is not None
        if answer.status != 200 and path not in OPEN:
            faults.append(f"{found}: {answer.status}")
        name = re.sub(r"\W+", "-", re.sub(r"\{\w+\}", "one", path)).strip("-") or "overview"
        faults += visitor.looks(f"page-{name}", screens=FEW)
    return faults


def test_every_page_can_be_used_by_everybody(shop: System, visit: Callable[..., Person], tmp_path: Path) -> None:
    paths = sorted({path for method, path in pages(tmp_path) if method == "GET" and is_page(path)})
    stranger, customer, admin = visit(), visit(), visit()
    ids = filled_shop(shop, customer)
    let_in(shop, admin, "grace@desk.example")
    faults = seen(stranger, [path for path in paths if path in OPEN], ids)
    faults += seen(customer, [path for path in paths if path not in OPEN and not path.startswith("/admin")], ids)
    faults += seen(admin, [path for path in paths if path.startswith("/admin")], ids)
    assert faults == []
