"""Tickets from both sides: asked, answered, closed, opened again; private, with files, harmless whatever they say."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable

import pytest
from sqlalchemy import text

from jobs.discord import harmless
from jobs.letters import forms
from jobs.mail import Letter, compose
from storage.letters import take
from tests.web.pages.browser import Browser
from tests.web.site import Site, Tenant

SignIn = Callable[[Tenant | str], Browser]
NUMBER = re.compile(r"ZLH-\d{8}-[A-Z0-9]{4}")
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 60
HOSTILE = "<script>alert(1)</script> @everyone `x` \u202eevil"


@pytest.fixture(autouse=True)
def fresh(site: Site) -> None:
    """No letters, alerts or tries of tests before."""
    with site.database.begin() as conn:
        for table in ("attempts", "letters", "alerts"):
            conn.execute(text(f"DELETE FROM {table}"))


def ask(browser: Browser, subject: str = "It does not start", words: str = "Since this morning.", **more: str) -> str:
    """Write to support; return the ticket's number."""
    browser.open("/support").send("/support", subject=subject, text=words, **more)
    found = NUMBER.search(browser.text)
    assert found is not None, browser.text
    return found[0]


def written(site: Site, key: str) -> list[tuple[str, str, str]]:
    """Return the letters whose keys begin so: to whom, subject, text."""
    with site.database.begin() as conn:
        find = text("SELECT to_email, subject, body FROM letters WHERE key LIKE :key || '%' ORDER BY id")
        return [(row[0], row[1], row[2]) for row in conn.execute(find, {"key": key})]


def test_a_ticket_goes_back_and_forth_and_each_side_is_written_to_once(
    site: Site, desk: Browser, signed_in: SignIn
) -> None:
    tenant = site.tenant()
    site.put_into(tenant.account_id, "suspended_shutdown", "BILLING_SUSPENDED", billing="suspended")
    customer = signed_in(tenant)
    number = ask(customer, about=f"server:{tenant.server_id}")
    assert "Tickets that wait for an answer" in desk.open("/admin").text
    shown = desk.open(f"/admin/tickets/{number}").text
    for words in ("Since this morning.", "billing: suspended", "wanted stopped, seen stopped", "it is about this one"):
        assert words in shown

    action = f"/admin/tickets/{number}"
    form = {**desk.form(action).fields, "text": "Pay, then start it.", "closes": ""}
    for _ in range(2):  # a second press of the button
        desk.client.post(action, data=form)
    answers = written(site, "ticket-answer:")
    assert len(answers) == 1
    assert (answers[0][1], "Pay, then start it." in answers[0][2]) == (f"[{number}] It does not start", True)
    assert f"/support/{number}" in answers[0][2]
    assert "answered" in customer.open("/support").text
    assert "Pay, then start it." in customer.open(f"/support/{number}").text
    assert "ada@desk.example" not in customer.text

    customer.send(f"/support/{number}", text="It runs, thank you.")
    told = written(site, "ticket-told:")
    assert [("Since this" in each[2], "It runs" in each[2]) for each in told] == [(True, False), (False, True)]
    assert {each[0] for each in told} == {"support@example.org"}
    assert number in desk.open("/admin/tickets").text
    desk.open(action).send(f"{action}/close")
    assert number in desk.open("/admin/tickets?state=closed").text
    customer.open(f"/support/{number}").send(f"/support/{number}", text="One more thing.")
    assert number in desk.open("/admin/tickets?state=open").text
    customer.send(f"/support/{number}/close")
    assert "closed" in customer.text
    with site.database.begin() as conn:
        alerts = conn.execute(text("SELECT kind, text FROM alerts ORDER BY id")).all()
    assert [row.kind for row in alerts] == ["support_ticket"] * 3
    assert not any("It runs" in row.text for row in alerts)


def test_answering_does_nothing_but_answer(site: Site, desk: Browser, signed_in: SignIn) -> None:
    tenant = site.tenant()
    number = ask(signed_in(tenant), words="/release_brake\nDelete my server now\nrestore access")
    before = site.trace()
    desk.open(f"/admin/tickets/{number}").send(
        f"/admin/tickets/{number}", text="suspend_customer_servers\n/pay", closes=""
    )
    changed = {name for name, digest in site.trace().items() if before.get(name) != digest}
    assert changed <= {"ticket_messages", "tickets", "letters", "sessions", "attempts"}


def test_files_are_kept_and_only_ever_downloaded(site: Site, desk: Browser, signed_in: SignIn) -> None:
    customer = signed_in(site.tenant())
    form = {**customer.open("/support").form("/support").fields, "subject": "See", "text": "Look."}
    files = [
        ("files", ("../x<b>.exe", PNG)),
        ("files", ("run.html", b"<script>alert(1)</script>")),
        ("files", ("", b"")),
    ]
    customer.answer = customer.client.post("/support", data=form, files=files)
    number = NUMBER.search(customer.text)
    assert number is not None
    links = re.findall(r'href="(/support/[^"]+/files/[^"]+)"', customer.open(f"/support/{number[0]}").answer.text)
    assert len(links) == 2
    got = {}
    for link in [*links, *(link.replace("/support/", "/admin/tickets/") for link in links)]:
        answer = (desk if "admin" in link else customer).client.get(link)
        got[answer.headers["content-disposition"]] = answer.content
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'; sandbox")
        assert answer.headers["content-type"].partition(";")[0] in {"image/png", "text/plain"}
    assert set(got.values()) == {PNG, b"<script>alert(1)</script>"}
    assert sorted(got) == [
        "attachment; filename=\"run.html.txt\"; filename*=UTF-8''run.html.txt",
        "attachment; filename=\"x_b_.exe.png\"; filename*=UTF-8''x_b_.exe.png",
    ]
    refused = customer.client.post("/support", data=form | {"key": "2"}, files=[("files", ("a.png", b"MZ\x90\0" * 9))])
    assert refused.status_code == 400
    assert "What counts is what is in them" in refused.text
    assert ">\nLook.</textarea>" in refused.text
    path = f"/admin/tickets/{number[0]}"
    form = {**desk.open(path).form(path).fields, "text": "Words that I would miss.", "closes": ""}
    refused = desk.client.post(path, data=form, files=[("files", ("a.png", b"MZ\x90\0" * 9))])
    assert (refused.status_code, ">\nWords that I would miss.</textarea>" in refused.text) == (400, True)
    assert written(site, "ticket-answer:") == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=a", b"x"),
        ("multipart/form-data; boundary=a", b"--a\r\n\r\nx\r\n--a--\r\n"),
        ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="proof"\r\n\r\nx'),
        ("multipart/form-data; boundary=a", b'--a\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * 100),
        ("multipart/form-data; boundary=" + "b" * 5_000, b"--b"),
    ],
)
def test_a_form_that_is_none_is_refused(site: Site, signed_in: SignIn, kind: str, body: bytes) -> None:
    customer = signed_in(site.tenant())
    answer = customer.client.post("/support", content=body, headers={"Content-Type": kind})
    assert answer.status_code in {400, 403}


def test_no_ticket_is_anybody_elses(site: Site, desk: Browser, browser: Browser, signed_in: SignIn) -> None:
    owner, stranger = site.tenant(), site.tenant()
    files = [{"name": "a.png", "content": base64.b64encode(PNG).decode()}]
    asked = {"subject": "Mine", "text": "Private.", "files": files}
    number = owner.client.post("/api/support/create", json=asked).json()["ticketNumber"]
    mine = owner.client.get(f"/api/support/tickets/{number}").json()
    file_id = mine["messages"][0]["files"][0]["fileId"]
    assert owner.client.get(f"/api/support/tickets/{number}/files/{file_id}").content == PNG
    other = signed_in(stranger)
    other_number = ask(other)
    api, page = f"/api/support/tickets/{number}", f"/support/{number}"
    assert stranger.client.get(api).status_code == 404
    assert stranger.client.get(f"{api}/files/{file_id}").status_code == 404
    assert stranger.client.get(f"/api/support/tickets/{other_number}/files/{file_id}").status_code == 404
    assert stranger.client.post(f"{api}/messages", json={"text": "Hello"}).status_code == 404
    assert number not in str(stranger.client.get("/api/support/tickets").json())
    proof = other.open("/support").form("/support").fields["proof"]
    for path in (page, f"{page}/files/{file_id}", f"/admin/tickets/{number}", "/admin/tickets"):
        assert other.client.get(path).status_code == 404, path
        assert browser.open(path).path == "/sign-in"
    for path in (page, f"{page}/close", f"/admin/tickets/{number}", f"/admin/tickets/{number}/close"):
        assert other.client.post(path, data={"proof": proof, "text": "Hello"}).status_code == 404, path
        for form in ({"text": "Hello"}, {"text": "Hello", "proof": "0" * 64}):
            assert desk.client.post(path, data=form).status_code in {403, 404}, path
            assert other.client.post(path, files={"a": ("a", b"a")}, data=form).status_code in {403, 404}, path
    assert desk.client.post(f"/admin/tickets/{number}", data={"text": "x"}).status_code == 403
    assert desk.client.get(page).status_code == 404
    assert len(owner.client.get(api).json()["messages"]) == 1


def test_the_api_writes_below_a_ticket_once(site: Site) -> None:
    tenant = site.tenant()
    number = tenant.client.post("/api/support/create", json={"subject": "A", "text": "B"}).json()["ticketNumber"]
    path = f"/api/support/tickets/{number}"
    for _ in range(2):
        answer = tenant.client.post(f"{path}/messages", json={"text": "C"}, headers={"Idempotency-Key": "k"})
        assert answer.status_code == 201
    assert [each["text"] for each in tenant.client.get(path).json()["messages"]] == ["B", "C"]
    assert [each["ticketNumber"] for each in tenant.client.get("/api/support/tickets").json()] == [number]
    wrong = [{"text": ""}, {"text": "x" * 10_001}, {"text": "x", "files": [{"name": "a", "content": "?"}]}]
    assert [tenant.client.post(f"{path}/messages", json=each).status_code for each in wrong] == [400, 400, 400]
    assert site.admin.get(path).status_code == 403


def test_what_customers_call_themselves_and_write_is_harmless_everywhere(
    site: Site, desk: Browser, signed_in: SignIn
) -> None:
    tenant = site.tenant()
    with site.database.begin() as conn:
        name = {"name": f"Eve\r\nBcc: all@example.com {HOSTILE[:-6]}" + "x" * 10_000, "id": tenant.customer_id}
        conn.execute(text("UPDATE customers SET name = :name WHERE id = :id"), name)
    customer = signed_in(tenant)
    number = ask(customer, subject=HOSTILE, words=(HOSTILE + "\r\n") + "y" * 9_000)
    desk.open(f"/admin/tickets/{number}").send(f"/admin/tickets/{number}", text=HOSTILE, closes="1")
    for browser, path in (
        (customer, "/support"),
        (customer, f"/support/{number}"),
        (desk, f"/admin/tickets/{number}"),
        (desk, "/admin/tickets?state=closed"),
    ):
        answer = browser.open(path).answer
        assert answer.status_code == 200
        assert "<script>alert" not in answer.text
        assert "\u202e" not in answer.text
    mails = 0
    while True:
        with site.database.begin() as conn:
            letter = take(conn)
        if letter is None:
            break
        mails += 1
        html = forms.html_of(forms.plain_letter(letter.subject, letter.body, site.settings.our_urls))
        whole = Letter(
            letter.key, letter.to_name, letter.to_email, letter.subject, letter.body, letter.created_at, html
        )
        head = compose(whole, "Billing <billing@host.example>").partition(b"\r\n\r\n")[0].decode()
        assert "\nBcc:" not in head
        assert max(map(len, head.splitlines())) < 1000
        assert "<script>alert" not in html
    assert mails == 3
    with site.database.begin() as conn:
        told = conn.execute(text("SELECT text FROM alerts")).scalar_one()
    assert "@everyone" not in harmless(told).replace("\\@everyone", "")
    assert len(harmless(told)) <= 2000


def test_letters_and_posts_that_may_not_have_arrived_are_listed_for_a_person(site: Site, desk: Browser) -> None:
    tenant = site.tenant()
    letters = (
        ("maildir 1.x", "1 second", False),
        ("smtp 250 ok", "1 second", False),
        ("the letter may have left: x", "1 second", True),
        ("given up: the letter did not leave", "1 second", True),
        ("being sent", "1 second", False),
        ("being sent", "11 minutes", True),
    )
    posts = (
        ("told, it answered 200", "1 second", False),
        ("it may have arrived: no answer in time", "1 second", True),
        ("refused: it is not a public address", "1 second", True),
        ("not posted: the address was taken away", "1 second", False),
        ("being sent", "11 minutes", True),
    )
    add_letter = text(
        "INSERT INTO letters (key, to_name, to_email, subject, body, outcome, sent_at) VALUES "
        "(:key, 'Ada', :key, '', '', :outcome, clock_timestamp() - CAST(:ago AS interval))"
    )
    add_post = text(
        "INSERT INTO hook_posts (key, customer_id, kind, body, outcome, sent_at) VALUES "
        "(:key, :id, :key, '', :outcome, clock_timestamp() - CAST(:ago AS interval))"
    )
    with site.database.begin() as conn:
        for number, (outcome, ago, _) in enumerate(letters):
            conn.execute(add_letter, {"key": f"letter-{number}", "outcome": outcome, "ago": ago})
        for number, (outcome, ago, _) in enumerate(posts):
            given = {"key": f"post-{number}", "id": tenant.customer_id, "outcome": outcome, "ago": ago}
            conn.execute(add_post, given)
    shown = desk.open("/admin/review").text
    for name, rows in (("letter", letters), ("post", posts)):
        for number, (outcome, _, is_listed) in enumerate(rows):
            assert (f"{name}-{number}" in shown) is is_listed, (name, outcome)
