"""Every page, read off the application, on two screens by day and at night: usable, narrow enough, whole in itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from email import message_from_bytes
from email.policy import default
from pathlib import Path

from jobs.up_double import KEY
from tests.acceptance.system import ADMIN, SECRET, System
from tests.doubles.discord import DiscordSink
from tests.system.newcomers import PASSWORD, let_in, ordered, registered, subscribed
from tests.system.people import FEW, PHONE, Person
from tests.web.pages.test_pages import OPEN, pages

QUERIES = {  # what some pages need to have something to show
    "/servers/{server_id}/files/edit": "?path=/server.json",
    "/plan/return": "?account={account_id}&plan=game",
    "/admin/policy/diff": "?old={digest}&new={digest}",
    "/admin/policy/impact": "?to={digest}",
}
# Files, what leads on at once, and letters: those stand in a frame in which nothing runs, the checker neither.
NO_PAGES = {"/static/{name}", "/verify", "/admin/policy/pictures/{machine}", "/admin/notices/{name}"}
ELSEWHERE = {"/admin/billing/invoices/{invoice}"}  # `test_browser_billing` looks at it: this shop's month is not over


def is_page(path: str) -> bool:
    """Say whether somebody reads what is there: not a file, and not what leads on at once."""
    return path not in NO_PAGES | ELSEWHERE and not path.endswith(("/download", "/files/{file_id}", "/pdf", "/xml"))


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
    number = person.page.get_by_role("link", name="ZLH-").first.inner_text()
    person.open(f"/support/{number}")
    person.page.get_by_label("Files, if they help").set_input_files(
        {"name": "latest.log", "mimeType": "text/plain", "buffer": b"[20:00] can't keep up"}
    )
    person.write("Answer", "Here is its log.")
    person.press("Send")
    person.sees("latest.log")
    person.open("/notices")
    person.write("Address", "https://hooks.example.org/castle")
    person.press("Use it")
    person.sees("signed with this secret")
    told = {"title": "Maintenance on Sunday", "text": "Between two and four, servers may restart once."}
    assert shop.admin.post("/api/admin/announcements", json=told).status_code == 201
    person.open(shop.stand_in)
    person.page.get_by_role("row", name="all@shop.example").get_by_role("button", name="Renew now").click()
    shop.drain()
    for hours in (25, 50):
        shop.advance(hours)
    assert shop.view(account_id)["billingStatus"] == "final_warning"
    digest = shop.admin.get("/api/health").json()["policyDigest"]
    return {
        "server_id": place.rpartition("/")[2],
        "account_id": account_id,
        "customer_id": customer_of(shop, "all@shop.example"),
        "note_id": note_id,
        "number": number,  # of the ticket
        "digest": digest,
    }


def customer_of(shop: System, email: str) -> str:
    """Return the id of the customer with this address."""
    found = shop.admin.get("/api/admin/billing/organisations", params={"limit": 1000}).json()
    return next(str(each["customerId"]) for each in found if each["customerEmail"] == email)


def at(path: str, ids: dict[str, str]) -> str:
    """Return the address of a page, with ids in its holes."""
    return re.sub(r"\{(\w+)\}", lambda hole: ids[hole[1]], path + QUERIES.get(path, ""))


def seen(visitor: Person, paths: list[str], ids: dict[str, str]) -> list[str]:
    """Look at each page; return what is wrong with any."""
    faults = []
    for path in paths:
        found = at(path, ids)
        answer = visitor.page.goto(found)
        assert answer is not None
        if answer.status != 200 and path not in OPEN:
            faults.append(f"{found}: {answer.status}")
        policy = answer.headers["content-security-policy"]
        if "default-src 'none'" not in policy or "unsafe" in policy:
            faults.append(f"{found}: {policy}")
        faults += visitor.unsafe()
        name = re.sub(r"\W+", "-", re.sub(r"\{\w+\}", "one", path)).strip("-") or "overview"
        faults += visitor.looks(f"page-{name}", screens=FEW)
    return faults


def secrets_of(shop: System, people: list[Person]) -> dict[str, str]:
    """Return everything that nobody but its owner may read, by what it is."""
    found = {"webhook secret": SECRET, "admin token": ADMIN, "Stripe's key": KEY, "password": PASSWORD}
    for file in (*shop.data.glob("postgres/*password"), *shop.data.glob("redis/*password")):
        found[str(file.relative_to(shop.data))] = file.read_text().strip()
    for place, person in enumerate(people):
        found |= {f"cookie {place}": str(cookie["value"]) for cookie in person.context.cookies(shop.url)}
    return found


def test_every_page_can_be_used_by_everybody_and_tells_no_secret(
    shop: System, visit: Callable[..., Person], tmp_path: Path
) -> None:
    paths = sorted({path for method, path in pages(tmp_path) if method == "GET" and is_page(path)})
    stranger, customer, admin = visit(), visit(), visit()
    ids = filled_shop(shop, customer)
    let_in(shop, admin, "grace@desk.example")
    faults = seen(stranger, [path for path in paths if path in OPEN], ids)
    faults += seen(customer, [path for path in paths if path not in OPEN and not path.startswith("/admin")], ids)
    faults += seen(admin, [path for path in paths if path.startswith("/admin")], ids)
    assert faults == [], "\n".join(faults)

    places = {"pages": "".join(text for person in (stranger, customer, admin) for text in person.read)}
    places |= {str(file): file.read_text(errors="replace") for file in (shop.data / "logs").iterdir()}
    places |= {
        str(file): file.read_text(errors="replace") for file in (shop.data / "mail").rglob("*") if file.is_file()
    }
    places["output"] = "".join(shop.output)
    secrets = secrets_of(shop, [stranger, customer, admin])
    assert len(secrets) >= 8
    told = [(what, place) for what, value in secrets.items() for place, text in places.items() if value in text]
    assert told == [], told


HOSTILE = "<script>alert(1)</script> @everyone {{7*7}} " + "W" * 50
LONG = "a\n<script>alert(1)</script>\n@everyone\n" + ("<img src=x onerror=alert(1)>@everyone" + "W" * 63) * 99


def test_nothing_that_somebody_types_does_anything(
    shop: System, visit: Callable[..., Person], discord: DiscordSink, tmp_path: Path
) -> None:
    paths = sorted({path for method, path in pages(tmp_path) if method == "GET" and is_page(path)} - OPEN)
    customer, admin = visit(), visit()
    registered(shop, customer, "eve@shop.example", HOSTILE)
    account_id = subscribed(shop, customer)
    place = ordered(customer, HOSTILE)
    customer.open("/notes").write("New note", LONG)
    customer.press("Keep it")
    customer.page.get_by_role("link", name="Change", exact=True).click()
    note_id = customer.page.url.rpartition("/")[2]
    customer.open("/support").write("Subject", HOSTILE)
    customer.write("Message", LONG)
    customer.press("Send")
    customer.sees("We have your message")
    number = customer.page.get_by_role("link", name="ZLH-").first.inner_text()
    let_in(shop, admin, "joan@desk.example")
    ids = {"server_id": place.rpartition("/")[2], "account_id": account_id, "note_id": note_id, "number": number}
    ids["customer_id"] = customer_of(shop, "eve@shop.example")
    ids["digest"] = shop.admin.get("/api/health").json()["policyDigest"]
    shop.drain()

    wide = []
    for person, mine in ((customer, False), (admin, True)):
        person.turn(PHONE, "light")
        for path in paths:
            if path.startswith("/admin") == mine:
                person.open(at(path, ids))
                wide += [f"{path}: {fault}" for fault in (*person.too_wide(), *person.unsafe())]
        assert "<script>alert" not in "".join(person.read)
        assert HOSTILE in person.open(f"/admin/accounts/{account_id}" if mine else "/").page.inner_text("h1")
    assert wide == [], wide

    for letter in (shop.data / "mail").rglob("new/*"):
        mail = message_from_bytes(letter.read_bytes(), policy=default)
        html = mail.get_body(("html",))
        assert html is None or not re.search("<script|onerror=[^<]*>", html.get_content()), letter
    posts = [str(body["content"]) for _, body in discord.posts if "script" in str(body["content"])]
    assert posts
    assert all(r"@everyone" not in post.replace(r"\@everyone", "") for post in posts), posts
    assert all(body["allowed_mentions"] == {"parse": []} for _, body in discord.posts)
    told = "".join(str(body) for _, body in discord.posts)
    assert [what for what, value in secrets_of(shop, [customer, admin]).items() if value in told] == []
    lines = "".join(file.read_text(errors="replace") for file in (shop.data / "logs").iterdir()).splitlines()
    assert [line for line in lines if line.startswith(("<script>", "@everyone"))] == []
